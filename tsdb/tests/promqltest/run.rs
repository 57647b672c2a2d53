//! Runs a script: loads what it loads, and evaluates each query in all the ways in which it must give the same.

use flyball_tsdb::memory::MemorySource;
use flyball_tsdb::promql::ast::{At, Expr, Node};
use flyball_tsdb::promql::engine::{self, Error, Options, Unwatched, Value};
use flyball_tsdb::promql::parse;
use flyball_tsdb::series::Point;

use super::load::Item;
use super::script::{self, Eval, Kind, When};
use super::verify;

/// What became of one `eval`.
pub struct Outcome {
    pub line: usize,
    pub query: String,
    pub result: Result<(), String>,
}

/// Runs a script; an error is one of the script itself.
pub fn run(text: &str) -> Result<Vec<Outcome>, String> {
    let mut source = MemorySource::default();
    let mut outcomes = Vec::new();
    for command in script::parse(text)? {
        match command.kind {
            Kind::Clear => source.clear(),
            Kind::Load { step_ms, lines } => {
                for line in lines {
                    for (index, item) in line.items.iter().enumerate() {
                        if let Item::Value(value) = *item {
                            let timestamp_ms = step_ms * index as i64;
                            source.add(&line.labels, Point { timestamp_ms, value });
                        }
                    }
                }
            }
            Kind::Eval(eval) => {
                let result = check(&source, &eval);
                outcomes.push(Outcome { line: command.line, query: eval.query, result });
            }
        }
    }
    Ok(outcomes)
}

/// As Prometheus' own tests have it.
fn options() -> Options {
    Options { max_samples: 10_000, delayed_name_removal: true, ..Options::default() }
}

fn check(source: &MemorySource, eval: &Eval) -> Result<(), String> {
    let expr = match parse(&eval.query) {
        Ok(expr) => expr,
        Err(error) => return verify::failed(&eval.expected, &error.to_string()),
    };
    let When::Instant(time_ms) = eval.when else {
        return one(source, &expr, eval, eval.when);
    };
    one(source, &expr, eval, eval.when)?;
    let mut fixed = expr.clone();
    if fix(&mut fixed, time_ms) {
        // As a text and read again, as a query with @ would come in.
        let fixed = parse(&fixed.to_string()).map_err(|error| format!("{fixed}: {error}"))?;
        let others: &[i64] = if time_ms == 0 {
            &[-1000, 0, 1000]
        } else {
            &[-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms]
        };
        for other in others {
            one(source, &fixed, eval, When::Instant(*other))
                .map_err(|reason| format!("{fixed} at {other} ms: {reason}"))?;
        }
    }
    Ok(())
}

fn one(source: &MemorySource, expr: &Expr, eval: &Eval, when: When) -> Result<(), String> {
    let outcome = evaluate(source, expr, when);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return verify::failed(&eval.expected, &error.to_string()),
    };
    if eval.expected.fail {
        return Err(format!("expected an error, got {:?}", outcome.value));
    }
    verify::annotations(&eval.expected, &outcome.annotations)?;
    match (when, eval.when) {
        (When::Range { .. }, _) => verify::matrix(&eval.expected, eval.when, &outcome.value),
        (When::Instant(at), _) => {
            if matches!(outcome.value, Value::Matrix(_) | Value::Text(..)) {
                return Err("the result is neither a vector nor a scalar".into());
            }
            verify::vector(&eval.expected, &outcome.value)?;
            if eval.expected.ordered {
                return Ok(());
            }
            let around = When::Range { start_ms: at - 60_000, end_ms: at + 60_000, step_ms: 60_000 };
            let ranged = evaluate(source, expr, around).map_err(|error| format!("as a range: {error}"))?;
            let middle = verify::at(&ranged.value, at, matches!(outcome.value, Value::Scalar(_)));
            verify::vector(&eval.expected, &middle).map_err(|reason| format!("as a range: {reason}"))
        }
    }
}

fn evaluate(source: &MemorySource, expr: &Expr, when: When) -> Result<engine::Outcome, Error> {
    match when {
        When::Instant(at) => engine::instant(source, expr, at, &options(), &Unwatched),
        When::Range { start_ms, end_ms, step_ms } => {
            engine::range(source, expr, (start_ms, end_ms, step_ms), &options(), &Unwatched)
        }
    }
}

/// Fixes every selector and subquery that is not fixed; false when a function would show the difference.
fn fix(expr: &mut Expr, time_ms: i64) -> bool {
    match &mut expr.node {
        Node::Number(_) | Node::Text(_) => true,
        Node::Selector(selector) | Node::Range { selector, .. } => {
            selector.when.at.get_or_insert(At::Time(time_ms));
            true
        }
        Node::Subquery { when, expr, .. } => {
            let same = !shows_time(expr);
            when.at.get_or_insert(At::Time(time_ms));
            same
        }
        Node::Negate(inner) | Node::Paren(inner) => fix(inner, time_ms),
        Node::Call { function, args } => {
            let same = !SHOW_TIME.contains(&function.name);
            args.iter_mut().fold(same, |same, arg| fix(arg, time_ms) && same)
        }
        Node::Aggregate { param, expr, .. } => {
            let same = param.as_mut().is_none_or(|param| fix(param, time_ms));
            fix(expr, time_ms) && same
        }
        Node::Binary { left, right, .. } => {
            let same = fix(left, time_ms);
            fix(right, time_ms) && same
        }
    }
}

/// Functions whose result depends on when they are evaluated.
const SHOW_TIME: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

fn shows_time(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number(_) | Node::Text(_) | Node::Selector(_) | Node::Range { .. } => false,
        Node::Subquery { expr, .. } | Node::Negate(expr) | Node::Paren(expr) => shows_time(expr),
        Node::Call { function, args } => SHOW_TIME.contains(&function.name) || args.iter().any(shows_time),
        Node::Aggregate { param, expr, .. } => param.as_deref().is_some_and(shows_time) || shows_time(expr),
        Node::Binary { left, right, .. } => shows_time(left) || shows_time(right),
    }
}
