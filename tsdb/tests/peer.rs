//! The same data and the same generated queries for our engine and for Prometheus' own.
//!
//! The peer is a Go program (`e2e/peers/prometheus`); its path stands in `FLYBALL_PROMETHEUS_PEER`, and without it the test
//! says that it does nothing. `FLYBALL_PEER_QUERIES` is how many queries are asked (default 2,000) and `FLYBALL_PEER_SEED`
//! what they are made from; a difference prints both, so that it can be had again.

#![allow(clippy::disallowed_methods, reason = "starts the peer and reads the environment")]

#[path = "peer/generate.rs"]
mod generate;
#[path = "promqltest/load.rs"]
mod load;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use flyball_tsdb::memory::MemorySource;
use flyball_tsdb::promql::annotations::Level;
use flyball_tsdb::promql::engine::{self, Options, Unwatched, Value};
use flyball_tsdb::promql::{number, parse};
use flyball_tsdb::series::Point;
use generate::{Generator, Question};

/// Relative difference that is noise: sums in another order, and mathematics of another library.
const NOISE: f64 = 1e-9;

/// Names and values.
type Labels = Vec<(String, String)>;

#[derive(Debug, Default, PartialEq)]
struct Answer {
    kind: String,
    failed: bool,
    error: String,
    /// Labels, then times and values.
    series: BTreeMap<Labels, Vec<(i64, f64)>>,
    /// Of a query that is a text.
    text: String,
    warnings: Vec<String>,
    infos: Vec<String>,
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_difference_beyond_noise() {
    let Ok(program) = std::env::var("FLYBALL_PROMETHEUS_PEER") else {
        println!("SKIPPED: FLYBALL_PROMETHEUS_PEER names no peer (build e2e/peers/prometheus)");
        return;
    };
    let count = env("FLYBALL_PEER_QUERIES", 2_000) as usize;
    let seed = env("FLYBALL_PEER_SEED", 1);
    let mut generator = Generator::new(seed);
    let script = generator.data();
    let questions: Vec<Question> = (0..count).map(|_| generator.question()).collect();
    let theirs = ask_peer(&program, &script, &questions);
    let source = loaded(&script);
    let mut differences = Vec::new();
    let (mut empty, mut failed, mut refused) = (0, 0, 0);
    // Their reader goes on behind a mistake and may find it elsewhere; what it says is compared by eye.
    let mut worded = Vec::new();
    for (question, theirs) in questions.iter().zip(&theirs) {
        let ours = ask_us(&source, question);
        empty += usize::from(!ours.failed && ours.series.is_empty());
        failed += usize::from(ours.failed);
        refused += usize::from(is_refusal(&ours) && is_refusal(theirs));
        if is_refusal(&ours) && is_refusal(theirs) && ours.error != theirs.error {
            worded.push(format!(
                "{:?}\n    ours   {}\n    theirs {}",
                question.query, ours.error, theirs.error
            ));
        } else if let Some(difference) = difference(&ours, theirs) {
            differences.push(format!("{question:?}\n    {difference}"));
        }
    }
    println!("{count} queries from seed {seed}: {failed} fail on both sides, {empty} are empty");
    println!("of {refused} that neither reads {} are refused in other words:", worded.len());
    println!("{}", worded[..worded.len().min(30)].join("\n"));
    assert!(failed * 2 < count && empty * 2 < count, "the queries say too little");
    assert!(
        differences.is_empty(),
        "{} of {count} differ (seed {seed}):\n{}",
        differences.len(),
        differences[..differences.len().min(30)].join("\n")
    );
}

fn loaded(script: &str) -> MemorySource {
    let mut source = MemorySource::default();
    for text in script.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let line = load::line(text.trim()).expect("a line of the script");
        for (index, item) in line.items.iter().enumerate() {
            if let load::Item::Value(value) = *item {
                source.add(&line.labels, Point { timestamp_ms: index as i64 * generate::STEP_MS, value });
            }
        }
    }
    source
}

fn ask_us(source: &MemorySource, question: &Question) -> Answer {
    let failed = |error: String| Answer { failed: true, error, ..Answer::default() };
    let expr = match parse(&question.query) {
        Ok(expr) => expr,
        Err(error) => return failed(error.to_string()),
    };
    let outcome = if question.step_ms == 0 {
        engine::instant(source, &expr, question.start_ms, &Options::default(), &Unwatched)
    } else {
        let times = (question.start_ms, question.end_ms, question.step_ms);
        engine::range(source, &expr, times, &Options::default(), &Unwatched)
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return failed(error.to_string()),
    };
    let mut answer = Answer {
        warnings: outcome.annotations.shown(Level::Warning, &question.query),
        infos: outcome.annotations.shown(Level::Info, &question.query),
        ..Answer::default()
    };
    let (kind, series) = match outcome.value {
        Value::Scalar(point) => {
            answer.series.insert(Vec::new(), vec![(point.timestamp_ms, point.value)]);
            ("scalar", Vec::new())
        }
        Value::Text(_, text) => {
            answer.text = text;
            ("string", Vec::new())
        }
        Value::Vector(series) => ("vector", series),
        Value::Matrix(series) => ("matrix", series),
    };
    answer.kind = kind.into();
    for one in series {
        let labels = one.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let points = one.points.iter().map(|point| (point.timestamp_ms, point.value)).collect();
        answer.series.insert(labels, points);
    }
    answer.warnings.sort();
    answer.infos.sort();
    answer
}

