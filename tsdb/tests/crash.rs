//! Kills a child that writes, at random points, and looks at what is left: every acknowledged flush has to be there, nothing
//! else may be, and no file that nobody owns.
//!
//! A program of its own: called by the test runner it is the parent, with `--child DIR FIRST_STEP` the child. Rounds: 50, or
//! as many as `FLYBALL_CRASH_ROUNDS` says.
#![allow(clippy::disallowed_methods, reason = "starts and kills a process, and looks at its folder")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use flyball_model::labels::Labels;
use flyball_tsdb::series::{MatchOp, Matcher, ReadLimits, SeriesSource};
use flyball_tsdb::store::{Incoming, Settings, Store};

const ROUNDS: u32 = 50;
const SERIES: u32 = 40;
const START_MS: i64 = 1_760_400_000_000;
/// Long steps, so that partitions are sealed, merged and removed all the time.
const STEP_MS: i64 = 5 * 60 * 1000;
const RETENTION_MS: i64 = 2 * 24 * 60 * 60 * 1000;
const ALL: ReadLimits = ReadLimits { series: 1_000_000, samples: 100_000_000 };

fn settings() -> Settings {
    Settings { retention_ms: Some(RETENTION_MS), reserve_bytes: 0, ..Settings::default() }
}

fn time_ms(step: i64) -> i64 {
    START_MS + step * STEP_MS
}

/// What series `number` has at a step: counters, gauges, and values without a pattern.
fn value(number: u32, step: i64) -> f64 {
    match number % 3 {
        0 => step as f64 * f64::from(number),
        1 => f64::from(number) / 100.0,
        _ => (step as f64 * 0.7 + f64::from(number)).sin(),
    }
}

fn labels(number: u32) -> Labels {
    let pairs = [("__name__", "crash".to_owned()), ("number", number.to_string())];
    Labels::from_pairs(pairs).expect("labels")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--child") {
        Some(at) => child(Path::new(&arguments[at + 1]), arguments[at + 2].parse().expect("a step")),
        None => parent(),
    }
}

/// Writes for ever, one flush per step, and says which steps are flushed.
fn child(dir: &Path, first_step: i64) -> ExitCode {
    let store = Store::open(dir, settings(), time_ms(first_step)).expect("the store opens");
    for step in first_step.. {
        let now_ms = time_ms(step);
        let batch: Vec<Incoming> = (0..SERIES)
            .map(|number| Incoming {
                series: store.series_ref(&labels(number), "child").expect("a series"),
                timestamp_ms: now_ms,
                value: value(number, step),
            })
            .collect();
        let report = store.append(now_ms, &batch).expect("the disk takes it");
        assert_eq!(report.stored, batch.len(), "{report:?}");
        store.flush().expect("the disk takes it");
        println!("{step}");
        std::io::stdout().flush().expect("the parent reads");
        store.maintain(now_ms).expect("the disk takes it");
    }
    ExitCode::SUCCESS
}

/// A stream of numbers; each run has its own.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn parent() -> ExitCode {
    let rounds =
        std::env::var("FLYBALL_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let dir = tempfile::tempdir().expect("a folder");
    let seed = u64::from(std::process::id()) | 1 << 40;
    println!("killing a writing child {rounds} times, seed {seed}");
    let mut random = Random(seed);
    let mut next_step = 0;
    for round in 1..=rounds {
        let acknowledged = kill_a_child(dir.path(), next_step, &mut random).unwrap_or(next_step - 1);
        next_step = check(dir.path(), acknowledged, round) + 1;
    }
    println!("{next_step} steps of {SERIES} series are as they were written");
    ExitCode::SUCCESS
}

/// Answers the last step that was acknowledged, if any.
fn kill_a_child(dir: &Path, first_step: i64, random: &mut Random) -> Option<i64> {
    let mut child: Child = Command::new(std::env::current_exe().expect("this program"))
        .arg("--child")
        .arg(dir)
        .arg(first_step.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut last = None;
    for _ in 0..random.below(60) {
        match lines.next() {
            Some(Ok(line)) => last = line.parse().ok(),
            _ => panic!("the child ended by itself: {:?}", child.wait()),
        }
    }
    // Somewhere within the next steps.
    std::thread::sleep(Duration::from_micros(random.below(20_000)));
    child.kill().expect("the child is killed");
    child.wait().expect("the child is gone");
    // What it said before it died counts, too.
    for line in lines.map_while(Result::ok) {
        last = line.parse().ok().or(last);
    }
    last
}

/// Answers the last step that is there.
fn check(dir: &Path, acknowledged: i64, round: u32) -> i64 {
    let store = Store::open(dir, settings(), time_ms(acknowledged)).expect("the store opens after a crash");
    let report = store.report().expect("a report");
    assert!(report.damage.is_empty(), "round {round}: {:?}", report.damage);
    let all = [Matcher { name: "__name__".to_owned(), op: MatchOp::Equal, value: "crash".to_owned() }];
    let series = store.select(&all, 0, i64::MAX, ALL).expect("it can be read");
    if acknowledged < 0 {
        return series
            .iter()
            .flat_map(|series| &series.points)
            .map(|p| step_of(p.timestamp_ms))
            .max()
            .unwrap_or(-1);
    }
    assert_eq!(series.len(), SERIES as usize, "round {round}");
    let last = step_of(series[0].points.last().expect("samples").timestamp_ms);
    assert!(
        last >= acknowledged,
        "round {round}: step {acknowledged} was acknowledged, {last} is the last there"
    );
    let oldest = ((time_ms(acknowledged) - RETENTION_MS - START_MS) / STEP_MS).max(0);
    for one in &series {
        let number: u32 = one.labels.get("number").and_then(|text| text.parse().ok()).expect("its number");
        let first = step_of(one.points[0].timestamp_ms);
        assert!(first <= oldest, "round {round}: series {number} begins at {first}, not at {oldest}");
        let expected: Vec<(i64, u64)> =
            (first..=last).map(|step| (time_ms(step), value(number, step).to_bits())).collect();
        let have: Vec<(i64, u64)> =
            one.points.iter().map(|point| (point.timestamp_ms, point.value.to_bits())).collect();
        assert_eq!(have, expected, "round {round}: series {number}");
    }
    let owned: BTreeSet<String> = report.blocks.iter().map(|block| format!("{:016x}", block.block)).collect();
    assert_eq!(names(&dir.join("blocks")), owned, "round {round}: folders and blocks");
    assert_eq!(
        names(&dir.join("hot/blobs")),
        BTreeSet::new(),
        "round {round}: files of the log that nobody owns"
    );
    assert!(!dir.join("aside").exists(), "round {round}: something was moved aside");
    last
}

fn step_of(timestamp_ms: i64) -> i64 {
    assert_eq!((timestamp_ms - START_MS) % STEP_MS, 0);
    (timestamp_ms - START_MS) / STEP_MS
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}
