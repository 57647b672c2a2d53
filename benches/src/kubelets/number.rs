//! Numbers as Go prints them in an exposition.

use std::fmt::Write as _;

/// `strconv.FormatFloat(value, 'g', -1, 64)`: the shortest digits that read back, with an exponent of at least two
/// digits below 1e-4 and from a million on.
pub fn push_float(out: &mut String, value: f64) {
    let magnitude = value.abs();
    let _ = if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else if magnitude == 0.0 {
        out.write_str(if value.is_sign_negative() { "-0" } else { "0" })
    } else {
        write!(out, "{}", GoFloat(value))
    };
}

struct GoFloat(f64);

impl std::fmt::Display for GoFloat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scientific = format!("{:e}", self.0);
        let Some((digits, exponent)) = scientific.split_once('e') else { return f.write_str(&scientific) };
        let power: i32 = exponent.parse().unwrap_or(0);
        if (-4..6).contains(&power) {
            return write!(f, "{}", self.0);
        }
        let sign = if power < 0 { '-' } else { '+' };
        write!(f, "{digits}e{sign}{:02}", power.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::push_float;

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        let printed_by_go = [
            (0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (17_179_869_184.0, "1.7179869184e+10"),
            (1_624_396_278.302, "1.624396278302e+09"),
            (123_456_789.123_456, "1.23456789123456e+08"),
            (0.0001, "0.0001"),
            (0.000_012_34, "1.234e-05"),
            (1e-9, "1e-09"),
            (1e21, "1e+21"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ];
        for (value, expected) in printed_by_go {
            let mut out = String::new();
            push_float(&mut out, value);
            assert_eq!(out, expected);
        }
    }
}
