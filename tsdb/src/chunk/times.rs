//! Times of a chunk: first time and step when the step never changes, else second differences.
//!
//! What stands for them is a *record*. Samples that were taken together have the same times: whoever keeps many chunks may
//! keep such a record once and let the chunks name it by a number.

use std::ops::RangeInclusive;

use super::bits::{Reader, put_counted, put_signed, put_varint, unzigzag, zigzag};
use super::residuals::{self, Column};
use super::{Damaged, Records};
use crate::series::Point;

const REGULAR: u8 = 0;
const IRREGULAR: u8 = 1;
const SHARED: u8 = 2;

/// A record of fewer bytes is kept in every chunk: its number would hardly be shorter.
const SHARED_FROM_BYTES: usize = 32;

/// Appends the times of `points`, which are in order of time and not empty, or the number that `share` has for their record.
pub(super) fn write(bytes: &mut Vec<u8>, points: &[Point], share: impl FnOnce(&[u8]) -> Option<u32>) {
    let from = bytes.len();
    write_record(bytes, points);
    if bytes.len() - from >= SHARED_FROM_BYTES
        && let Some(number) = share(&bytes[from..])
    {
        bytes.truncate(from);
        bytes.push(SHARED);
        put_varint(bytes, u64::from(number));
    }
}

fn write_record(bytes: &mut Vec<u8>, points: &[Point]) {
    let time = |index: usize| points[index].timestamp_ms;
    let step = |index: usize| time(index).wrapping_sub(time(index - 1));
    let first_step = if points.len() > 1 { step(1) } else { 0 };
    let regular = (2..points.len()).all(|index| step(index) == first_step);
    bytes.push(if regular { REGULAR } else { IRREGULAR });
    put_signed(bytes, time(0));
    put_varint(bytes, first_step as u64);
    if !regular {
        let changes = (2..points.len()).map(|index| zigzag(step(index).wrapping_sub(step(index - 1))));
        put_counted(bytes, &Column::new(changes).write(Vec::new()));
    }
}

/// Appends those of `count` points whose times may be in the range, each later than the one before, and without their
/// values; answers how many before them were left out.
pub(super) fn read(
    reader: &mut Reader<'_>,
    count: usize,
    range: &RangeInclusive<i64>,
    records: &mut Records<'_>,
    points: &mut Vec<Point>,
) -> Result<usize, Damaged> {
    match reader.byte().ok_or(Damaged)? {
        SHARED => {
            let record = reader.small().and_then(records).ok_or(Damaged)?;
            let mut reader = Reader::new(&record);
            let kind = reader.byte().ok_or(Damaged)?;
            read_times(kind, &mut reader, count, range, points).ok_or(Damaged)
        }
        kind => read_times(kind, reader, count, range, points).ok_or(Damaged),
    }
}

/// How many of `count` times (the first, and each a step after the one before) are before a time.
fn before(time_ms: i64, (first_ms, step_ms, count): (i64, i64, usize)) -> usize {
    let distance = i128::from(time_ms) - i128::from(first_ms);
    match distance {
        ..=0 => 0,
        // A single one has no step.
        _ => ((distance - 1) / i128::from(step_ms.max(1)) + 1).min(count as i128) as usize,
    }
}

fn read_times(
    kind: u8,
    reader: &mut Reader<'_>,
    count: usize,
    range: &RangeInclusive<i64>,
    points: &mut Vec<Point>,
) -> Option<usize> {
    let mut time_ms = reader.signed()?;
    let mut step_ms = i64::try_from(reader.varint()?).ok()?;
    let mut push = |timestamp_ms| points.push(Point { timestamp_ms, value: 0.0 });
    match kind {
        REGULAR => {
            if count > 1 && step_ms <= 0 {
                return None;
            }
            time_ms.checked_add(step_ms.checked_mul(count as i64 - 1)?)?;
            let of = (time_ms, step_ms, count);
            let from = before(*range.start(), of);
            let to = match range.end().checked_add(1) {
                Some(behind_ms) => before(behind_ms, of),
                None => count,
            };
            (from..to).for_each(|index| push(time_ms + step_ms * index as i64));
            Some(from)
        }
        IRREGULAR => {
            push(time_ms);
            // Of two points there is one step, which is the first; the column has the changes from then on.
            let changes = count.checked_sub(2)?;
            let mut sound = step_ms > 0;
            let mut step = |change: i64| {
                step_ms = step_ms.wrapping_add(change);
                let next_ms = time_ms.checked_add(step_ms).filter(|_| step_ms > 0);
                sound &= next_ms.is_some();
                time_ms = next_ms.unwrap_or(time_ms);
                push(time_ms);
            };
            step(0);
            residuals::each(reader.counted()?, changes, changes, |change| step(unzigzag(change)))?;
            sound.then_some(0)
        }
        _ => None,
    }
}
