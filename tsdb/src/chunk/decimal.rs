//! Floats that are really decimal numbers with few digits: `value = mantissa / 10^exponent`.
//!
//! Promise: a mantissa is given only when the division gives back the very same bits.

/// Most digits after the point that are tried.
pub(super) const EXPONENT_MAX: u8 = 15;

/// Beyond this a float no longer holds every integer.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;

/// Powers of ten; all of them are exact.
const POWERS: [f64; EXPONENT_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The float of a mantissa; `exponent` is at most [`EXPONENT_MAX`].
#[inline]
pub(super) fn value(mantissa: i64, exponent: u8) -> f64 {
    mantissa as f64 / POWERS[usize::from(exponent)]
}

/// The mantissa of a float, if it has one.
#[inline]
pub(super) fn mantissa(float: f64, exponent: u8) -> Option<i64> {
    let scaled = (float * POWERS[usize::from(exponent)]).round_ties_even();
    // Not a number is neither.
    if scaled.is_nan() || scaled.abs() > MANTISSA_MAX {
        return None;
    }
    let mantissa = scaled as i64;
    (value(mantissa, exponent).to_bits() == float.to_bits()).then_some(mantissa)
}

/// The smallest exponent from `at_least` on that fits a float.
pub(super) fn exponent(float: f64, at_least: u8) -> Option<u8> {
    (at_least..=EXPONENT_MAX).find(|&exponent| mantissa(float, exponent).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_found_and_others_refused() {
        assert_eq!((exponent(0.07, 0), mantissa(0.07, 2)), (Some(2), Some(7)));
        assert_eq!((exponent(12.0, 0), mantissa(-12.0, 0)), (Some(0), Some(-12)));
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1.0 / 3.0, 1e300, 5e-324] {
            assert_eq!(exponent(odd, 0), None, "{odd}");
        }
    }
}
