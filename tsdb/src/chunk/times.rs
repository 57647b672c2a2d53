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

/// Appends `count` points with their times, each later than the one before, and without their values.
pub(super) fn read(reader: &mut Reader<'_>, count: usize, points: &mut Vec<Point>) -> Result<(), Damaged> {
    read_times(reader, count, points).ok_or(Damaged)
}

fn read_times(reader: &mut Reader<'_>, count: usize, points: &mut Vec<Point>) -> Option<()> {
    let kind = reader.byte()?;
    let mut time_ms = reader.signed()?;
    let mut step_ms = i64::try_from(reader.varint()?).ok()?;
    let mut push = |timestamp_ms| points.push(Point { timestamp_ms, value: 0.0 });
    push(time_ms);
    match kind {
        REGULAR => {
            if count > 1 && step_ms <= 0 {
                return None;
            }
            time_ms.checked_add(step_ms.checked_mul(count as i64 - 1)?)?;
            for _ in 1..count {
                time_ms += step_ms;
                push(time_ms);
            }
        }
        IRREGULAR => {
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
            residuals::each(reader.counted()?, changes, |change| step(unzigzag(change)))?;
            if !sound {
                return None;
            }
        }
        _ => return None,
    }
    Some(())
}
