//! Functions of a range: what they make of the points of one series in one window.
//!
//! A window is open to the left. It holds at least one point and no marker of staleness. [`ABSENT`] says that there is no
//! result.

use super::matrix::ABSENT;
use super::numeric::{Mean, Sum, line, quantile, variance};
use crate::series::Point;

/// Points of one series in `(start, end]`.
pub(super) struct Window<'a> {
    pub points: &'a [Point],
    pub start_ms: i64,
    pub end_ms: i64,
    /// When the step is that asks.
    pub step_ms: i64,
    /// The function's other arguments at that step.
    pub params: [f64; 2],
    /// Whether a value in it is below the one before it.
    pub falls: bool,
}

/// What a function makes of a window.
pub(super) type WindowFunction = fn(&Window<'_>) -> f64;

/// The function of a name, if it is one of a range.
pub(super) fn find(name: &str) -> Option<WindowFunction> {
    Some(match name {
        "rate" => |window| extrapolated(window, true, true),
        "increase" => |window| extrapolated(window, true, false),
        "delta" => |window| extrapolated(window, false, false),
        "irate" => |window| last_two(window, true),
        "idelta" => |window| last_two(window, false),
        "deriv" => |window| match window.points {
            [first, _, ..] => line(window.points, first.timestamp_ms).0,
            _ => ABSENT,
        },
        "predict_linear" => predict_linear,
        "changes" => {
            |window| count_pairs(window, |left, right| left != right && !(left.is_nan() && right.is_nan()))
        }
        "resets" => |window| count_pairs(window, |left, right| right < left),
        "avg_over_time" => |window| {
            let mut mean = Mean::first(window.points[0].value);
            window.points[1..].iter().for_each(|point| mean.add(point.value));
            mean.get()
        },
        "sum_over_time" => |window| {
            let mut sum = Sum::default();
            window.points.iter().for_each(|point| sum.add(point.value));
            if sum.sum.is_infinite() { sum.sum } else { sum.total() }
        },
        "count_over_time" => |window| window.points.len() as f64,
        "min_over_time" => |window| pick(window, |best, value| value < best).value,
        "max_over_time" => |window| pick(window, |best, value| value > best).value,
        "ts_of_min_over_time" => |window| seconds(pick(window, |best, value| value <= best)),
        "ts_of_max_over_time" => |window| seconds(pick(window, |best, value| value >= best)),
        "first_over_time" => |window| window.points[0].value,
        "last_over_time" => |window| window.points[window.points.len() - 1].value,
        "ts_of_first_over_time" => |window| seconds(window.points[0]),
        "ts_of_last_over_time" => |window| seconds(window.points[window.points.len() - 1]),
        "present_over_time" | "absent_over_time" => |_| 1.0,
        "stdvar_over_time" => |window| variance(values(window)),
        "stddev_over_time" => |window| variance(values(window)).sqrt(),
        "quantile_over_time" => |window| quantile(window.params[0], &mut values(window).collect::<Vec<_>>()),
        "mad_over_time" => |window| {
            let mut all: Vec<f64> = values(window).collect();
            let median = quantile(0.5, &mut all);
            all.iter_mut().for_each(|value| *value = (*value - median).abs());
            quantile(0.5, &mut all)
        },
        "double_exponential_smoothing" => smoothed,
        _ => return None,
    })
}

fn values<'a>(window: &Window<'a>) -> impl Iterator<Item = f64> + 'a {
    window.points.iter().map(|point| point.value)
}

fn seconds(point: Point) -> f64 {
    point.timestamp_ms as f64 / 1000.0
}

/// The point that beats all before it; not a number loses against everything.
fn pick(window: &Window<'_>, beats: fn(f64, f64) -> bool) -> Point {
    let mut best = window.points[0];
    for point in window.points {
        if beats(best.value, point.value) || best.value.is_nan() {
            best = *point;
        }
    }
    best
}

fn count_pairs(window: &Window<'_>, counts: fn(f64, f64) -> bool) -> f64 {
    window.points.windows(2).filter(|pair| counts(pair[0].value, pair[1].value)).count() as f64
}

