//! The stream of bits that an open chunk is, after Facebook's Gorilla: second differences of times, and each value XORed with
//! the one before.
//!
//! Promise: samples are appended one by one in order of time, and come back bit by bit. Bytes: `count` (varint), first time
//! (signed varint), first value (8 bytes, little-endian), then bits; `docs/storage-format.md` draws them.

use super::bits::{BitReader, BitWriter, Reader, WINDOW_BITS, put_signed, put_varint};
use super::{CHUNK_SAMPLES_MAX, Damaged};
use crate::series::Point;

/// Widths of a second difference, each after one more 1 bit; wider ones take 64 bits after `1111`.
const TIME_WIDTHS: [u32; 3] = [7, 12, 20];

/// Leading zeros are written in five bits.
const LEADING_MAX: u32 = 31;

/// A chunk that still grows.
#[derive(Debug, Clone)]
pub(crate) struct XorChunk {
    bits: BitWriter,
    first: Point,
    last: Point,
    last_delta_ms: i64,
    count: u16,
    leading: u8,
    meaningful: u8,
}

impl XorChunk {
    pub(crate) fn new(first: Point) -> XorChunk {
        XorChunk::in_room_of(BitWriter::default(), first)
    }

    /// A new one in the room of this one.
    pub(crate) fn restart(mut self, first: Point) -> XorChunk {
        self.bits.clear();
        XorChunk::in_room_of(self.bits, first)
    }

    fn in_room_of(bits: BitWriter, first: Point) -> XorChunk {
        XorChunk { bits, first, last: first, last_delta_ms: 0, count: 1, leading: 0, meaningful: 0 }
    }

    pub(crate) fn first(&self) -> Point {
        self.first
    }

    pub(crate) fn last(&self) -> Point {
        self.last
    }

    pub(crate) fn count(&self) -> usize {
        usize::from(self.count)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() >= CHUNK_SAMPLES_MAX
    }

    /// Memory beyond the structure itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bits.capacity()
    }

    /// Appends a sample. The caller sees to it that it is later than the last one and that the chunk is not full.
    pub(crate) fn push(&mut self, point: Point) {
        debug_assert!(point.timestamp_ms > self.last.timestamp_ms && !self.is_full());
        let delta_ms = point.timestamp_ms.wrapping_sub(self.last.timestamp_ms);
        self.push_time(delta_ms.wrapping_sub(self.last_delta_ms));
        self.push_value(point.value.to_bits() ^ self.last.value.to_bits());
        self.last_delta_ms = delta_ms;
        self.last = point;
        self.count += 1;
    }

    fn push_time(&mut self, change_ms: i64) {
        if change_ms == 0 {
            self.bits.write(0, 1);
            return;
        }
        for (ones, width) in (1..).zip(TIME_WIDTHS) {
            let half = 1i64 << (width - 1);
            if (-half..half).contains(&change_ms) {
                // `ones` 1 bits and a 0 bit.
                self.bits.write(((1 << ones) - 1) << 1, ones + 1);
                self.bits.write(change_ms as u64, width);
                return;
            }
        }
        self.bits.write(0b1111, 4);
        self.bits.write(change_ms as u64, 64);
    }

    fn push_value(&mut self, difference: u64) {
        if difference == 0 {
            self.bits.write(0, 1);
            return;
        }
        let leading = difference.leading_zeros().min(LEADING_MAX);
        let trailing = difference.trailing_zeros();
        let (kept_leading, kept) = (u32::from(self.leading), u32::from(self.meaningful));
        if kept > 0 && leading >= kept_leading && trailing >= 64 - kept_leading - kept {
            self.bits.write(0b10, 2);
            self.bits.write(difference >> (64 - kept_leading - kept), kept);
            return;
        }
        let meaningful = 64 - leading - trailing;
        self.bits.write(0b11, 2);
        self.bits.write(u64::from(leading), 5);
        self.bits.write(u64::from(meaningful - 1), 6);
        self.bits.write(difference >> trailing, meaningful);
        self.leading = leading as u8;
        self.meaningful = meaningful as u8;
    }

    /// The chunk as bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + self.bits.capacity());
        put_varint(&mut bytes, u64::from(self.count));
        put_signed(&mut bytes, self.first.timestamp_ms);
        bytes.extend_from_slice(&self.first.value.to_bits().to_le_bytes());
        bytes.extend_from_slice(&self.bits.to_bytes());
        bytes
    }

    /// Appends the samples so far that lie in `[start_ms, end_ms]`, in order of time.
    pub(crate) fn read_into(&self, start_ms: i64, end_ms: i64, points: &mut Vec<Point>) {
        let mut samples = Samples::new(self.bits.reader(), self.first);
        let mut point = self.first;
        for number in 1..=self.count() {
            if point.timestamp_ms > end_ms {
                return;
            }
            if point.timestamp_ms >= start_ms {
                points.push(point);
            }
            if number < self.count() {
                // What this very code wrote can be read.
                let Some(following) = samples.next() else { return };
                point = following;
            }
        }
    }
}

