//! The result as a picture for a terminal: values over time as points, single values as bars. Pure but for the size of the
//! terminal.

use flyball_model::time::rfc3339_seconds;
use rustix::termios::tcgetwinsize;

use super::series::{Answer, Line, number};
use super::table::short;

/// Marks of the series; more are not told apart.
const MARKS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
/// Where several meet.
const MEETING: char = '*';
/// Most rows of a picture over time.
const ROWS_MAX: usize = 20;
/// Rows from one label of the axis to the next.
const ROWS_PER_LABEL: usize = 4;

/// Columns and rows of the terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    columns: usize,
    rows: usize,
}

impl Size {
    /// That of standard output; 80 by 24 where that is none.
    pub(super) fn of_terminal() -> Size {
        match tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            _ => Size { columns: 80, rows: 24 },
        }
    }
}

/// The picture.
pub(super) fn of(answer: &Answer, size: Size) -> String {
    if answer.lines.is_empty() {
        return "no data\n".to_owned();
    }
    if answer.over_time { over_time(answer, size) } else { bars(answer, size) }
}

/// Finite values of a series.
fn values(line: &Line) -> impl Iterator<Item = (i64, f64)> {
    let numbers = line.points.iter().filter_map(|(at_ms, value)| Some((*at_ms, number(value)?)));
    numbers.filter(|(_, value)| value.is_finite())
}

fn bounds<T: Copy>(all: impl Iterator<Item = T>, less: impl Fn(T, T) -> bool) -> Option<(T, T)> {
    all.fold(None, |bounds, value| match bounds {
        None => Some((value, value)),
        Some((least, most)) => Some((
            if less(value, least) { value } else { least },
            if less(most, value) { value } else { most },
        )),
    })
}

fn over_time(answer: &Answer, size: Size) -> String {
    let height = size.rows.saturating_sub(6).clamp(4, ROWS_MAX);
    let all = || answer.lines.iter().flat_map(values);
    let Some((mut least, mut most)) = bounds(all().map(|(_, value)| value), |a, b| a < b) else {
        return "no finite values\n".to_owned();
    };
    if least == most {
        // A level line lies in the middle.
        let room = if least == 0.0 { 1.0 } else { least.abs() / 10.0 };
        (least, most) = (least - room, most + room);
    }
    let labels: Vec<String> = (0..height).map(|row| label(row, height, least, most)).collect();
    let axis = labels.iter().map(String::len).max().unwrap_or(0);
    let width = size.columns.saturating_sub(axis + 3).max(10);
    let times = answer.lines.iter().flat_map(|line| line.points.iter().map(|(at_ms, _)| *at_ms));
    let (first_ms, last_ms) = bounds(times, |a, b| a < b).unwrap_or((0, 0));
    let mut cells = vec![vec![' '; width]; height];
    for (index, line) in answer.lines.iter().enumerate() {
        let mark = char::from(MARKS[index.min(MARKS.len() - 1)]);
        for (at_ms, value) in values(line) {
            let across = (at_ms - first_ms) as f64 / (last_ms - first_ms).max(1) as f64;
            let up = (value - least) / (most - least);
            let column = (across * (width - 1) as f64).round() as usize;
            let row = height - 1 - (up * (height - 1) as f64).round() as usize;
            let cell = &mut cells[row][column];
            *cell = if *cell == ' ' || *cell == mark { mark } else { MEETING };
        }
    }
    let mut text = String::new();
    for (label, cells) in labels.iter().zip(&cells) {
        let line: String = cells.iter().collect();
        text.push_str(&format!("{label:>axis$} | {}\n", line.trim_end()));
    }
    text.push_str(&format!("{:>axis$} +{}\n", "", "-".repeat(width + 1)));
    let (first, last) = (rfc3339_seconds(first_ms), rfc3339_seconds(last_ms));
    let between = width.saturating_sub(first.len() + last.len());
    text.push_str(&format!("{:>axis$}   {first}{}{last}\n", "", " ".repeat(between.max(1))));
    for ((line, name), mark) in answer.lines.iter().zip(answer.short_names()).zip(MARKS) {
        let last = line.points.last().map_or("-", |(_, value)| value);
        text.push_str(&format!("{} {name} {last}\n", char::from(*mark)));
    }
    if answer.lines.len() > MARKS.len() {
        let more = answer.lines.len() - MARKS.len();
        text.push_str(&format!("and {more} more, drawn as z: aggregate, or narrow the selection\n"));
    }
    text
}

