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
    let scaled = float * POWERS[usize::from(exponent)];
    // Not a number is neither.
    if scaled.is_nan() || scaled.abs() > MANTISSA_MAX {
        return None;
    }
    if exponent == 0 {
        let mantissa = float as i64;
        return ((mantissa as f64).to_bits() == float.to_bits()).then_some(mantissa);
    }
    let mantissa = nearest(scaled);
    (value(mantissa, exponent).to_bits() == float.to_bits()).then_some(mantissa)
}

/// The nearest whole number of a float that is not above [`MANTISSA_MAX`]; of two the even one.
#[inline]
fn nearest(float: f64) -> i64 {
    /// Added, it leaves no digits behind the point.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    /// As long as it is larger than the float.
    const SHIFTED_MAX: f64 = 2_251_799_813_685_248.0;
    if float.abs() < SHIFTED_MAX {
        return ((float + SHIFT) - SHIFT) as i64;
    }
    float.round_ties_even() as i64
}

/// The smallest exponent from `at_least` on that fits a float.
pub(super) fn exponent(float: f64, at_least: u8) -> Option<u8> {
    (at_least..=EXPONENT_MAX).find(|&exponent| mantissa(float, exponent).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_whole_number_is_that_of_the_library() {
        for float in [
            0.0,
            -0.0,
            0.5,
            -0.5,
            1.5,
            2.5,
            -2.5,
            0.499_999_999_999_999_94,
            2_251_799_813_685_247.5,
            9e15,
            -9e15,
        ] {
            for float in [float, float * 1.000_000_1, -float / 3.0] {
                assert_eq!(nearest(float), float.round_ties_even() as i64, "{float}");
            }
        }
    }

    #[test]
    fn decimals_are_found_and_others_refused() {
        assert_eq!((exponent(0.07, 0), mantissa(0.07, 2)), (Some(2), Some(7)));
        assert_eq!((exponent(12.0, 0), mantissa(-12.0, 0)), (Some(0), Some(-12)));
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1.0 / 3.0, 1e300, 5e-324] {
            assert_eq!(exponent(odd, 0), None, "{odd}");
        }
    }
}
