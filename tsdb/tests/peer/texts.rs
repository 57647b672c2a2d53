//! How queries are spelled: literals in all their forms, white space, comments and capitals, and queries that somebody
//! mistyped.

use fastrand::Rng;

/// Scalars as texts; the second half is what only Prometheus 3 reads.
pub const NUMBERS: [&str; 32] = [
    "0",
    "1",
    "2",
    "0.5",
    "-1",
    "NaN",
    "Inf",
    "10",
    "0.9",
    "-Inf",
    "+3",
    "1e3",
    "1E-2",
    ".5",
    "5.",
    "0x1F",
    "017",
    "09",
    "1_000",
    "0x_f",
    "1e1_0",
    "iNf",
    "nAn",
    "5m",
    "1h30m",
    "1ms",
    "-30s",
    "0s",
    "0.25",
    "1e-320",
    "18446744073709551616",
    "0xFFFFFFFFFFFFFFFFF",
];

/// Ranges and steps.
pub const RANGES: [&str; 20] = [
    "15s", "30s", "1m", "2m", "5m", "10m", "47s", "300", "1m30s", "2.5", "1e2", "0x3C", "1_0", "1h", "1d",
    "90.5", "1w", "14999ms", "15001ms", "3",
];

/// Words and marks that a mistyped query may have.
const POOL: [&str; 75] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    "=~",
    "!~",
    "=",
    "<",
    ">",
    "<=",
    ">=",
    "@",
    ":",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "and",
    "or",
    "unless",
    "atan2",
    "sum",
    "topk",
    "count_values",
    "quantile",
    "start",
    "end",
    "inf",
    "nan",
    "5m",
    "0",
    "1e3",
    "0x1F",
    "\"a\"",
    "'b'",
    "`c`",
    "job",
    "x",
    "rate",
    "abs",
    "1h30m",
    "5k",
    "1m1h",
    "()",
    "{}",
    "[5m]",
    "[5m:1m]",
    "offset 1m",
    "@ 5",
    "@ start()",
    "by (job)",
    "on (job)",
    "\"\\q\"",
    "'a",
    "!",
    "~",
    "?",
    "time",
    "limitk",
    "min_over_time",
];

/// Keywords, which may be written in capitals.
const KEYWORDS: [&str; 31] = [
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "and",
    "or",
    "unless",
    "atan2",
    "offset",
    "start",
    "end",
    "inf",
    "nan",
    "limitk",
    "limit_ratio",
    "default",
];

/// The same query in another spelling.
pub fn respelled(random: &mut Rng, query: &str) -> String {
    let words = words(query);
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        // Behind or before a quoted text or in braces a keyword is a label's name, which capitals would change.
        let name =
            words.get(index + 1).is_some_and(|next| matches!(next.as_str(), "{" | "=" | "!=" | "=~" | "!~"));
        if KEYWORDS.contains(&word.as_str()) && !name && random.u8(..4) == 0 {
            out.push_str(&word.to_uppercase());
        } else {
            out.push_str(word);
        }
        out.push_str(match random.u8(..24) {
            0 => "\n",
            1 => "\t ",
            // Behind a bracket Prometheus knows no comment.
            2 if word != "[" => " # a comment with \" and (\n",
            _ => " ",
        });
    }
    out
}

/// A query with a slip in it; some are still queries.
pub fn mistyped(random: &mut Rng, query: &str) -> String {
    let mut words = words(query);
    for _ in 0..random.usize(1..3) {
        let at = random.usize(..words.len().max(1));
        match random.u8(..5) {
            0 if words.len() > 1 => {
                words.remove(at);
            }
            1 if at + 1 < words.len() => words.swap(at, at + 1),
            2 if !words.is_empty() => words.insert(at, words[at].clone()),
            3 if !words.is_empty() => POOL[random.usize(..POOL.len())].clone_into(&mut words[at]),
            _ => words.insert(at, POOL[random.usize(..POOL.len())].to_owned()),
        }
    }
    words.join(" ")
}

/// A query as words: names, numbers, quoted texts, marks.
fn words(query: &str) -> Vec<String> {
    let characters: Vec<char> = query.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let end = at + word(&characters[at..]);
        let word: String = characters[at..end].iter().collect();
        if !word.trim().is_empty() {
            out.push(word);
        }
        at = end;
    }
    out
}

fn word(rest: &[char]) -> usize {
    let until = |from: usize, ends: fn(char) -> bool| {
        rest[from..].iter().position(|character| ends(*character)).map_or(rest.len(), |length| from + length)
    };
    let of_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.');
    match rest[0] {
        quote @ ('"' | '\'' | '`') => {
            let mut at = 1;
            while at < rest.len() && rest[at] != quote {
                at += if rest[at] == '\\' && quote != '`' { 2 } else { 1 };
            }
            (at + 1).min(rest.len())
        }
        first if first.is_ascii_digit() || first == '.' => {
            let end = until(0, |character| !(character.is_alphanumeric() || matches!(character, '_' | '.')));
            let exponent = matches!(rest[end - 1], 'e' | 'E') && !rest.starts_with(&['0', 'x']);
            match rest.get(end) {
                Some('+' | '-') if exponent => until(end + 1, |character| !character.is_ascii_digit()),
                _ => end,
            }
        }
        first if of_word(first) || first == ':' && rest.get(1).is_some_and(|next| next.is_alphabetic()) => {
            until(1, |character| !(character.is_alphanumeric() || matches!(character, '_' | ':')))
        }
        first => {
            let two: String = [first].iter().chain(rest.get(1)).collect();
            if ["==", "!=", "=~", "!~", "<=", ">="].contains(&two.as_str()) { 2 } else { 1 }
        }
    }
}
