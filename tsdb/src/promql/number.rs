//! Numbers as PromQL reads them and as Prometheus writes them.

/// A number literal: decimal, `0x1f`, `1e3`, underscores between digits, `Inf`, `NaN` in any case, an optional sign.
pub fn parse(text: &str) -> Option<f64> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = body.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let clean = without_underscores(&lower)?;
    if let Some(digits) = clean.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(|value| sign * value as f64);
    }
    let first = clean.bytes().next()?;
    let octal = clean.len() > 1 && first == b'0' && clean.bytes().all(|byte| byte.is_ascii_digit());
    if octal && clean.bytes().all(|byte| byte < b'8') {
        return u64::from_str_radix(&clean, 8).ok().map(|value| sign * value as f64);
    }
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    clean.parse::<f64>().ok().map(|value| sign * value)
}

/// A float as Go reads it where no literal is meant: decimal digits, an exponent, infinities; nothing else.
pub fn parse_float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let word = ["inf", "infinity", "nan"].contains(&digits.to_ascii_lowercase().as_str());
    if plain || word { text.parse().ok() } else { None }
}

/// Underscores may stand between digits only.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let digit_at = |index: Option<usize>| {
            index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_alphanumeric)
        };
        if *byte == b'_' && !(digit_at(index.checked_sub(1)) && digit_at(Some(index + 1))) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// As Go's `%v` and Prometheus' JSON write a float: the shortest text that reads back the same, plain between 1e-6 and
/// 1e21, with an exponent of at least two digits outside; `NaN`, `+Inf`, `-Inf`.
pub fn write_json(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-6..1e21).contains(&size) {
        return exponent_form(value);
    }
    write_plain(value)
}

/// As Go's `'f'` format with the shortest precision: never an exponent.
pub fn write_plain(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.into()
    } else {
        format!("{value}")
    }
}

/// As Go's `%v`: an exponent below 1e-4 and from 1e6 on.
pub fn write_short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e6).contains(&size) {
        return exponent_form(value);
    }
    write_plain(value)
}

/// `1.5e+21`, `1e-07`.
fn exponent_form(value: f64) -> String {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (text, value) in [
            ("1", 1.0),
            ("-.5", -0.5),
            ("0x1F", 31.0),
            ("1_000", 1000.0),
            ("1e3", 1000.0),
            ("017", 15.0),
            ("+Inf", f64::INFINITY),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        assert!(parse("nan").is_some_and(f64::is_nan));
        for (text, value) in
            [("017", Some(17.0)), ("+Inf", Some(f64::INFINITY)), ("1e3", Some(1000.0)), (".5", Some(0.5))]
        {
            assert_eq!(parse_float(text), value, "{text}");
        }
        for text in ["0x2", "", " 1", "1 ", "x", "--1", "e5"] {
            assert_eq!(parse_float(text), None, "{text}");
        }
        for text in ["", "_1", "1_", "1__0", "x", "0x", "--1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_are_those_of_prometheus() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (1e-6, "0.000001"),
            (-0.0, "-0"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(write_json(value), text);
        }
        assert_eq!(write_short(0.00001), "1e-05");
        assert_eq!(write_short(999_999.5), "999999.5");
        assert_eq!(write_short(1_234_567.0), "1.234567e+06");
        assert_eq!(write_plain(1e22), "10000000000000000000000");
    }
}
