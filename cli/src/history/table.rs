//! The result as aligned columns. Pure.

use flyball_model::time::rfc3339_seconds;

use super::series::{Answer, Line, number};

/// Heading and rows.
pub(super) fn of(answer: &Answer) -> (Vec<&'static str>, Vec<Vec<String>>) {
    if answer.over_time {
        let header = vec!["SERIES", "POINTS", "MIN", "AVG", "MAX", "LAST", "AT"];
        return (header, answer.lines.iter().map(over_time).collect());
    }
    let rows = answer.lines.iter().flat_map(|line| {
        line.points.iter().map(|(_, value)| vec![line.name(), value.clone()]).collect::<Vec<_>>()
    });
    (vec!["SERIES", "VALUE"], rows.collect())
}

/// A series over time in one row; its points are in the CSV.
fn over_time(line: &Line) -> Vec<String> {
    let values: Vec<f64> = line.points.iter().filter_map(|(_, value)| number(value)).collect();
    let finite = || values.iter().copied().filter(|value| !value.is_nan());
    let least = finite().reduce(f64::min);
    let most = finite().reduce(f64::max);
    let count = finite().count();
    let mean = (count > 0).then(|| finite().sum::<f64>() / count as f64);
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
    let last = line.points.last();
    vec![
        line.name(),
        line.points.len().to_string(),
        shown(least),
        shown(mean),
        shown(most),
        last.map_or_else(|| "-".to_owned(), |(_, value)| value.clone()),
        last.map_or_else(|| "-".to_owned(), |(at_ms, _)| rfc3339_seconds(*at_ms)),
    ]
}

/// Six digits that count.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..15).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let decimals = usize::try_from(5 - magnitude).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::series::answer;
    use super::*;

    #[test]
    fn one_row_a_series() {
        let vector = answer("vector", json!([{"metric": {"__name__": "x", "a": "b"}, "value": [1, "2.5"]}]));
        assert_eq!(of(&vector).1, [["x{a=\"b\"}", "2.5"]]);
        let matrix =
            answer("matrix", json!([{"metric": {"a": "b"}, "values": [[0, "1"], [60, "2"], [120, "NaN"]]}]));
        let (header, rows) = of(&matrix);
        assert_eq!(header.len(), rows[0].len());
        assert_eq!(rows, [["{a=\"b\"}", "3", "1", "1.5", "2", "NaN", "1970-01-01T00:02:00Z"]]);
        assert_eq!(of(&answer("scalar", json!([4, "2"]))).1, [["{}", "2"]]);
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.123_456_789, "0.123457"),
            (1234.5678, "1234.57"),
            (123_456_789.0, "123456789"),
            (-0.000_02, "-0.00002"),
            (1e20, "1.00000e20"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(short(value), expected);
        }
    }
}
