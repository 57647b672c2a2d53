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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Above the smallest.
    Plain = 0,
    /// Differences.
    First = 1,
    /// Differences of differences.
    Second = 2,
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
    let mut best = (Order::First, first, Column::new(steps.iter().map(|&step| zigzag(step))));
    let mut best_cost = best.2.cost_bits();
    let second = std::iter::once(zigzag(steps[0]))
        .chain(steps.windows(2).map(|pair| zigzag(pair[1].wrapping_sub(pair[0]))));
    let mut consider = |order, base, column: Column| {
        let cost = column.cost_bits();
        if cost < best_cost {
            best_cost = cost;
            best = (order, base, column);
        }
    };
    consider(Order::Second, first, Column::new(second));
    if let Some((base, above)) = above_smallest(integers, factor) {
        consider(Order::Plain, base, Column::new(above));
    }
    let (order, base, column) = best;
    bytes.push(order as u8);
    put_signed(&mut bytes, base);
    put_varint(&mut bytes, factor);
    column.write(bytes)
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
fn above_smallest(integers: &[i64], factor: u64) -> Option<(i64, impl Iterator<Item = u64> + '_)> {
    let smallest = *integers.iter().min()?;
    integers.iter().max()?.checked_sub(smallest)?;
    Some((smallest, integers.iter().map(move |integer| (integer - smallest) as u64 / factor)))
}

/// Reads `count` values.
pub(super) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, Damaged> {
    read_values(reader, count).ok_or(Damaged)
}

fn read_values(reader: &mut Reader<'_>, count: usize) -> Option<Vec<f64>> {
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
                if index >= count {
                    return None;
                }
                odd.push((index, f64::from_bits(reader.word()?)));
                next = index + 1;
            }
            let integers = read_integers(reader, count)?;
            let mut values: Vec<f64> =
                integers.into_iter().map(|mantissa| decimal::value(mantissa, exponent)).collect();
            for (index, value) in odd {
                values[index] = value;
            }
            Some(values)
        }
        FLOAT_BITS => {
            let integers = read_integers(reader, count)?;
            Some(integers.into_iter().map(|integer| f64::from_bits(unordered(integer))).collect())
        }
        _ => None,
    }
}

fn read_integers(reader: &mut Reader<'_>, count: usize) -> Option<Vec<i64>> {
    let order = reader.byte()?;
    let base = reader.signed()?;
    let factor = reader.varint()?;
    if factor == 0 {
        return Some(vec![base; count]);
    }
    let scale = |number: i64| number.wrapping_mul(factor as i64);
    if order == Order::Plain as u8 {
        let above = residuals::read(reader.rest(), count)?;
        return Some(above.into_iter().map(|number| base.wrapping_add(scale(number as i64))).collect());
    }
    let steps = residuals::read(reader.rest(), count.checked_sub(1)?)?;
    let mut integers = Vec::with_capacity(count);
    let (mut integer, mut step) = (base, 0i64);
    integers.push(base);
    for number in steps {
        step = match order {
            1 => unzigzag(number),
            2 => step.wrapping_add(unzigzag(number)),
            _ => return None,
        };
        integer = integer.wrapping_add(scale(step));
        integers.push(integer);
    }
    Some(integers)
}