/// Appends the samples of a chunk's bytes, in order of time.
pub(crate) fn decode_into(bytes: &[u8], points: &mut Vec<Point>) -> Result<(), Damaged> {
    let mut reader = Reader::new(bytes);
    let header = (|| {
        let count = reader.small()? as usize;
        let timestamp_ms = reader.signed()?;
        let value = f64::from_bits(reader.word()?);
        (1..=CHUNK_SAMPLES_MAX).contains(&count).then_some((count, Point { timestamp_ms, value }))
    })();
    let (count, first) = header.ok_or(Damaged)?;
    let mut samples = Samples::new(BitReader::new(reader.rest()), first);
    points.reserve(count);
    points.push(first);
    for _ in 1..count {
        points.push(samples.next().ok_or(Damaged)?);
    }
    Ok(())
}

/// Samples after the first, one by one.
struct Samples<'a> {
    bits: BitReader<'a>,
    time_ms: i64,
    delta_ms: i64,
    value: u64,
    leading: u32,
    meaningful: u32,
}

impl<'a> Samples<'a> {
    fn new(bits: BitReader<'a>, first: Point) -> Samples<'a> {
        Samples {
            bits,
            time_ms: first.timestamp_ms,
            delta_ms: 0,
            value: first.value.to_bits(),
            leading: 0,
            meaningful: 0,
        }
    }

    /// The next one; `None` when the bits are none. The caller knows how many there are.
    #[inline]
    fn next(&mut self) -> Option<Point> {
        // By far most samples come as regularly as those before: one look at the bits shows all that there is of them.
        let window = self.bits.window();
        if window >> 63 == 0 && self.delta_ms > 0 {
            self.regular(window)?;
        } else {
            self.delta_ms = self.delta_ms.checked_add(read_time(&mut self.bits)?)?;
            if self.delta_ms <= 0 {
                return None;
            }
            self.read_value()?;
        }
        self.time_ms = self.time_ms.checked_add(self.delta_ms)?;
        Some(Point { timestamp_ms: self.time_ms, value: f64::from_bits(self.value) })
    }

    /// Takes the bit that says so, and the value.
    #[inline]
    fn regular(&mut self, window: u64) -> Option<()> {
        if (window >> 62) & 1 == 0 {
            return self.bits.skip(2);
        }
        let head = if (window >> 61) & 1 == 1 {
            self.leading = (window >> 56) as u32 & 31;
            self.meaningful = ((window >> 50) as u32 & 63) + 1;
            14
        } else {
            3
        };
        let (leading, meaningful) = (self.leading, self.meaningful);
        if meaningful == 0 || leading + meaningful > 64 {
            return None;
        }
        let changed = if head + meaningful <= WINDOW_BITS {
            self.bits.skip(head + meaningful)?;
            (window << head) >> (64 - meaningful)
        } else {
            self.bits.skip(head)?;
            self.bits.read(meaningful)?
        };
        self.value ^= changed << (64 - leading - meaningful);
        Some(())
    }

    fn read_value(&mut self) -> Option<()> {
        if self.bits.read(1)? == 0 {
            return Some(());
        }
        if self.bits.read(1)? == 1 {
            self.leading = self.bits.read(5)? as u32;
            self.meaningful = self.bits.read(6)? as u32 + 1;
        }
        if self.meaningful == 0 || self.leading + self.meaningful > 64 {
            return None;
        }
        self.value ^= self.bits.read(self.meaningful)? << (64 - self.leading - self.meaningful);
        Some(())
    }
}

fn read_time(bits: &mut BitReader<'_>) -> Option<i64> {
    if bits.read(1)? == 0 {
        return Some(0);
    }
    for width in TIME_WIDTHS {
        if bits.read(1)? == 0 {
            let raw = bits.read(width)?;
            let shift = 64 - width;
            return Some(((raw << shift) as i64) >> shift);
        }
    }
    bits.read(64).map(|raw| raw as i64)
}