fn ask_peer(program: &str, script: &str, questions: &[Question]) -> Vec<Answer> {
    let mut child =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the peer starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut lines = vec![serde_json::json!({ "load": script }).to_string()];
    lines.extend(questions.iter().map(|question| {
        serde_json::json!({
            "query": question.query,
            "start": question.start_ms,
            "end": question.end_ms,
            "step": question.step_ms,
        })
        .to_string()
    }));
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").expect("the peer reads");
        }
    });
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let answers: Vec<Answer> =
        output.lines().map(|line| read_answer(&line.expect("the peer answers"))).collect();
    writer.join().expect("the questions are written");
    assert!(child.wait().expect("the peer ends").success());
    assert_eq!(answers.len(), questions.len());
    answers
}

fn read_answer(line: &str) -> Answer {
    let json: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
    let texts = |name: &str| {
        let list = json[name].as_array().cloned().unwrap_or_default();
        let mut texts: Vec<String> =
            list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect();
        texts.sort();
        texts
    };
    let error = json["error"].as_str().unwrap_or_default().to_owned();
    let mut answer = Answer {
        kind: json["type"].as_str().unwrap_or_default().into(),
        failed: !error.is_empty(),
        error,
        warnings: texts("warnings"),
        infos: texts("infos"),
        ..Answer::default()
    };
    if answer.kind == "string" {
        answer.text = json["series"][0]["values"][0].as_str().unwrap_or_default().into();
        return answer;
    }
    for one in json["series"].as_array().into_iter().flatten() {
        let mut labels: Vec<(String, String)> = one["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        labels.sort();
        let times = one["times"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_i64);
        let values = one["values"].as_array().into_iter().flatten();
        let values = values.map(|text| number::parse(text.as_str().unwrap_or_default()).unwrap_or(f64::NAN));
        answer.series.insert(labels, times.zip(values).collect());
    }
    answer
}

fn difference(ours: &Answer, theirs: &Answer) -> Option<String> {
    if ours.failed || theirs.failed {
        return (!same_error(ours, theirs))
            .then(|| format!("ours: {:?}, theirs: {:?}", ours.error, theirs.error));
    }
    if ours.text != theirs.text {
        return Some(format!("ours: {:?}, theirs: {:?}", ours.text, theirs.text));
    }
    if ours.kind != theirs.kind {
        return Some(format!("ours is a {}, theirs a {}", ours.kind, theirs.kind));
    }
    for (labels, theirs) in &theirs.series {
        let Some(ours) = ours.series.get(labels) else {
            return Some(format!("only they have {labels:?} {theirs:?}"));
        };
        let same = ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(ours, theirs)| ours.0 == theirs.0 && is_noise(ours.1, theirs.1));
        if !same {
            return Some(format!("{labels:?}\n    ours   {ours:?}\n    theirs {theirs:?}"));
        }
    }
    if let Some((labels, points)) =
        ours.series.iter().find(|(labels, _)| !theirs.series.contains_key(*labels))
    {
        return Some(format!("only we have {labels:?} {points:?}"));
    }
    // Which ones are left out of more than ten is chance with them.
    let cut = |texts: &[String]| texts.iter().any(|text| text.ends_with("annotations omitted"));
    if cut(&theirs.warnings) || cut(&theirs.infos) {
        return None;
    }
    let notes = same_texts(&ours.warnings, &theirs.warnings) && same_texts(&ours.infos, &theirs.infos);
    (!notes).then(|| {
        format!(
            "annotations\n    ours   {:?} {:?}\n    theirs {:?} {:?}",
            ours.warnings, ours.infos, theirs.warnings, theirs.infos
        )
    })
}

/// Whether texts are alike, but for noise in the numbers that they name.
fn same_texts(ours: &[String], theirs: &[String]) -> bool {
    let same = |(ours, theirs): (&String, &String)| {
        let (mut left, mut right) = (ours.split_whitespace(), theirs.split_whitespace());
        loop {
            match (left.next(), right.next()) {
                (None, None) => return true,
                (Some(left), Some(right)) => {
                    let numbers = (number::parse(left), number::parse(right));
                    let noise = matches!(numbers, (Some(left), Some(right)) if is_noise(left, right));
                    if left != right && !noise {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
}

/// Both fail, and say the same: what a query may not be, in which words and at which place. Of series that clash, any may be
/// named.
fn same_error(ours: &Answer, theirs: &Answer) -> bool {
    let clash = |answer: &Answer| answer.error.split("match group").next().map(str::to_owned);
    ours.failed && theirs.failed && (clash(ours) == clash(theirs) || is_of_their_own(&theirs.error))
}

/// Whether it was not even read.
fn is_refusal(answer: &Answer) -> bool {
    answer.failed && answer.error.contains("parse error")
}

/// What only their reader says.
fn is_of_their_own(error: &str) -> bool {
    error.contains("<Item ") || error.contains("experimental") || error == "unexpected error"
}

fn is_noise(left: f64, right: f64) -> bool {
    left == right
        || (left.is_nan() && right.is_nan())
        || (left - right).abs() <= NOISE * left.abs().max(right.abs()).max(1e-3)
}