/// How much a series grew, extended to the window's edges where it seems to reach them.
fn extrapolated(window: &Window<'_>, is_counter: bool, per_second: bool) -> f64 {
    let points = window.points;
    let [first, .., last] = points else { return ABSENT };
    let mut growth = last.value - first.value;
    if is_counter && window.falls {
        for pair in points.windows(2) {
            if pair[1].value < pair[0].value {
                growth += pair[0].value;
            }
        }
    }
    let sampled = (last.timestamp_ms - first.timestamp_ms) as f64 / 1000.0;
    let average = sampled / (points.len() - 1) as f64;
    // A gap up to a tenth longer than usual is no gap.
    let threshold = average * 1.1;
    let mut to_start = (first.timestamp_ms - window.start_ms) as f64 / 1000.0;
    let mut to_end = (window.end_ms - last.timestamp_ms) as f64 / 1000.0;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if is_counter && growth > 0.0 && first.value >= 0.0 {
        // A counter did not start below zero.
        let to_zero = sampled * (first.value / growth);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if per_second {
        factor /= (window.end_ms - window.start_ms) as f64 / 1000.0;
    }
    growth * factor
}

/// The difference of the last two points; a counter that fell began anew at zero.
fn last_two(window: &Window<'_>, per_second: bool) -> f64 {
    let [.., before, last] = window.points else { return ABSENT };
    let millis = last.timestamp_ms - before.timestamp_ms;
    if millis == 0 {
        return ABSENT;
    }
    let fell = per_second && last.value < before.value;
    let difference = if fell { last.value } else { last.value - before.value };
    if per_second { difference / (millis as f64 / 1000.0) } else { difference }
}

fn predict_linear(window: &Window<'_>) -> f64 {
    if window.points.len() < 2 {
        return ABSENT;
    }
    let (slope, intercept) = line(window.points, window.step_ms);
    slope * window.params[0] + intercept
}

/// Holt's smoothing with a trend; the factors were checked before.
fn smoothed(window: &Window<'_>) -> f64 {
    let [first, second, ..] = window.points else { return ABSENT };
    let [level_factor, trend_factor] = window.params;
    let mut trend = second.value - first.value;
    let (mut before, mut level) = (0.0, first.value);
    for (index, point) in window.points[1..].iter().enumerate() {
        if index > 0 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = level_factor * point.value + (1.0 - level_factor) * (level + trend);
        (before, level) = (level, next);
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(name: &str, values: &[f64], params: [f64; 2]) -> f64 {
        let points: Vec<Point> = values
            .iter()
            .enumerate()
            .map(|(index, value)| Point { timestamp_ms: 10_000 * (index as i64 + 1), value: *value })
            .collect();
        let end_ms = 10_000 * values.len() as i64;
        let falls = points.windows(2).any(|pair| pair[1].value < pair[0].value);
        find(name).unwrap()(&Window { points: &points, start_ms: 0, end_ms, step_ms: end_ms, params, falls })
    }

    #[test]
    fn counters_restart_and_reach_the_edges() {
        let grown = apply("increase", &[10.0, 20.0, 5.0, 15.0], [0.0; 2]);
        assert!((grown - 25.0 * 4.0 / 3.0).abs() < 1e-12, "{grown}");
        assert_eq!(apply("delta", &[10.0, 20.0], [0.0; 2]), 20.0);
        // Ten before the first point it was zero already.
        assert_eq!(apply("increase", &[0.0, 10.0], [0.0; 2]), 10.0);
        assert_eq!(apply("irate", &[10.0, 5.0], [0.0; 2]), 0.5);
        assert_eq!(apply("resets", &[1.0, f64::NAN, 0.0], [0.0; 2]), 0.0);
    }

    #[test]
    fn one_point_has_no_rate() {
        for name in ["rate", "increase", "delta", "irate", "idelta", "deriv", "predict_linear"] {
            assert!(!super::super::matrix::is_present(apply(name, &[1.0], [0.0; 2])), "{name}");
        }
    }

    #[test]
    fn not_a_number_loses() {
        assert_eq!(apply("max_over_time", &[f64::NAN, 1.0, f64::NAN], [0.0; 2]), 1.0);
        assert_eq!(apply("ts_of_max_over_time", &[2.0, 1.0, 2.0], [0.0; 2]), 30.0);
        assert_eq!(apply("predict_linear", &[1.0, 2.0], [10.0, 0.0]), 3.0);
    }
}
