//! Samples of one series that are in no sealed block yet.
//!
//! Invariant: no chunk crosses the border of a partition. Chunks are in the order in which they were filled; only samples
//! that came late make them overlap, and reading puts everything in order, the sample that came first winning.

use super::partition_of;
use crate::chunk::{self, xor::XorChunk};
use crate::series::Point;

/// Samples after which an open chunk is closed.
pub(crate) const OPEN_SAMPLES_MAX: usize = 120;

/// A chunk that grows no more.
#[derive(Debug, Clone)]
pub(crate) struct ClosedChunk {
    pub(crate) first_ms: i64,
    /// From the first sample to the last: within a partition.
    span_ms: u32,
    pub(crate) state: ChunkState,
    pub(crate) bytes: Box<[u8]>,
}

impl ClosedChunk {
    /// `None` when the times are not those of one partition.
    fn new(first_ms: i64, last_ms: i64, state: ChunkState, bytes: Box<[u8]>) -> Option<ClosedChunk> {
        let span_ms = u32::try_from(last_ms.checked_sub(first_ms)?).ok()?;
        Some(ClosedChunk { first_ms, span_ms, state, bytes })
    }

    /// Time of the last sample.
    pub(crate) fn last_ms(&self) -> i64 {
        self.first_ms + i64::from(self.span_ms)
    }
}

/// Where else a closed chunk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkState {
    /// Its samples are in the log, one by one.
    Logged,
    /// It is in the log as a chunk.
    Checkpointed,
    /// It goes into the block that is being made.
    Sealing,
}

#[derive(Debug, Default)]
pub(crate) struct HeadSeries {
    pub(crate) generation: u32,
    /// Partition for which the log knows the labels.
    pub(crate) defined_in: Option<u32>,
    open: Option<XorChunk>,
    closed: Vec<ClosedChunk>,
    /// Samples that came out of order, in order of time.
    late: Vec<Point>,
    /// Newest time; `None` before the first sample.
    last_ms: Option<i64>,
}

/// What became of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It was appended.
    Stored,
    /// It came late and was put in its place.
    StoredLate,
    /// The very same sample is there.
    Duplicate,
    /// Another value is there at this time.
    Conflict,
}

impl HeadSeries {
    /// A series without samples.
    pub(crate) fn new(generation: u32) -> HeadSeries {
        HeadSeries { generation, ..HeadSeries::default() }
    }

    /// Adds a sample.
    pub(crate) fn append(&mut self, point: Point) -> Appended {
        if self.last_ms.is_some_and(|last_ms| point.timestamp_ms <= last_ms) {
            return self.insert_late(point);
        }
        self.last_ms = Some(point.timestamp_ms);
        match &mut self.open {
            Some(open)
                if open.count() < OPEN_SAMPLES_MAX
                    && partition_of(open.first().timestamp_ms) == partition_of(point.timestamp_ms) =>
            {
                open.push(point);
            }
            _ => {
                self.open = Some(match self.close_open() {
                    Some(closed) => closed.restart(point),
                    None => XorChunk::new(point),
                });
            }
        }
        Appended::Stored
    }

    fn insert_late(&mut self, point: Point) -> Appended {
        if let Some(value) = self.value_at(point.timestamp_ms) {
            return if value.to_bits() == point.value.to_bits() {
                Appended::Duplicate
            } else {
                Appended::Conflict
            };
        }
        let position = self.late.partition_point(|have| have.timestamp_ms < point.timestamp_ms);
        self.late.insert(position, point);
        if self.late.len() >= OPEN_SAMPLES_MAX {
            self.close_late();
        }
        Appended::StoredLate
    }

    fn value_at(&self, timestamp_ms: i64) -> Option<f64> {
        if let Some(open) = &self.open
            && open.last().timestamp_ms == timestamp_ms
        {
            return Some(open.last().value);
        }
        let mut points = Vec::new();
        self.read_into(timestamp_ms, timestamp_ms, &mut points);
        points.first().map(|point| point.value)
    }

    /// Answers what was open, whose room the next one may take.
    fn close_open(&mut self) -> Option<XorChunk> {
        let open = self.open.take()?;
        let mut points = Vec::with_capacity(open.count());
        open.read_into(i64::MIN, i64::MAX, &mut points);
        self.push_closed(&points);
        Some(open)
    }

