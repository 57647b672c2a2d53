//! `le` and `quantile` as Prometheus 3 stores them: numbers in one spelling, so that `1` and `1.0` are one series. Pure.

use flyball_model::exposition::MetricType;

/// The value of a label of a family of this type.
pub(super) fn normal(kind: MetricType, name: &str, value: &str) -> Option<String> {
    let is_bound = matches!((kind, name), (MetricType::Histogram, "le") | (MetricType::Summary, "quantile"));
    let number: f64 = if is_bound { value.parse().ok()? } else { return None };
    // Text that is no float to Go, though it is to Rust, or the other way round, stays as it is.
    let is_float = number.is_finite() || value.bytes().all(|byte| !byte.is_ascii_digit());
    is_float.then(|| print(number)).filter(|printed| printed != value)
}

/// As Go's `%g` with the fewest digits, and a point in it.
fn print(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_have_one_spelling() {
        for (value, expected) in [
            ("1", Some("1.0")),
            ("1.0", None),
            ("0", Some("0.0")),
            ("-1", Some("-1.0")),
            ("0.5", None),
            (".5", Some("0.5")),
            ("+Inf", None),
            ("inf", Some("+Inf")),
            ("-inf", Some("-Inf")),
            ("nan", Some("NaN")),
            ("10", Some("10.0")),
            ("100000", Some("100000.0")),
            ("1000000", Some("1e+06")),
            ("1234567", Some("1.234567e+06")),
            ("1e6", Some("1e+06")),
            ("1e3", Some("1000.0")),
            ("0.0001", None),
            ("0.00001", Some("1e-05")),
            ("2.5e-05", None),
            ("1e100", Some("1e+100")),
            ("abc", None),
            ("", None),
            ("1e999", None),
        ] {
            assert_eq!(normal(MetricType::Histogram, "le", value).as_deref(), expected, "{value}");
            assert_eq!(normal(MetricType::Summary, "quantile", value).as_deref(), expected, "{value}");
            assert_eq!(normal(MetricType::Gauge, "le", value), None);
            assert_eq!(normal(MetricType::Histogram, "quantile", value), None);
        }
    }
}
