//! Points and lengths of time as text: RFC 3339, Go's durations, and the ages that kubectl prints.
//!
//! All are pure: the time comes from the caller.

use std::fmt::Write as _;
use std::time::Duration;

/// RFC 3339 in UTC, whole seconds (`2026-11-22T11:05:36Z`), as Kubernetes prints `metav1.Time`.
///
/// The fraction is dropped, never rounded. Years outside -9999 to 9999 are moved to the nearest printable time.
pub fn rfc3339_seconds(unix_ms: i64) -> String {
    timestamp_of_us(unix_ms.div_euclid(1000).saturating_mul(1_000_000)).to_string()
}

/// RFC 3339 in UTC with six decimals (`2026-11-22T11:05:36.123456Z`), as Kubernetes prints `metav1.MicroTime`.
pub fn rfc3339_micros(unix_us: i64) -> String {
    format!("{:.6}", timestamp_of_us(unix_us))
}

fn timestamp_of_us(unix_us: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(unix_us).unwrap_or(if unix_us < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    })
}

/// Unix milliseconds of an RFC 3339 text with any offset; a finer fraction is dropped. `None` for other text.
pub fn parse_rfc3339_ms(text: &str) -> Option<i64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond().div_euclid(1_000_000)).ok()
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Go's `time.Duration.String()`: `0s`, `1µs`, `500ms`, `10.02s`, `1m0s`, `1h0m0s`.
pub fn go_duration(nanos: i128) -> String {
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    let nanos = nanos.unsigned_abs();
    match nanos {
        0 => out.push_str("0s"),
        1..1_000 => push_unit(&mut out, nanos, 1, "ns"),
        1_000..1_000_000 => push_unit(&mut out, nanos, 1_000, "µs"),
        1_000_000..NANOS_PER_SECOND => push_unit(&mut out, nanos, 1_000_000, "ms"),
        _ => {
            let minutes = nanos / (60 * NANOS_PER_SECOND);
            if minutes >= 60 {
                let _ = write!(out, "{}h", minutes / 60);
            }
            if minutes > 0 {
                let _ = write!(out, "{}m", minutes % 60);
            }
            push_unit(&mut out, nanos % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND, "s");
        }
    }
    out
}

/// `nanos / unit` with as many decimals as it needs.
fn push_unit(out: &mut String, nanos: u128, unit: u128, name: &str) {
    let _ = write!(out, "{}", nanos / unit);
    let rest = nanos % unit;
    if rest > 0 {
        let width = unit.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.push_str(name);
}

/// Reads what Go's `time.ParseDuration` reads, except negative lengths: `1h30m`, `1.5s`, `300ms`, `0`.
///
/// `None` for anything else, or a length beyond Go's 292 years.
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total.checked_add(nanos_of(number, unit)?)?;
        rest = tail;
    }
    // Go's Duration is a signed 64-bit count of nanoseconds.
    let nanos = i64::try_from(total).ok()?;
    Some(Duration::from_nanos(nanos.unsigned_abs()))
}

fn nanos_of(number: &str, unit: &str) -> Option<u128> {
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut scale = 1u128;
    // Digits finer than a nanosecond of an hour do not count.
    let mut part = 0u128;
    for digit in fraction.bytes().take(16) {
        part = part * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    nanos = nanos.checked_add(part * unit / scale)?;
    Some(nanos)
}

/// The age that kubectl prints (`HumanDuration`): `5s`, `3m20s`, `25m`, `4h10m`, `30h`, `2d3h`, `45d`, `2y10d`.
///
/// A small negative age, which clocks that differ give, is `0s`; a larger one is `<invalid>`.
pub fn short_age(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".into();
    }
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match () {
        () if seconds < 0 => "0s".into(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{days}d"),
        () if hours < 24 * 365 * 8 => two(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

fn two(major: i64, major_unit: &str, minor: i64, minor_unit: &str) -> String {
    if minor == 0 {
        format!("{major}{major_unit}")
    } else {
        format!("{major}{major_unit}{minor}{minor_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339() {
        assert_eq!(rfc3339_seconds(1_795_345_536_999), "2026-11-22T11:05:36Z");
        assert_eq!(rfc3339_seconds(-1), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339_micros(1_795_345_536_123_456), "2026-11-22T11:05:36.123456Z");
        assert_eq!(rfc3339_micros(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(parse_rfc3339_ms("2026-11-22T11:05:36Z"), Some(1_795_345_536_000));
        assert_eq!(parse_rfc3339_ms("2026-11-22T12:05:36.1239+01:00"), Some(1_795_345_536_123));
        assert_eq!(parse_rfc3339_ms("yesterday"), None);
        assert!(rfc3339_seconds(i64::MAX).starts_with("9999-"));
        assert!(rfc3339_seconds(i64::MIN).starts_with("-009999-"));
    }

    #[test]
    fn go_durations() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_000, "1µs"),
            (1_100, "1.1µs"),
            (500_000_000, "500ms"),
            (9_982_000_000, "9.982s"),
            (10_020_000_000, "10.02s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_661_500_000_000, "1h1m1.5s"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(go_duration(nanos), text);
            if nanos >= 0 {
                assert_eq!(
                    parse_go_duration(text).map(|d| d.as_nanos()),
                    Some(nanos.unsigned_abs()),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn go_durations_that_are_none() {
        for text in ["", "+", "1", "s", ".s", "1x", "1..5s", "-1s", "1s ", "9999999999h", "1.5.5s", "1é"] {
            assert_eq!(parse_go_duration(text), None, "{text:?}");
        }
        assert_eq!(parse_go_duration("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_go_duration(".5s1ms"), Some(Duration::from_millis(501)));
        assert_eq!(parse_go_duration("0"), Some(Duration::ZERO));
    }

    #[test]
    fn ages_as_kubectl_prints_them() {
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (15_000, "4h10m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (183_600, "2d3h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_936_000, "2y10d"),
            (315_360_000, "10y"),
        ] {
            assert_eq!(short_age(seconds), text, "{seconds}");
        }
    }
}