    fn close_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        for points in late.chunk_by(|a, b| partition_of(a.timestamp_ms) == partition_of(b.timestamp_ms)) {
            self.push_closed(points);
        }
    }

    fn push_closed(&mut self, points: &[Point]) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        // A copy of its very size: what is cut off a longer one would be a hole that nobody can use, one for each chunk.
        let bytes = Box::from(chunk::encode(points).as_slice());
        let chunk = ClosedChunk::new(first.timestamp_ms, last.timestamp_ms, ChunkState::Logged, bytes);
        debug_assert!(chunk.is_some(), "samples of one partition");
        self.closed.reserve_exact(1);
        self.closed.extend(chunk);
    }

    /// Closes what is open and hands out the chunks that the log has only sample by sample; from now on it has them whole.
    /// With each comes whether the log has to be told the labels for its partition.
    pub(crate) fn checkpoint(&mut self, mut visit: impl FnMut(&ClosedChunk, bool)) {
        drop(self.close_open());
        self.close_late();
        let defined_in = self.defined_in;
        for chunk in self.closed.iter_mut().filter(|chunk| chunk.state == ChunkState::Logged) {
            visit(chunk, defined_in != Some(partition_of(chunk.first_ms)));
            chunk.state = ChunkState::Checkpointed;
        }
    }

    /// Takes up a chunk that the log has whole.
    pub(crate) fn restore(&mut self, first_ms: i64, last_ms: i64, bytes: &[u8]) {
        if let Some(chunk) = ClosedChunk::new(first_ms, last_ms, ChunkState::Checkpointed, bytes.into()) {
            self.last_ms = self.last_ms.max(Some(last_ms));
            self.closed.push(chunk);
        }
    }

    /// Marks all samples of a partition as going into the block that is being made, and hands them out in order.
    pub(crate) fn begin_sealing(&mut self, partition: u32) -> Vec<Point> {
        if self.open.as_ref().is_some_and(|open| partition_of(open.first().timestamp_ms) == partition) {
            drop(self.close_open());
        }
        self.close_late();
        if self.defined_in == Some(partition) {
            // What comes for this partition from now on needs a definition of its own: this one goes with the log.
            self.defined_in = None;
        }
        let mut points = Vec::new();
        for chunk in self.closed.iter_mut().filter(|chunk| partition_of(chunk.first_ms) == partition) {
            chunk.state = ChunkState::Sealing;
            // What this very code wrote can be read; what the log gave back was checked.
            let _ = chunk::decode_into(&chunk.bytes, &mut points);
        }
        put_in_order(&mut points);
        points
    }

    /// The block could not be made: its samples stay here.
    pub(crate) fn give_up_sealing(&mut self) {
        for chunk in self.closed.iter_mut().filter(|chunk| chunk.state == ChunkState::Sealing) {
            chunk.state = ChunkState::Logged;
        }
    }

    /// The block is there: its samples leave memory.
    pub(crate) fn finish_sealing(&mut self) {
        self.closed.retain(|chunk| chunk.state != ChunkState::Sealing);
        self.closed.shrink_to_fit();
    }

    /// Whether it holds nothing any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_none() && self.closed.is_empty() && self.late.is_empty()
    }

    /// Whether it holds a sample in the range.
    pub(crate) fn has_samples(&self, start_ms: i64, end_ms: i64) -> bool {
        let range = start_ms..=end_ms;
        let ends = |first: i64, last: i64| range.contains(&first) || range.contains(&last);
        let open = self.open.as_ref().map(|open| (open.first().timestamp_ms, open.last().timestamp_ms));
        let mut chunks = self.closed.iter().map(|chunk| (chunk.first_ms, chunk.last_ms())).chain(open);
        if chunks.any(|(first, last)| ends(first, last)) {
            return true;
        }
        // Only a chunk that begins before the range and ends behind it has to be looked into, or what came late.
        let mut points = Vec::new();
        self.read_into(start_ms, end_ms, &mut points);
        !points.is_empty()
    }

    /// What was handed to a checkpoint that failed is not in the log after all.
    pub(crate) fn give_up_checkpoint(&mut self) {
        for chunk in self.closed.iter_mut().filter(|chunk| chunk.state == ChunkState::Checkpointed) {
            chunk.state = ChunkState::Logged;
        }
    }

    /// Appends the samples in `[start_ms, end_ms]`, in order of time, each time once.
    pub(crate) fn read_into(&self, start_ms: i64, end_ms: i64, points: &mut Vec<Point>) {
        let range = start_ms..=end_ms;
        let from = points.len();
        for chunk in &self.closed {
            if chunk.first_ms <= end_ms && chunk.last_ms() >= start_ms {
                // What this very code wrote can be read; what the log gave back was checked.
                let _ = chunk::decode_range_into(&chunk.bytes, &range, points);
            }
        }
        if let Some(open) = &self.open
            && open.first().timestamp_ms <= end_ms
            && open.last().timestamp_ms >= start_ms
        {
            if start_ms >= open.last().timestamp_ms {
                points.push(open.last());
            } else {
                open.read_into(start_ms, end_ms, points);
            }
        }
        points.extend(self.late.iter().filter(|point| range.contains(&point.timestamp_ms)));
        if !is_in_order(&points[from..]) {
            let mut mine = points.split_off(from);
            put_in_order(&mut mine);
            points.append(&mut mine);
        }
    }

    /// Memory of the samples beyond the structure itself, bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(|chunk| chunk.bytes.len()).sum();
        closed
            + self.closed.capacity() * size_of::<ClosedChunk>()
            + self.open.as_ref().map_or(0, XorChunk::heap_bytes)
            + self.late.capacity() * size_of::<Point>()
    }
}

