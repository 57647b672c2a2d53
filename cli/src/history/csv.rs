//! The result as comma-separated values (RFC 4180, lines end as on this system): one line a sample, one column for each
//! label that any series has. Pure.

use std::collections::BTreeSet;

use super::series::Answer;

/// The whole text.
pub(super) fn of(answer: &Answer, no_headers: bool) -> String {
    let names: BTreeSet<&str> =
        answer.lines.iter().flat_map(|line| line.labels.keys()).map(String::as_str).collect();
    let mut text = String::new();
    if !no_headers {
        row(&mut text, names.iter().copied().chain(["timestamp", "value"]));
    }
    for line in &answer.lines {
        let labels: Vec<&str> =
            names.iter().map(|name| line.labels.get(*name).map_or("", String::as_str)).collect();
        for (at_ms, value) in &line.points {
            let seconds = format!("{}.{:03}", at_ms.div_euclid(1000), at_ms.rem_euclid(1000));
            let time = seconds.strip_suffix(".000").unwrap_or(&seconds);
            row(&mut text, labels.iter().copied().chain([time, value.as_str()]));
        }
    }
    text
}

fn row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::series::answer;
    use super::*;

    #[test]
    fn a_column_for_each_label_and_quotes_where_they_are_needed() {
        let matrix = answer(
            "matrix",
            json!([
                {"metric": {"a": "x,\"y\""}, "values": [[1, "2"], [1.5, "+Inf"]]},
                {"metric": {"b": "z"}, "values": [[2, "3"]]}
            ]),
        );
        let rows = "\"x,\"\"y\"\"\",,1,2\n\"x,\"\"y\"\"\",,1.500,+Inf\n,z,2,3\n";
        assert_eq!(of(&matrix, false), format!("a,b,timestamp,value\n{rows}"));
        assert_eq!(of(&matrix, true), rows);
    }
}
