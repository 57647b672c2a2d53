//! How answers are printed: aligned columns, JSON, YAML. Pure but for the printing itself.

use std::io::Write;

use anyhow::Context;
use serde_json::Value;

use crate::flags::Output;

/// Prints text as it is.
///
/// # Errors
/// When nobody reads it (any more): the macros that print would panic.
pub fn text(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print the answer")
}

/// Prints a table with a heading unless `no_headers`.
///
/// # Errors
/// As [`text`].
pub fn table(header: &[&str], rows: Vec<Vec<String>>, no_headers: bool) -> anyhow::Result<()> {
    text(&format_table(header, &rows, no_headers))
}

/// As kubectl pads: every column left-aligned, three blanks after it, the last one padded too.
fn format_table(header: &[&str], rows: &[Vec<String>], no_headers: bool) -> String {
    let heading: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let lines: Vec<&Vec<String>> = (!no_headers).then_some(&heading).into_iter().chain(rows).collect();
    let width =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}   "));
        }
        text.push('\n');
    }
    text
}

/// Prints `body` in a form other than a table.
///
/// # Errors
/// When the value cannot be written in that form; as [`text`].
pub fn print(body: &Value, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Yaml => text(&serde_saphyr::to_string(body)?),
        Output::Json | Output::Table => text(&format!("{}\n", serde_json::to_string_pretty(body)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_as_kubectl_pads_them() {
        let rows = vec![vec!["a-long-name".to_owned(), "1m".to_owned()]];
        assert_eq!(
            format_table(&["NAME", "CPU(cores)"], &rows, false),
            "NAME          CPU(cores)   \na-long-name   1m           \n"
        );
        assert_eq!(format_table(&["NAME", "CPU(cores)"], &rows, true), "a-long-name   1m   \n");
    }
}
