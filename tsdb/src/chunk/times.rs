//! Times of a chunk: first time and step when the step never changes, else second differences.

use super::Damaged;
use super::bits::{Reader, put_counted, put_signed, put_varint, unzigzag, zigzag};
use super::residuals::{self, Column};
use crate::series::Point;

const REGULAR: u8 = 0;
const IRREGULAR: u8 = 1;

/// Appends the times of `points`, which are in order of time and not empty.
pub(super) fn write(bytes: &mut Vec<u8>, points: &[Point]) {
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

/// Reads `count` times, each later than the one before.
pub(super) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, Damaged> {
    read_times(reader, count).ok_or(Damaged)
}

fn read_times(reader: &mut Reader<'_>, count: usize) -> Option<Vec<i64>> {
    let kind = reader.byte()?;
    let mut time_ms = reader.signed()?;
    let mut step_ms = i64::try_from(reader.varint()?).ok()?;
    let mut times = Vec::with_capacity(count);
    times.push(time_ms);
    let changes = match kind {
        REGULAR => Vec::new(),
        IRREGULAR => residuals::read(reader.counted()?, count.checked_sub(2)?)?,
        _ => return None,
    };
    for index in 1..count {
        if index >= 2 && kind == IRREGULAR {
            step_ms = step_ms.checked_add(unzigzag(changes[index - 2]))?;
        }
        if step_ms <= 0 {
            return None;
        }
        time_ms = time_ms.checked_add(step_ms)?;
        times.push(time_ms);
    }
    Some(times)
}
