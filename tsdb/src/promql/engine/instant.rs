//! Functions of one value: mathematics and the calendar.

/// The function of a name, if it changes each value by itself.
pub(super) fn math(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => |value| match value.abs() {
            size if size > LARGE => (size.ln() + std::f64::consts::LN_2).copysign(value),
            _ => value.asinh(),
        },
        "acosh" => |value| match value {
            value if value > LARGE => value.ln() + std::f64::consts::LN_2,
            _ => value.acosh(),
        },
        "atanh" => f64::atanh,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}

/// From here on the square of a value plus or minus one is the square, and twice the value may be too much for a float.
const LARGE: f64 = 268_435_456.0;

/// The larger as Go has it: infinity beats what is not a number, which beats the rest.
pub(super) fn go_max(left: f64, right: f64) -> f64 {
    if left == f64::INFINITY || right == f64::INFINITY {
        f64::INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else {
        left.max(right)
    }
}

/// The smaller as Go has it: minus infinity beats what is not a number, which beats the rest.
pub(super) fn go_min(left: f64, right: f64) -> f64 {
    -go_max(-left, -right)
}

/// Unix seconds of a value; what does not fit becomes the least number, as on the machines that Prometheus runs on.
pub(super) fn whole_seconds(value: f64) -> i64 {
    if (-MAX_SECONDS..MAX_SECONDS).contains(&value) { value as i64 } else { i64::MIN }
}

/// 2^63.
const MAX_SECONDS: f64 = 9_223_372_036_854_775_808.0;

/// The function of a name, if it reads the calendar (UTC) at a Unix time in seconds.
pub(super) fn of_time(name: &str) -> Option<fn(i64) -> f64> {
    Some(match name {
        "minute" => |seconds| (of_day(seconds) / 60 % 60) as f64,
        "hour" => |seconds| (of_day(seconds) / 3600) as f64,
        // The first day of 1970 was a Thursday.
        "day_of_week" => |seconds| ((days(seconds) + 4).rem_euclid(7)) as f64,
        "day_of_month" => |seconds| date(days(seconds)).day as f64,
        "month" => |seconds| date(days(seconds)).month as f64,
        "year" => |seconds| date(days(seconds)).year as f64,
        "day_of_year" => |seconds| {
            let day = days(seconds);
            (day - first_day(date(day).year, 1) + 1) as f64
        },
        "days_in_month" => |seconds| {
            let Date { year, month, .. } = date(days(seconds));
            let next = if month == 12 { first_day(year + 1, 1) } else { first_day(year, month + 1) };
            (next - first_day(year, month)) as f64
        },
        _ => return None,
    })
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
}

/// Where Go begins to count seconds, before 1970, so that its counter has no sign; far dates wrap around there.
const GO_EPOCH_SECONDS: u64 = 9_223_372_028_741_760_000;

fn days(seconds: i64) -> i64 {
    let since_epoch = seconds.cast_unsigned().wrapping_add(GO_EPOCH_SECONDS) / 86_400;
    since_epoch.cast_signed() - (GO_EPOCH_SECONDS / 86_400).cast_signed()
}

fn of_day(seconds: i64) -> u64 {
    seconds.cast_unsigned().wrapping_add(GO_EPOCH_SECONDS) % 86_400
}

/// The date of a day counted from 1970. Years begin in March here, so that the leap day is their last; 400 of them have
/// 146,097 days.
fn date(day: i64) -> Date {
    let shifted = day.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let month_of_calendar = if month < 10 { month + 3 } else { month - 9 };
    Date {
        year: year + era * 400 + i64::from(month_of_calendar <= 2),
        month: month_of_calendar,
        day: of_year - (153 * month + 2) / 5 + 1,
    }
}

/// The first day of a month, counted from 1970.
fn first_day(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * shifted + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::{go_max, go_min, of_time};

    #[test]
    fn the_largest_values_have_a_hyperbolic_inverse() {
        let inverse = |name| super::math(name).unwrap();
        assert!((inverse("acosh")(f64::MAX) - 710.475_860_073_943_9).abs() < 1e-9);
        assert!((inverse("asinh")(-f64::MAX) + 710.475_860_073_943_9).abs() < 1e-9);
        assert_eq!(inverse("acosh")(f64::INFINITY), f64::INFINITY);
        assert!(inverse("acosh")(0.5).is_nan() && inverse("asinh")(f64::NAN).is_nan());
    }

    #[test]
    fn infinity_beats_what_is_no_number() {
        assert_eq!(go_max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(go_min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(go_max(f64::NAN, 1.0).is_nan() && go_min(1.0, f64::NAN).is_nan());
        assert_eq!((go_max(1.0, 2.0), go_min(1.0, 2.0)), (2.0, 1.0));
    }

    fn part(name: &str, seconds: i64) -> f64 {
        of_time(name).unwrap()(seconds)
    }

    #[test]
    fn dates_with_leap_years_and_before_1970() {
        // 2024-02-29T23:59:59Z was a Thursday.
        let at = 1_709_251_199;
        for (name, expected) in [
            ("year", 2024.0),
            ("month", 2.0),
            ("day_of_month", 29.0),
            ("day_of_year", 60.0),
            ("days_in_month", 29.0),
            ("day_of_week", 4.0),
            ("hour", 23.0),
            ("minute", 59.0),
        ] {
            assert_eq!(part(name, at), expected, "{name}");
        }
        assert_eq!((part("year", -1), part("day_of_year", -1), part("minute", -1)), (1969.0, 365.0, 59.0));
        assert_eq!(part("days_in_month", 951_782_400), 29.0);
        assert_eq!(part("days_in_month", -2_203_977_600), 28.0);
        assert_eq!(part("year", super::whole_seconds(f64::NAN)), 292_277_026_596.0);
        part("year", i64::MAX);
    }
}
