//! Durations and sizes as Prometheus writes them. Pure.

use std::time::Duration;

/// Units of durations, largest first, in milliseconds.
const UNITS_MS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 60 * 60 * 1000),
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];
/// Prometheus counts nanoseconds in 64 bits with a sign.
const LONGEST_MS: u64 = i64::MAX as u64 / 1_000_000;

/// Reads `1h30m`: whole numbers with units, each at most once, from large to small; or `0`.
///
/// # Errors
/// What is no duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write it like 1m, 30s or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let mut rest = text;
    let mut units = UNITS_MS.as_slice();
    let mut sum_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, after) = behind.split_at(end);
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let total = number.checked_mul(units[at].1).and_then(|ms| ms.checked_add(sum_ms));
        sum_ms = total.filter(|ms| *ms <= LONGEST_MS).ok_or_else(|| format!("{text:?} is too long"))?;
        units = &units[at + 1..];
        rest = after;
    }
    Ok(Duration::from_millis(sum_ms))
}

/// Writes a duration as Prometheus shows it; what is below a millisecond is cut.
pub fn print_duration(duration: Duration) -> String {
    let mut left_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left_ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (index, (unit, ms)) in UNITS_MS.into_iter().enumerate() {
        // Years and weeks only when nothing is left: 90d reads better than 12w6d.
        let exact = index < 2;
        if left_ms >= ms && (!exact || left_ms % ms == 0) {
            out.push_str(&format!("{}{unit}", left_ms / ms));
            left_ms %= ms;
        }
    }
    out
}

/// Reads a number that is not negative as YAML 1.1 has it: `10`, `1_000`, `0x1f`, `0b11`, `0o17` and `017`; of `1e3` and `5.5`
/// the whole part, as Prometheus takes it.
pub fn parse_number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0b", 2), ("0o", 8), ("0", 8)] {
        let rest =
            digits.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.starts_with(['+', '-']));
        if let Some(number) = rest.and_then(|rest| u64::from_str_radix(rest, radix).ok()) {
            return Some(number);
        }
    }
    let is_decimal = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !is_decimal {
        return None;
    }
    let whole =
        digits.parse::<f64>().ok().filter(|number| *number < u64::MAX as f64).map(|number| number as u64);
    digits.parse().ok().or(whole)
}

/// Reads `10MB`, `1.5GiB` or `0`; `KB` and `KiB` are both 1024 bytes.
///
/// # Errors
/// What is no size.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    let wrong = || format!("{text:?} is no size: write it like 512KB, 10MB or 1GiB");
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit = &rest[end..];
        let power = unit.chars().next().and_then(|c| UNITS.iter().position(|known| *known == c));
        let scaled = power.map_or(unit, |_| unit[1..].strip_prefix('i').unwrap_or(&unit[1..]));
        rest = scaled.strip_prefix('B').ok_or_else(wrong)?;
        sum += number * 1024_f64.powi(power.map_or(0, |power| power as i32 + 1));
    }
    if text.is_empty() || sum >= i64::MAX as f64 { Err(wrong()) } else { Ok(sum as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_both_ways() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3000, "3s"),
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("4d", 345_600_000, "4d"),
            ("4d1h", 349_200_000, "4d1h"),
            ("14d", 1_209_600_000, "2w"),
            ("3w", 1_814_400_000, "3w"),
            ("3w2d1h", 1_990_800_000, "23d1h"),
            ("10y", 315_360_000_000, "10y"),
            ("1y2w3d4h5m6s7ms", 33_019_506_007, "382d4h5m6s7ms"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(print_duration(duration), printed, "{text}");
        }
        for bad in [
            "",
            "1",
            "1y1m1d",
            "-1w",
            "1.5d",
            "d",
            "294y",
            "200y10400w",
            "107675d",
            "2584200h",
            "1m1m",
            "1 m",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_those_of_yaml() {
        for (text, number) in [
            ("0", 0),
            ("10", 10),
            ("+5", 5),
            ("1_000", 1000),
            ("0x1F", 31),
            ("0b11", 3),
            ("0o17", 15),
            ("017", 15),
            ("089", 89),
            ("1e3", 1000),
            ("5.5", 5),
            (".5", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_number(text), Some(number), "{text}");
        }
        for text in ["", "-1", "x", "0x", "0x-1", "inf", "nan", "1e30", "10MB", "-0x1", "++1"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", 0),
            ("7B", 7),
            ("1KB", 1024),
            ("1KiB", 1024),
            ("15MB", 15 << 20),
            ("1.5GiB", 3 << 29),
            ("1GB512MB", 3 << 29),
            ("2TB", 2 << 40),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), expected, "{text}");
        }
        for bad in ["", "1", "MB", "1mb", "-1MB", "1M", "1.2.3MB", "1XB", "20000000EB", "1é"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
