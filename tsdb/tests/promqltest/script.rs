//! A script as a list of commands.

use flyball_tsdb::promql::duration;
use flyball_tsdb::promql::number;

use super::load::{self, Item, Line};

/// A command and the line it begins at.
pub struct Command {
    pub line: usize,
    pub kind: Kind,
}

/// What to do.
pub enum Kind {
    Load { step_ms: i64, lines: Vec<Line> },
    Clear,
    Eval(Eval),
}

/// When to evaluate.
#[derive(Clone, Copy)]
pub enum When {
    Instant(i64),
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// A query and what is expected of it.
pub struct Eval {
    pub when: When,
    pub query: String,
    pub expected: Expected,
}

/// What is expected.
#[derive(Default)]
pub struct Expected {
    pub fail: bool,
    pub ordered: bool,
    pub warn: bool,
    pub info: bool,
    pub no_warn: bool,
    pub no_info: bool,
    /// Messages of the failure, the warnings, the infos.
    pub messages: Vec<(Subject, Message)>,
    pub lines: Vec<Line>,
    pub scalar: Option<Item>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Fail,
    Warn,
    Info,
}

pub enum Message {
    Exact(String),
    Pattern(String),
}

/// Reads a whole script.
pub fn parse(text: &str) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    let mut lines = text
        .lines()
        .enumerate()
        // A comment ends a command as an empty line does.
        .map(|(index, line)| (index + 1, if line.trim().starts_with('#') { "" } else { line.trim() }))
        .peekable();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let mut body = Vec::new();
        let has_body = line != "clear";
        while let Some((at, line)) = lines.next_if(|(_, line)| has_body && !line.is_empty()) {
            body.push((at, line));
        }
        let kind = command(line, &body).map_err(|reason| format!("line {number}: {reason}"))?;
        commands.push(Command { line: number, kind });
    }
    Ok(commands)
}

fn command(line: &str, body: &[(usize, &str)]) -> Result<Kind, String> {
    let word = line.split_whitespace().next().unwrap_or_default();
    let rest = line[word.len()..].trim();
    match word {
        "clear" => Ok(Kind::Clear),
        "load" | "load_with_nhcb" => {
            let lines = body.iter().map(|(_, line)| load::line(line)).collect::<Result<_, _>>()?;
            Ok(Kind::Load { step_ms: time(rest)?, lines })
        }
        _ if word == "eval" || word.starts_with("eval_") => eval(&word[4..], rest, body).map(Kind::Eval),
        _ => Err(format!("unknown command {word:?}")),
    }
}

fn eval(suffix: &str, rest: &str, body: &[(usize, &str)]) -> Result<Eval, String> {
    let mut expected = Expected::default();
    match suffix {
        "" => {}
        "_fail" => expected.fail = true,
        "_ordered" => expected.ordered = true,
        "_warn" => expected.warn = true,
        "_info" => expected.info = true,
        other => return Err(format!("unknown command eval{other:?}")),
    }
    let (when, query) = if let Some(rest) = rest.strip_prefix("instant") {
        let rest = rest.trim_start();
        match rest.strip_prefix("at ") {
            Some(rest) => {
                let (at, query) = split_word(rest);
                (When::Instant(time(at)?), query)
            }
            None => (When::Instant(0), rest),
        }
    } else if let Some(rest) = rest.strip_prefix("range from ") {
        let (start, rest) = rest.split_once(" to ").ok_or("missing \"to\"")?;
        let (end, rest) = rest.split_once(" step ").ok_or("missing \"step\"")?;
        let (step, query) = split_word(rest.trim_start());
        (When::Range { start_ms: time(start)?, end_ms: time(end)?, step_ms: time(step)? }, query)
    } else {
        return Err(format!("neither instant nor range: {rest:?}"));
    };
    for (_, line) in body {
        expectation(line, &mut expected)?;
    }
    Ok(Eval { when, query: query.trim().into(), expected })
}

fn split_word(text: &str) -> (&str, &str) {
    text.trim_start().split_once([' ', '\t']).unwrap_or((text, ""))
}

/// A duration since the epoch, or seconds.
fn time(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    match duration::parse_millis(size) {
        Ok(millis) => Ok(sign * millis),
        Err(reason) => number::parse(text).map(|seconds| (seconds * 1000.0) as i64).ok_or(reason),
    }
}

fn expectation(line: &str, expected: &mut Expected) -> Result<(), String> {
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        expected.messages.push((Subject::Fail, Message::Exact(message.trim().into())));
    } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        expected.messages.push((Subject::Fail, Message::Pattern(pattern.trim().into())));
    } else if let Some(rest) = line.strip_prefix("expect ") {
        new_expectation(rest.trim(), expected)?;
    } else if let Ok(items) = load::items(line)
        && let [item] = items[..]
    {
        expected.scalar = Some(item);
    } else {
        expected.lines.push(load::line(line)?);
    }
    Ok(())
}

fn new_expectation(rest: &str, expected: &mut Expected) -> Result<(), String> {
    let (word, rest) = split_word(rest);
    let message = match rest.trim().split_once(':') {
        Some(("msg", text)) => Some(Message::Exact(text.trim().into())),
        Some(("regex", text)) => Some(Message::Pattern(text.trim().into())),
        _ => None,
    };
    let subject = match word {
        "fail" => Subject::Fail,
        "warn" => Subject::Warn,
        "info" => Subject::Info,
        "ordered" => {
            expected.ordered = true;
            return Ok(());
        }
        "no_warn" => {
            expected.no_warn = true;
            return Ok(());
        }
        "no_info" => {
            expected.no_info = true;
            return Ok(());
        }
        other => return Err(format!("unknown expectation {other:?}")),
    };
    match subject {
        Subject::Fail => expected.fail = true,
        Subject::Warn => expected.warn = true,
        Subject::Info => expected.info = true,
    }
    expected.messages.extend(message.map(|message| (subject, message)));
    Ok(())
}