fn is_in_order(points: &[Point]) -> bool {
    points.windows(2).all(|pair| pair[0].timestamp_ms < pair[1].timestamp_ms)
}

/// Sorts by time where needed; of several samples of one time the first stays.
pub(crate) fn put_in_order(points: &mut Vec<Point>) {
    if is_in_order(points) {
        return;
    }
    points.sort_by_key(|point| point.timestamp_ms);
    points.dedup_by_key(|point| point.timestamp_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(timestamp_ms: i64, value: f64) -> Point {
        Point { timestamp_ms, value }
    }

    fn read(series: &HeadSeries) -> Vec<Point> {
        let mut points = Vec::new();
        series.read_into(i64::MIN, i64::MAX, &mut points);
        points
    }

    #[test]
    fn late_samples_find_their_place_and_the_first_wins() {
        let mut series = HeadSeries::default();
        assert_eq!(series.append(point(1000, 1.0)), Appended::Stored);
        assert_eq!(series.append(point(3000, 3.0)), Appended::Stored);
        assert_eq!(series.append(point(2000, 2.0)), Appended::StoredLate);
        assert_eq!(series.append(point(2000, 2.0)), Appended::Duplicate);
        assert_eq!(series.append(point(2000, 9.0)), Appended::Conflict);
        assert_eq!(series.append(point(3000, 3.0)), Appended::Duplicate);
        assert_eq!(series.append(point(3000, 4.0)), Appended::Conflict);
        assert_eq!(read(&series), [point(1000, 1.0), point(2000, 2.0), point(3000, 3.0)]);
    }

    #[test]
    fn sealing_takes_one_partition_and_what_comes_meanwhile_stays() {
        let mut series = HeadSeries::default();
        let border = super::super::PARTITION_MS;
        for time in [1000, 2000, border, border + 1000] {
            series.append(point(time, 1.0));
        }
        assert_eq!(series.begin_sealing(0).len(), 2);
        series.append(point(1500, 5.0));
        assert_eq!(read(&series).len(), 5);
        series.finish_sealing();
        assert_eq!(read(&series), [point(1500, 5.0), point(border, 1.0), point(border + 1000, 1.0)]);
        series.begin_sealing(1);
        series.give_up_sealing();
        series.finish_sealing();
        assert_eq!(read(&series).len(), 3);
    }

    #[test]
    fn checkpoints_hand_out_each_chunk_once() {
        let mut series = HeadSeries::default();
        (0..250).for_each(|time| {
            series.append(point(time, time as f64));
        });
        let mut chunks = Vec::new();
        series.checkpoint(|chunk, _| chunks.push(chunk.clone()));
        assert_eq!(chunks.len(), 3);
        series.checkpoint(|_, _| panic!("nothing is new"));
        let mut restored = HeadSeries::default();
        chunks.iter().for_each(|chunk| restored.restore(chunk.first_ms, chunk.last_ms(), &chunk.bytes));
        assert_eq!(read(&restored), read(&series));
        assert_eq!(restored.append(point(249, 249.0)), Appended::Duplicate);
        assert_eq!(restored.append(point(250, 1.0)), Appended::Stored);
    }
}
