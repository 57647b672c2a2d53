//! Functions that change or compare labels and never look at values.

use std::cmp::Ordering;

use super::Error;
use super::matrix::Matrix;
use crate::promql::labelset::Labelset;
use crate::promql::parse::strings::{is_name, shown};
use crate::promql::pattern;
use crate::series::METRIC_NAME;

/// `label_replace`: destination, replacement, source, expression.
pub(super) fn replace(mut matrix: Matrix, texts: &[&str]) -> Result<Matrix, Error> {
    let [destination, replacement, source, expression] = texts else {
        return Err(Error::Invalid("label_replace() takes four texts".into()));
    };
    let Ok(regex) = pattern::compile(expression) else {
        let message = format!("invalid regular expression in label_replace(): {expression}");
        return Err(Error::Execution(message));
    };
    if !is_name(destination) {
        let message = format!("invalid destination label name in label_replace(): {}", shown(destination));
        return Err(Error::Execution(message));
    }
    for head in &mut matrix.heads {
        let mut value = String::new();
        match regex.captures(head.get(source)) {
            Some(captures) => captures.expand(replacement, &mut value),
            None => continue,
        }
        *head = with_label(head, destination, &value);
    }
    Ok(matrix)
}

/// `label_join`: destination, separator, sources.
pub(super) fn join(mut matrix: Matrix, texts: &[&str]) -> Result<Matrix, Error> {
    let [destination, separator, sources @ ..] = texts else {
        return Err(Error::Invalid("label_join() takes at least two texts".into()));
    };
    let invalid = |what: &str, name: &str| {
        Error::Execution(format!("invalid {what} label name in label_join(): {}", shown(name)))
    };
    if let Some(source) = sources.iter().find(|source| !is_name(source)) {
        return Err(invalid("source", source));
    }
    if !is_name(destination) {
        return Err(invalid("destination", destination));
    }
    for head in &mut matrix.heads {
        let values: Vec<&str> = sources.iter().map(|source| head.get(source)).collect();
        *head = with_label(head, destination, &values.join(separator));
    }
    Ok(matrix)
}

/// With one label set; an empty one is gone. Who sets the name wants to keep it.
fn with_label(head: &Labelset, name: &str, value: &str) -> Labelset {
    let mut changed = Labelset::from_pairs(head.iter().chain([(name, value)]));
    changed.drop_later = head.drop_later && name != METRIC_NAME;
    changed
}

/// Rows by these labels, numbers in them by their size; then by all labels.
pub(super) fn order(matrix: &Matrix, names: &[&str], falling: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..matrix.len()).collect();
    order.sort_by(|left, right| {
        let (left, right) = (&matrix.heads[*left], &matrix.heads[*right]);
        let by_names = names.iter().map(|name| natural(left.get(name), right.get(name)));
        let rising = by_names
            .into_iter()
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| left.iter().cmp(right.iter()));
        if falling { rising.reverse() } else { rising }
    });
    order
}

/// Compares texts whose runs of digits count as numbers.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    while !left.is_empty() && !right.is_empty() {
        let (a, left_rest) = run(left);
        let (b, right_rest) = run(right);
        let numbers = a.as_bytes()[0].is_ascii_digit() && b.as_bytes()[0].is_ascii_digit();
        let ordering = if numbers { by_size(a, b).then_with(|| a.len().cmp(&b.len())) } else { a.cmp(b) };
        if ordering.is_ne() {
            return ordering;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.len().cmp(&right.len())
}

/// The first run of digits, or of anything else.
fn run(text: &str) -> (&str, &str) {
    let digits = text.as_bytes()[0].is_ascii_digit();
    let end = text.bytes().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn by_size(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_count() {
        assert_eq!(natural("cpu2", "cpu10"), Ordering::Less);
        assert_eq!(natural("cpu", "cpu1"), Ordering::Less);
        assert_eq!(natural("a1b", "a1a"), Ordering::Greater);
        assert_eq!(natural("01", "1"), Ordering::Greater);
        assert_eq!(natural("x", "x"), Ordering::Equal);
    }
}
