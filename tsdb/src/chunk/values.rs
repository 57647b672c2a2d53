//! Values of a chunk as integers: decimal mantissas where all values have them, else the floats' bits in their order; then
//! the order of differences and the common factor that make them smallest.

use super::bits::{Reader, put_signed, put_varint, unzigzag, zigzag};
use super::residuals::{self, Column};
use super::{Damaged, decimal};
use crate::series::Point;

const DECIMAL: u8 = 0;
const FLOAT_BITS: u8 = 1;

/// One value in so many may be no decimal number (a marker of staleness, an infinity) while the others are written as such.
const ODD_VALUES_ONE_IN: usize = 16;

/// Appends the values of `points`, which are not empty.
pub(super) fn write(mut bytes: Vec<u8>, points: &[Point]) -> Vec<u8> {
    let mut odd = Vec::new();
    let integers = if let Some((exponent, mantissas)) = decimals(points, &mut odd) {
        bytes.extend_from_slice(&[DECIMAL, exponent]);
        put_varint(&mut bytes, odd.len() as u64);
        let mut next = 0;
        for (index, bits) in odd {
            put_varint(&mut bytes, (index - next) as u64);
            bytes.extend_from_slice(&bits.to_le_bytes());
            next = index + 1;
        }
        mantissas
    } else {
        bytes.push(FLOAT_BITS);
        points.iter().map(|point| ordered(point.value.to_bits())).collect()
    };
    write_integers(bytes, &integers)
}

/// Mantissas of all values with their common exponent. `odd` gets the values that have none; the mantissa before stands in
/// their place.
fn decimals(points: &[Point], odd: &mut Vec<(usize, u64)>) -> Option<(u8, Vec<i64>)> {
    let odd_max = points.len() / ODD_VALUES_ONE_IN + 1;
    let mut exponent = 0;
    let mut mantissas = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        let found = decimal::mantissa(point.value, exponent).or_else(|| {
            let wider = decimal::exponent(point.value, exponent)?;
            mantissas = widened(&mantissas, exponent, wider)?;
            exponent = wider;
            decimal::mantissa(point.value, wider)
        });
        if found.is_none() {
            if odd.len() == odd_max {
                return None;
            }
            odd.push((index, point.value.to_bits()));
        }
        mantissas.push(found.or(mantissas.last().copied()).unwrap_or(0));
    }
    (odd.len() < points.len()).then_some((exponent, mantissas))
}

/// The same decimals with more digits; `None` when one grows too long, for then no exponent fits all.
fn widened(mantissas: &[i64], exponent: u8, wider: u8) -> Option<Vec<i64>> {
    mantissas.iter().map(|&mantissa| decimal::mantissa(decimal::value(mantissa, exponent), wider)).collect()
}

