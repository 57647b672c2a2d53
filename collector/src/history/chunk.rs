//! Some samples of one group in as few bytes as can be read and written in one pass.
//!
//! A chunk holds the samples of consecutive sweeps. Its bytes are, sample after sample, one of
//!
//! ```text
//! 0nnnnnnn                       the sample before, n + 1 times more
//! 1pppccc0 [cpu] [ws] [rss]      p: CPU rate, working set, RSS are present; c: they differ from the last present one
//! ```
//!
//! and where `c` is set, for CPU the 16 bits of [`CpuRate`], low byte first, for memory the difference in [`Pages`] to the
//! last present value, zigzag, seven bits a byte, low bits first. Before the first sample stands one without values and
//! with 0 as each last present one. So an idle group costs a byte in two minutes, a busy one five to seven a sample.

use super::quantity::{CpuRate, Pages};

/// Most samples of a chunk: how much longer than asked an idle group's history is kept.
pub const SAMPLES_LIMIT: u32 = 240;
/// Bytes after which a chunk is closed; about a minute of a busy group.
pub const BYTES_LIMIT: usize = 384;
/// What a chunk costs beyond its bytes: its place in the list and the allocator's header.
pub const OVERHEAD_BYTES: usize = size_of::<Chunk>() + 16;

const CPU: u8 = 0b100;
const WORKING_SET: u8 = 0b010;
const RSS: u8 = 0b001;
/// Largest count of a run.
const RUN_LIMIT: u8 = 0x7f;

/// One sample of a group. Absent is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Since the reading before.
    pub cpu: Option<CpuRate>,
    /// Working set.
    pub working_set: Option<Pages>,
    /// Anonymous memory.
    pub rss: Option<Pages>,
}

/// The last present values, and which were present in the last sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    cpu: u16,
    working_set: u32,
    rss: u32,
    present: u8,
}

impl State {
    fn then(self, sample: Sample) -> State {
        let bit = |present: bool, bit| if present { bit } else { 0 };
        State {
            cpu: sample.cpu.map_or(self.cpu, |rate| rate.0),
            working_set: sample.working_set.map_or(self.working_set, |pages| pages.0),
            rss: sample.rss.map_or(self.rss, |pages| pages.0),
            present: bit(sample.cpu.is_some(), CPU)
                | bit(sample.working_set.is_some(), WORKING_SET)
                | bit(sample.rss.is_some(), RSS),
        }
    }

    fn sample(self) -> Sample {
        let has = |bit| self.present & bit != 0;
        Sample {
            cpu: has(CPU).then_some(CpuRate(self.cpu)),
            working_set: has(WORKING_SET).then_some(Pages(self.working_set)),
            rss: has(RSS).then_some(Pages(self.rss)),
        }
    }
}

/// A finished chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Number of the sweep of its first sample.
    pub first: u64,
    /// How many samples.
    pub samples: u32,
    bytes: Box<[u8]>,
}

impl Chunk {
    /// The samples, each with the number of its sweep.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Sample)> + '_ {
        (self.first..).zip(Decoder::new(&self.bytes))
    }

    /// Number of the sweep after its last sample.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.samples)
    }

    /// What it costs.
    pub fn cost_bytes(&self) -> usize {
        self.bytes.len() + OVERHEAD_BYTES
    }
}

/// A chunk that still grows.
#[derive(Debug, Clone, Default)]
pub struct Open {
    first: u64,
    samples: u32,
    bytes: Vec<u8>,
    last: State,
    in_run: bool,
}

impl Open {
    /// Number of the sweep after its last sample.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.samples)
    }

    /// Whether it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Whether the next sample belongs into another.
    pub fn is_full(&self) -> bool {
        self.samples >= SAMPLES_LIMIT || self.bytes.len() >= BYTES_LIMIT
    }

    /// What it costs.
    pub fn cost_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds the sample of a sweep: of the one after the last, unless it is empty.
    pub fn push(&mut self, sweep: u64, sample: Sample) {
        debug_assert!(self.is_empty() || sweep == self.end(), "samples of a chunk are consecutive");
        if self.is_empty() {
            self.first = sweep;
        }
        self.samples += 1;
        let next = self.last.then(sample);
        if next == self.last {
            match self.bytes.last_mut() {
                Some(count) if self.in_run && *count < RUN_LIMIT => *count += 1,
                _ => self.bytes.push(0),
            }
            self.in_run = true;
            return;
        }
        let changed = |differs: bool, bit| if differs { bit } else { 0 };
        let changed = changed(next.cpu != self.last.cpu, CPU)
            | changed(next.working_set != self.last.working_set, WORKING_SET)
            | changed(next.rss != self.last.rss, RSS);
        self.bytes.push(0x80 | next.present << 4 | changed << 1);
        if changed & CPU != 0 {
            self.bytes.extend_from_slice(&next.cpu.to_le_bytes());
        }
        for (bit, new, old) in
            [(WORKING_SET, next.working_set, self.last.working_set), (RSS, next.rss, self.last.rss)]
        {
            if changed & bit != 0 {
                push_difference(&mut self.bytes, i64::from(new) - i64::from(old));
            }
        }
        self.last = next;
        self.in_run = false;
    }

    /// Closes it and starts anew, in the same memory; `None` when it is empty.
    pub fn close(&mut self) -> Option<Chunk> {
        let closed = (self.samples > 0).then(|| self.snapshot());
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        *self = Open { bytes, ..Open::default() };
        closed
    }

    /// A copy of what it holds now.
    pub fn snapshot(&self) -> Chunk {
        Chunk { first: self.first, samples: self.samples, bytes: self.bytes.as_slice().into() }
    }
}

