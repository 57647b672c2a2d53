//! Go's number conversions, in one place.
//!
//! Promise: for every value that fits, the result is the one Go's compiler gives for the same expression. Where Go leaves
//! the result to the processor (a float outside of the integer's range, or NaN) this module saturates and maps NaN to 0,
//! as Go does on arm64; on amd64 Go yields the smallest integer there.

/// `int32(math.Ceil(value))`.
pub fn ceil_i32(value: f64) -> i32 {
    value.ceil() as i32
}

/// `int32(value)`: cuts toward zero.
pub fn trunc_i32(value: f64) -> i32 {
    value as i32
}

/// `int64(math.Ceil(value))`.
pub fn ceil_i64(value: f64) -> i64 {
    value.ceil() as i64
}

/// `int32((total * 100) / parts)` in Go's wrapping 64-bit arithmetic: a percentage cut to whole percent.
///
/// `parts` must not be zero.
pub fn percent_i32(total: i64, parts: i64) -> i32 {
    total.wrapping_mul(100).wrapping_div(parts) as i32
}

/// Cut to the range.
pub fn saturate_i32(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// `ceil(level / goal × pods)` without floats, which Go does not do: see [`super::Switches::exact_ceiling`].
///
/// A goal of zero (which validation refuses) counts as the smallest one.
pub fn exact_ceil_i32(level: i64, pods: i64, goal: i64) -> i32 {
    let (product, goal) =
        (i128::from(level) * i128::from(pods), i128::from(if goal == 0 { 1 } else { goal }));
    let cut = product.div_euclid(goal);
    let ceiled = if product.rem_euclid(goal) == 0 { cut } else { cut + if goal > 0 { 1 } else { 0 } };
    i32::try_from(ceiled).unwrap_or(if ceiled < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_saturate() {
        assert_eq!(ceil_i32(f64::INFINITY), i32::MAX);
        assert_eq!(ceil_i32(f64::NAN), 0);
        assert_eq!(trunc_i32(-0.9), 0);
        assert_eq!(ceil_i32(-0.9), 0);
        assert_eq!(ceil_i64(1e300), i64::MAX);
    }

    #[test]
    fn percent_cuts_to_whole_percent() {
        assert_eq!(percent_i32(8899, 10_000), 88);
        assert_eq!(percent_i32(-8899, 10_000), -88);
    }

    #[test]
    fn exact_ceilings() {
        assert_eq!(exact_ceil_i32(290, 7, 70), 29, "D22");
        assert_eq!(exact_ceil_i32(291, 7, 70), 30);
        assert_eq!(exact_ceil_i32(-1, 3, 2), -1);
        assert_eq!(exact_ceil_i32(i64::MAX, i64::MAX, 1), i32::MAX);
        assert_eq!(exact_ceil_i32(i64::MIN, 5, 1), i32::MIN);
    }
}