/// A float's bits as an integer whose order is the order of the floats.
fn ordered(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn unordered(integer: i64) -> u64 {
    (integer ^ (((integer >> 63) as u64) >> 1) as i64) as u64
}

/// How integers become small numbers.
#[derive(Clone, Copy)]
enum Order {
    /// Above the smallest.
    Plain = 0,
    /// Differences.
    First = 1,
    /// Differences of differences.
    Second = 2,
    /// Differences above the smallest of them: of what only rises, or only falls, no bit is spent on the sign.
    Monotonic = 3,
}

fn write_integers(mut bytes: Vec<u8>, integers: &[i64]) -> Vec<u8> {
    let first = integers[0];
    let differences: Vec<i64> = integers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let factor = common_factor(&differences);
    if factor == 0 {
        bytes.push(Order::First as u8);
        put_signed(&mut bytes, first);
        put_varint(&mut bytes, 0);
        return bytes;
    }
    let steps: Vec<i64> = if factor == 1 {
        differences
    } else {
        differences.iter().map(|step| divide(*step, factor)).collect()
    };
    let smallest = monotonic(&steps);
    let in_order = Column::new(steps.iter().map(move |step| match smallest {
        Some(least) => step.wrapping_sub(least) as u64,
        None => zigzag(*step),
    }));
    let second = Column::new(
        std::iter::once(zigzag(steps[0]))
            .chain(steps.windows(2).map(|pair| zigzag(pair[1].wrapping_sub(pair[0])))),
    );
    let above = above_smallest(integers, factor).map(|(base, above)| (base, Column::new(above)));
    let (first_bits, second_bits) = (in_order.cost_bits(), second.cost_bits());
    let mut head = |order: Order, base| {
        bytes.push(order as u8);
        put_signed(&mut bytes, base);
        put_varint(&mut bytes, factor);
    };
    if let Some((base, above)) = above
        && above.cost_bits() < first_bits.min(second_bits)
    {
        head(Order::Plain, base);
        above.write(bytes)
    } else if second_bits < first_bits {
        head(Order::Second, first);
        second.write(bytes)
    } else if let Some(least) = smallest {
        head(Order::Monotonic, first);
        put_signed(&mut bytes, least);
        in_order.write(bytes)
    } else {
        head(Order::First, first);
        in_order.write(bytes)
    }
}

/// The smallest of steps that all have one sign.
fn monotonic(steps: &[i64]) -> Option<i64> {
    let (&least, &most) = (steps.iter().min()?, steps.iter().max()?);
    (least >= 0 || most <= 0).then_some(least)
}

/// Greatest common factor of all differences; 0 when there is no difference.
fn common_factor(differences: &[i64]) -> u64 {
    let mut factor = 0;
    for difference in differences {
        factor = gcd(factor, difference.unsigned_abs());
        if factor == 1 {
            break;
        }
    }
    factor
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A division that is known to leave nothing. The factor of the smallest integer is its own magnitude.
fn divide(integer: i64, factor: u64) -> i64 {
    match i64::try_from(factor) {
        Ok(factor) => integer / factor,
        Err(_) => i64::from(integer != 0),
    }
}

/// Each integer above the smallest, in units of the factor; `None` where the distance does not fit.
fn above_smallest(integers: &[i64], factor: u64) -> Option<(i64, impl Iterator<Item = u64> + Clone + '_)> {
    let smallest = *integers.iter().min()?;
    integers.iter().max()?.checked_sub(smallest)?;
    let above = integers.iter().map(move |integer| {
        let above = (integer - smallest) as u64;
        // A division takes as long as everything else here.
        if factor == 1 { above } else { above / factor }
    });
    Some((smallest, above))
}

/// Which values of a chunk are read: those of the points, which stand in it after some others.
pub(super) struct Part {
    /// Values of the chunk.
    pub(super) count: usize,
    /// Those before the first point.
    pub(super) skipped: usize,
}

/// Reads the values of points that have their times.
pub(super) fn read(reader: &mut Reader<'_>, part: &Part, points: &mut [Point]) -> Result<(), Damaged> {
    read_values(reader, part, points).ok_or(Damaged)
}

fn read_values(reader: &mut Reader<'_>, part: &Part, points: &mut [Point]) -> Option<()> {
    match reader.byte()? {
        DECIMAL => {
            let exponent = reader.byte()?;
            if exponent > decimal::EXPONENT_MAX {
                return None;
            }
            let odd_count = reader.varint()?;
            let mut odd = Vec::new();
            let mut next = 0usize;
            for _ in 0..odd_count {
                let index = next.checked_add(usize::try_from(reader.varint()?).ok()?)?;
                if index >= part.count {
                    return None;
                }
                odd.push((index, f64::from_bits(reader.word()?)));
                next = index + 1;
            }
            match exponent {
                // Whole numbers need no division.
                0 => read_integers(reader, part, points, |mantissa| mantissa as f64)?,
                _ => read_integers(reader, part, points, |mantissa| decimal::value(mantissa, exponent))?,
            }
            for (index, value) in odd {
                if let Some(point) = index.checked_sub(part.skipped).and_then(|at| points.get_mut(at)) {
                    point.value = value;
                }
            }
            Some(())
        }
        FLOAT_BITS => read_integers(reader, part, points, |integer| f64::from_bits(unordered(integer))),
        _ => None,
    }
}

/// Takes integers in order, leaves out the first ones, and puts the others into points as values.
struct Placing<'p, V> {
    skipped: usize,
    points: std::slice::IterMut<'p, Point>,
    value: V,
}

impl<V: Fn(i64) -> f64> Placing<'_, V> {
    #[inline]
    fn put(&mut self, integer: i64) {
        if self.skipped > 0 {
            self.skipped -= 1;
        } else if let Some(point) = self.points.next() {
            point.value = (self.value)(integer);
        }
    }
}

fn read_integers(
    reader: &mut Reader<'_>,
    part: &Part,
    points: &mut [Point],
    value: impl Fn(i64) -> f64,
) -> Option<()> {
    let order = reader.byte()?;
    let base = reader.signed()?;
    let factor = reader.varint()?;
    if factor == 0 {
        let value = value(base);
        points.iter_mut().for_each(|point| point.value = value);
        return Some(());
    }
    let scale = |number: i64| number.wrapping_mul(factor as i64);
    let (count, wanted) = (part.count, part.skipped + points.len());
    let mut to = Placing { skipped: part.skipped, points: points.iter_mut(), value };
    if order == Order::Plain as u8 {
        return residuals::each(reader.rest(), count, wanted, |number| {
            to.put(base.wrapping_add(scale(number as i64)));
        });
    }
    let least = if order == Order::Monotonic as u8 { reader.signed()? } else { 0 };
    to.put(base);
    let (count, wanted) = (count.checked_sub(1)?, wanted.checked_sub(1)?);
    let (mut integer, mut step) = (base, 0i64);
    let steps = reader.rest();
    let mut take = |step: i64| {
        integer = integer.wrapping_add(scale(step));
        to.put(integer);
    };
    match order {
        1 => residuals::each(steps, count, wanted, |number| take(unzigzag(number))),
        2 => residuals::each(steps, count, wanted, |number| {
            step = step.wrapping_add(unzigzag(number));
            take(step);
        }),
        3 => residuals::each(steps, count, wanted, |number| take(least.wrapping_add(number as i64))),
        _ => None,
    }
}
