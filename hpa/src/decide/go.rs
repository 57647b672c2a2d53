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
}