fn push_difference(bytes: &mut Vec<u8>, difference: i64) {
    let mut left = ((difference << 1) ^ (difference >> 63)).cast_unsigned();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

struct Decoder<'a> {
    bytes: std::slice::Iter<'a, u8>,
    state: State,
    repeats: u8,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes: bytes.iter(), state: State::default(), repeats: 0 }
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes.next().copied()
    }

    fn apply_difference(&mut self, to: u32) -> Option<u32> {
        let (mut value, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let difference = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
        u32::try_from(i64::from(to).checked_add(difference)?).ok()
    }
}

impl Iterator for Decoder<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.repeats > 0 {
            self.repeats -= 1;
            return Some(self.state.sample());
        }
        let tag = self.byte()?;
        if tag & 0x80 == 0 {
            self.repeats = tag;
            return Some(self.state.sample());
        }
        let changed = tag >> 1 & 0b111;
        if changed & CPU != 0 {
            self.state.cpu = u16::from_le_bytes([self.byte()?, self.byte()?]);
        }
        if changed & WORKING_SET != 0 {
            self.state.working_set = self.apply_difference(self.state.working_set)?;
        }
        if changed & RSS != 0 {
            self.state.rss = self.apply_difference(self.state.rss)?;
        }
        self.state.present = tag >> 4 & 0b111;
        Some(self.state.sample())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(cpu: Option<u16>, working_set: Option<u32>, rss: Option<u32>) -> Sample {
        Sample { cpu: cpu.map(CpuRate), working_set: working_set.map(Pages), rss: rss.map(Pages) }
    }

    fn chunk(samples: &[Sample]) -> Chunk {
        let mut open = Open::default();
        for (sweep, sample) in (7..).zip(samples) {
            open.push(sweep, *sample);
        }
        open.close().unwrap()
    }

    #[test]
    fn sizes() {
        let busy = |n: u16| sample(Some(n), Some(1_000 + u32::from(n % 3)), Some(500));
        let cases: [(&str, Vec<Sample>, usize); 5] = [
            ("nothing known", vec![Sample::default(); 128], 1),
            ("idle", vec![sample(Some(0), Some(70), Some(20)); 129], 5),
            ("CPU alone", vec![sample(Some(9), None, None)], 3),
            ("busy", (1..=60).map(busy).collect(), 7 + 59 * 4),
            (
                "a value that comes and goes",
                [Some(3), None, Some(3)].map(|v| sample(v, None, None)).to_vec(),
                5,
            ),
        ];
        for (name, samples, bytes) in cases {
            assert_eq!(chunk(&samples).bytes.len(), bytes, "{name}");
        }
    }

    #[test]
    fn broken_bytes_end_it() {
        for bytes in
            [&[0xfe_u8][..], &[0xff, 1], &[0xa4, 0x80], &[0xa4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Decoder::new(bytes).count(), 0, "{bytes:?}");
        }
    }

    fn any_sample() -> impl Strategy<Value = Sample> {
        let pages = || {
            prop_oneof![Just(None), Just(Some(7)), (0_u32..300).prop_map(Some), any::<u32>().prop_map(Some)]
        };
        let cpu = prop_oneof![Just(None), Just(Some(0)), any::<u16>().prop_map(Some)];
        (cpu, pages(), pages()).prop_map(|(cpu, working_set, rss)| sample(cpu, working_set, rss))
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            runs in prop::collection::vec((any_sample(), prop_oneof![4 => 1_usize..3, 1 => 100_usize..300]), 1..40),
        ) {
            let samples: Vec<Sample> = runs.into_iter().flat_map(|(s, times)| vec![s; times]).collect();
            let chunk = chunk(&samples);
            let back: Vec<(u64, Sample)> = chunk.iter().collect();
            prop_assert_eq!(chunk.end(), 7 + samples.len() as u64);
            prop_assert_eq!(back, (7..).zip(samples).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Decoder::new(&bytes).count();
        }
    }
}