/// What stands beside a row of the picture; every fourth and the last have something.
fn label(row: usize, height: usize, least: f64, most: f64) -> String {
    if !row.is_multiple_of(ROWS_PER_LABEL) && row != height - 1 {
        return String::new();
    }
    short(most - (most - least) * row as f64 / (height - 1) as f64)
}

fn bars(answer: &Answer, size: Size) -> String {
    let names = answer.short_names();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let widest = longest.min(size.columns / 2);
    let most = answer.lines.iter().flat_map(values).map(|(_, value)| value.abs()).fold(0.0, f64::max);
    let room = size.columns.saturating_sub(widest + 16).max(10);
    let mut text = String::new();
    for (line, name) in answer.lines.iter().zip(names) {
        let (_, shown) = line.points.first().cloned().unwrap_or_default();
        let value = values(line).next().map_or(0.0, |(_, value)| value);
        let length = if most > 0.0 { (value.abs() / most * room as f64).round() as usize } else { 0 };
        let name: String = name.chars().take(widest).collect();
        let bar = if value < 0.0 { "-" } else { "#" }.repeat(length);
        text.push_str(&format!("{name:<widest$} {bar} {shown}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::series::answer;
    use super::*;

    const SIZE: Size = Size { columns: 44, rows: 11 };

    #[test]
    fn two_series_over_time() {
        let points = |values: [i32; 5]| {
            values.iter().zip(0..).map(|(value, at)| json!([at * 60, value.to_string()])).collect::<Vec<_>>()
        };
        let matrix = answer(
            "matrix",
            json!([{"metric": {"pod": "p"}, "values": points([0, 1, 2, 3, 4])},
                   {"metric": {"pod": "q"}, "values": points([4, 4, 2, 0, 0])}]),
        );
        let expected = "
          4 | b      b                      a
            |                       a
            |               *
            |        a
          0 | a                     b       b
            +-------------------------------
              1970-01-01T00:00:00Z 1970-01-01T00:04:00Z
a {pod=\"p\"} 4
b {pod=\"q\"} 0
";
        let drawn = of(&matrix, Size { columns: 34, rows: 11 });
        let squeezed = |text: &str| {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(
            squeezed(drawn.trim_start_matches('\n')),
            squeezed(expected.trim_start_matches('\n')),
            "{drawn}"
        );
    }

    #[test]
    fn the_axis_stands_below_itself_however_long_its_labels_are() {
        for values in [["0.0001", "0.0000931"], ["123456789.123", "-3"], ["1e300", "1"], ["0", "0"]] {
            let [first, last] = values;
            let drawn = of(
                &answer("matrix", json!([{"metric": {}, "values": [[0, first], [60, last]]}])),
                Size { columns: 60, rows: 24 },
            );
            let rows: Vec<&str> =
                drawn.lines().filter(|line| line.contains(" | ") || line.ends_with(" |")).collect();
            let axis = rows[0].find('|');
            assert!(rows.len() > 8 && rows.iter().all(|row| row.find('|') == axis), "{drawn}");
            assert!(drawn.lines().all(|line| line.chars().count() <= 60), "{drawn}");
        }
    }

    #[test]
    fn single_values_are_bars() {
        let vector = answer(
            "vector",
            json!([{"metric": {"a": "1"}, "value": [0, "2"]}, {"metric": {"a": "2"}, "value": [0, "1"]},
                   {"metric": {"a": "3"}, "value": [0, "NaN"]}]),
        );
        let drawn = of(&vector, SIZE);
        let bars: Vec<usize> = drawn.lines().map(|line| line.matches('#').count()).collect();
        assert!(bars[0] > 10 && bars[1] == bars[0].div_ceil(2) && bars[2] == 0, "{drawn}");
        assert!(drawn.lines().nth(2).unwrap().ends_with("NaN"));
    }

    #[test]
    fn nothing_and_level_lines_and_gaps_are_drawn_too() {
        assert_eq!(of(&answer("matrix", json!([])), SIZE), "no data\n");
        let only = |value: &str| answer("matrix", json!([{"metric": {}, "values": [[1, value]]}]));
        assert_eq!(of(&only("NaN"), SIZE), "no finite values\n");
        assert!(of(&only("0"), SIZE).contains("| a"));
        assert!(of(&only("1e300"), Size { columns: 1, rows: 1 }).contains('a'));
    }
}
