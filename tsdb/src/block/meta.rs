//! What is known of a block without opening it; stands in its marker and, for the day the markers are lost, in itself.

use crate::chunk::bits::{Reader, put_signed, put_varint};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockMeta {
    /// Name of the oldest block that went into it; its own if it came from memory. Of two samples of one time the one
    /// that came first counts, and blocks are asked in this order.
    pub origin: u64,
    /// Time of the oldest sample, Unix milliseconds.
    pub first_ms: i64,
    /// Time of the newest sample, Unix milliseconds.
    pub last_ms: i64,
    /// How many series it holds.
    pub series: u64,
    /// How many samples.
    pub samples: u64,
    /// How many values it has, besides the one that holds this.
    pub values: u64,
    /// Bytes of their chunks alone, the times that these share among them.
    pub chunk_bytes: u64,
    /// Bytes of all its values: chunks, labels and index.
    pub payload_bytes: u64,
    /// Checksum over all values' checksums, in order of their keys.
    pub checksum: u32,
}

impl BlockMeta {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        put_varint(&mut bytes, self.origin);
        put_signed(&mut bytes, self.first_ms);
        put_signed(&mut bytes, self.last_ms);
        for number in [self.series, self.samples, self.values, self.chunk_bytes, self.payload_bytes] {
            put_varint(&mut bytes, number);
        }
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn read(body: &[u8]) -> Option<BlockMeta> {
        let mut reader = Reader::new(body);
        let meta = BlockMeta {
            origin: reader.varint()?,
            first_ms: reader.signed()?,
            last_ms: reader.signed()?,
            series: reader.varint()?,
            samples: reader.varint()?,
            values: reader.varint()?,
            chunk_bytes: reader.varint()?,
            payload_bytes: reader.varint()?,
            checksum: reader.crc()?,
        };
        reader.is_empty().then_some(meta)
    }
}
