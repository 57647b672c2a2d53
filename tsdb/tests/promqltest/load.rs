//! Series and their points, as scripts write them: `name{label="value"} 1 2+3x4 _ stale`.

use std::sync::Arc;

use flyball_model::labels::Labels;
use flyball_tsdb::promql::number;
use flyball_tsdb::series::STALE_NAN_BITS;

/// One point in the notation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item {
    /// A value, or the end of the series.
    Value(f64),
    /// Nothing.
    Missing,
    /// A native histogram, which is not read.
    Histogram,
}

/// A line of a series with its points.
#[derive(Debug, Clone)]
pub struct Line {
    pub labels: Arc<Labels>,
    pub items: Vec<Item>,
}

/// Reads a line.
pub fn line(text: &str) -> Result<Line, String> {
    let end = end_of_metric(text).ok_or_else(|| format!("no series in {text:?}"))?;
    let labels = metric(&text[..end])?;
    Ok(Line { labels: Arc::new(labels), items: items(text[end..].trim())? })
}

/// Where the points begin: at the first space outside of braces and quotes.
fn end_of_metric(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '{') => depth += 1,
            (None, '}') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            // A space may stand between a name and its braces.
            (None, ' ' | '\t') if depth == 0 && !braces_follow(&text[index..]) => return Some(index),
            _ => {}
        }
    }
    Some(text.len())
}

/// Whether what follows is the braces of a series, and not those of a histogram.
fn braces_follow(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('{') && !text.starts_with("{{")
}

/// Labels of `name{…}`. The reader of queries knows names and quotes; a condition that no series has makes `{}` a selector.
fn metric(text: &str) -> Result<Labels, String> {
    const NEVER_EMPTY: &str = "__promqltest__=\"1\"";
    let text = text.trim();
    let selector = match text.strip_suffix('}') {
        Some(open) if open.trim_end().ends_with(['{', ',']) => format!("{open}{NEVER_EMPTY}}}"),
        Some(open) => format!("{open},{NEVER_EMPTY}}}"),
        None => format!("{text}{{{NEVER_EMPTY}}}"),
    };
    let selector =
        flyball_tsdb::promql::parse::parse_selector(&selector).map_err(|error| error.to_string())?;
    let pairs = selector
        .matchers
        .iter()
        .filter(|matcher| matcher.name != "__promqltest__" && !matcher.value.is_empty())
        .map(|matcher| (matcher.name.clone(), matcher.value.clone()));
    Labels::from_pairs(pairs).map_err(|error| error.to_string())
}

/// Points of a line.
pub fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = if rest.starts_with("{{") {
            histogram_length(rest)?
        } else {
            rest.find([' ', '\t']).unwrap_or(rest.len())
        };
        item(&rest[..length], &mut out)?;
        rest = rest[length..].trim_start();
    }
    Ok(out)
}

/// Length of `{{…}}`, of a sum of two of them, and of how often.
fn histogram_length(text: &str) -> Result<usize, String> {
    let close =
        |text: &str| text.find("}}").map(|index| index + 2).ok_or_else(|| format!("open histogram: {text}"));
    let mut end = close(text)?;
    if text[end..].starts_with("+{{") || text[end..].starts_with("-{{") {
        end += 1 + close(&text[end + 1..])?;
    }
    Ok(end + text[end..].find([' ', '\t']).unwrap_or(text.len() - end))
}

fn item(text: &str, out: &mut Vec<Item>) -> Result<(), String> {
    let bad = || format!("bad points: {text:?}");
    if text.starts_with("{{") {
        let count = text.rsplit_once("}}x").map_or(Ok(0), |(_, count)| count.parse::<usize>());
        out.extend(std::iter::repeat_n(Item::Histogram, count.map_err(|_| bad())? + 1));
        return Ok(());
    }
    if let Some(count) = text.strip_prefix('_') {
        let count = if count.is_empty() {
            1
        } else {
            count.strip_prefix('x').ok_or_else(bad)?.parse().map_err(|_| bad())?
        };
        out.extend(std::iter::repeat_n(Item::Missing, count));
        return Ok(());
    }
    if text == "stale" {
        out.push(Item::Value(f64::from_bits(STALE_NAN_BITS)));
        return Ok(());
    }
    let (values, times) = match text.rsplit_once('x') {
        Some((values, times)) => (values, Some(times.parse::<usize>().map_err(|_| bad())?)),
        None => (text, None),
    };
    let Some(times) = times else {
        out.push(Item::Value(number::parse(values).ok_or_else(bad)?));
        return Ok(());
    };
    let (first, step) = split_step(values).ok_or_else(bad)?;
    let mut value = first;
    for _ in 0..=times {
        out.push(Item::Value(value));
        value += step;
    }
    Ok(())
}

/// `1+2` and `1-2`, where a sign may stand in front or in an exponent too.
fn split_step(text: &str) -> Option<(f64, f64)> {
    if let Some(value) = number::parse(text) {
        return Some((value, 0.0));
    }
    let signs = text.char_indices().skip(1).filter(|(_, character)| matches!(character, '+' | '-'));
    signs
        .map(|(index, _)| index)
        .find_map(|index| Some((number::parse(&text[..index])?, number::parse(&text[index..])?)))
}
