//! Bits, most significant first, and variable-length integers.
//!
//! Promise: a reader never reads beyond its bytes and says so with `None`; nothing here panics on foreign bytes.

/// Gathers bits into bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, left-aligned.
    pending: u64,
    pending_bits: u32,
}

/// What an open stream of bits grows by at least, so that a hundred thousand of them waste little; a long one grows by this part.
const GROWTH_BYTES: usize = 32;
const GROWTH_PART: usize = 4;

impl BitWriter {
    /// Continues after whole bytes.
    pub(crate) fn after(bytes: Vec<u8>) -> BitWriter {
        BitWriter { bytes, pending: 0, pending_bits: 0 }
    }

    /// Appends the lowest `count` bits of `value`; `count` is at most 64.
    #[inline]
    pub(crate) fn write(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64);
        if count == 0 {
            return;
        }
        let value = if count == 64 { value } else { value & ((1 << count) - 1) };
        let room = 64 - self.pending_bits;
        if count < room {
            self.pending |= value << (room - count);
            self.pending_bits += count;
            return;
        }
        let rest = count - room;
        self.spill(self.pending | (value >> rest));
        self.pending = if rest == 0 { 0 } else { value << (64 - rest) };
        self.pending_bits = rest;
    }

    fn spill(&mut self, word: u64) {
        if self.bytes.capacity() - self.bytes.len() < 8 {
            self.bytes.reserve_exact(GROWTH_BYTES.max(self.bytes.capacity() / GROWTH_PART));
        }
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }

    /// Reads what was written so far, where it is.
    pub(crate) fn reader(&self) -> BitReader<'_> {
        BitReader {
            bytes: &self.bytes,
            tail: self.pending,
            bits: self.bytes.len() * 8 + self.pending_bits as usize,
            next_bit: 0,
        }
    }

    /// All bytes, the last one filled with zeros.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let tail = self.pending_bits.div_ceil(8) as usize;
        let mut bytes = Vec::with_capacity(self.bytes.len() + tail);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(&self.pending.to_be_bytes()[..tail]);
        bytes
    }

    /// As [`BitWriter::to_bytes`], without a copy.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let tail = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_be_bytes()[..tail]);
        self.bytes
    }

    /// Forgets all bits and keeps the room for as many.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.pending, self.pending_bits) = (0, 0);
    }

    /// Bytes held, room for more included.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Bits that a reader sees at least at once.
pub(crate) const WINDOW_BITS: u32 = 57;

/// Reads bits from bytes.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// What stands behind the bytes, left-aligned.
    tail: u64,
    /// How many there are in all.
    bits: usize,
    next_bit: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, tail: 0, bits: bytes.len() * 8, next_bit: 0 }
    }

    /// The next [`WINDOW_BITS`] or more, left-aligned; zeros stand for what is beyond the end.
    #[inline]
    pub(crate) fn window(&self) -> u64 {
        let start = self.next_bit / 8;
        let word = match self.bytes.get(start..start + 8) {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().unwrap_or_default()),
            None => self.last_window(start),
        };
        word << (self.next_bit % 8)
    }

    /// Eight bytes that reach into the tail, or beyond.
    fn last_window(&self, start: usize) -> u64 {
        let mut bytes = [0; 8];
        let rest = self.bytes.get(start..).unwrap_or_default();
        bytes[..rest.len()].copy_from_slice(rest);
        let word = u64::from_be_bytes(bytes);
        match start.checked_sub(self.bytes.len()) {
            None => word | (self.tail >> (8 * rest.len())),
            Some(into) if into < 8 => self.tail << (8 * into),
            Some(_) => 0,
        }
    }

    /// Looks at the next `count` bits (1 to 32) without taking them; zeros stand for what is beyond the end.
    #[inline]
    pub(crate) fn peek(&self, count: u32) -> u64 {
        self.window() >> (64 - count)
    }

    /// Takes `count` bits that were looked at.
    #[inline]
    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        self.next_bit += count as usize;
        (self.next_bit <= self.bits).then_some(())
    }

    /// The next `count` bits (0 to 64).
    #[inline]
    pub(crate) fn read(&mut self, count: u32) -> Option<u64> {
        match count {
            0 => Some(0),
            1..=32 => {
                let value = self.peek(count);
                self.skip(count)?;
                Some(value)
            }
            _ => {
                let high = self.read(count - 32)?;
                Some((high << 32) | self.read(32)?)
            }
        }
    }
}

/// Most bytes of a variable-length integer.
const VARINT_BYTES_MAX: usize = 10;

/// Appends an unsigned integer, seven bits a byte, lowest first.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value as u8) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Appends a signed integer, small magnitudes first.
pub(crate) fn put_signed(bytes: &mut Vec<u8>, value: i64) {
    put_varint(bytes, zigzag(value));
}

/// Signed to unsigned, small magnitudes to small numbers.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse of [`zigzag`].
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Takes bytes off the front of a slice; every method answers `None` at its end.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn word(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn crc(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (index, &byte) in self.0.iter().take(VARINT_BYTES_MAX).enumerate() {
            let part = u64::from(byte & 0x7f);
            if index == VARINT_BYTES_MAX - 1 && part > 1 {
                return None;
            }
            value |= part << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    /// A variable-length integer that must fit 32 bits.
    pub(crate) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    /// Bytes after their length.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    /// Text after its length.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.counted()?).ok()
    }
}

/// Appends bytes after their length.
pub(crate) fn put_counted(bytes: &mut Vec<u8>, counted: &[u8]) {
    put_varint(bytes, counted.len() as u64);
    bytes.extend_from_slice(counted);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_come_back(parts in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut writer = BitWriter::default();
            for &(value, count) in &parts {
                writer.write(value, count);
            }
            let bytes = writer.to_bytes();
            prop_assert_eq!(&bytes, &writer.into_bytes());
            let mut reader = BitReader::new(&bytes);
            for &(value, count) in &parts {
                let kept = if count == 64 { value } else { value & ((1 << count) - 1) };
                prop_assert_eq!(reader.read(count), Some(kept));
            }
            prop_assert_eq!(reader.read(8), None);
        }

        #[test]
        fn integers_come_back(unsigned: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, unsigned);
            put_signed(&mut bytes, signed);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Some(unsigned));
            prop_assert_eq!(reader.signed(), Some(signed));
            prop_assert!(reader.is_empty());
        }
    }

    #[test]
    fn an_integer_that_does_not_end_or_fit_is_none() {
        assert_eq!(Reader::new(&[0x80]).varint(), None);
        assert_eq!(Reader::new(&[0xff; 11]).varint(), None);
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).varint(), None);
    }
}
