//! Upstream's controller and Flyball on the same random cases: replicas, status, conditions, messages and events must be
//! the same.
//!
//! `cargo xtask differential` builds the peer and starts this. A mismatch is printed with its case's seed, and
//! `--seed SEED --cases 1` runs that case again.

#![allow(clippy::disallowed_methods, reason = "a test program: it starts the peer and reads files")]

mod compare;
mod ours;
mod peer;
mod random;
mod succeeded;
mod wire;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use clap::Parser;

use compare::{Meant, Verdict, compare};
use peer::Peer;
use wire::Case;

/// Mismatches after which a job gives up.
const MOST_MISMATCHES: usize = 5;
/// A job says how far it is after as many cases.
const PROGRESS: u64 = 250_000;
/// Cases that wait for the peer's answers.
const AHEAD: usize = 256;

/// Upstream's HPA controller and Flyball on the same random cases
#[derive(Debug, Parser)]
struct Options {
    /// Upstream's controller: the program built from `e2e/peers/hpa`.
    #[arg(long, value_name = "FILE", required_unless_present = "against")]
    peer: Option<PathBuf>,
    /// Cases to run.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    cases: u64,
    /// Seed of the first case; the others follow it.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// Peers at once.
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: u64,
    /// Writes each seed with the peer's answer, for `--against`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Compares with recorded answers in place of a peer.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "jobs"])]
    against: Option<PathBuf>,
    /// Prints each case and both answers.
    #[arg(long)]
    verbose: bool,
}

/// Sums of a run.
#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    steps: u64,
    rescales: u64,
    meant: BTreeMap<Meant, u64>,
    mismatches: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let outcome = match &options.against {
        Some(file) => against(file, &options),
        None => beside(&options),
    };
    match outcome {
        Ok(tally) => {
            println!(
                "differential: seeds {} to {}: {} cases, {} steps, {} rescales, {} mismatches, {:.0} s",
                options.seed,
                options.seed + tally.cases.max(1) - 1,
                tally.cases,
                tally.steps,
                tally.rescales,
                tally.mismatches,
                started.elapsed().as_secs_f64()
            );
            for (meant, count) in &tally.meant {
                println!("differential: {count} cases differ as meant: {meant}");
            }
            if tally.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("differential: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All jobs, each with its own peer and its own part of the seeds.
fn beside(options: &Options) -> anyhow::Result<Tally> {
    if let Some(program) = &options.peer {
        succeeded::check(program)?;
    }
    let jobs = options.jobs.max(1);
    let share = options.cases.div_ceil(jobs);
    std::thread::scope(|scope| {
        let part = |job: u64| {
            let first = options.seed + job * share;
            let end = (first + share).min(options.seed + options.cases);
            scope.spawn(move || run(options, job, first..end))
        };
        let parts: Vec<_> = (0..jobs).map(part).collect();
        let mut sum = Tally::default();
        for part in parts {
            sum.add(part.join().map_err(|_| anyhow::anyhow!("a job panicked"))??);
        }
        Ok(sum)
    })
}

/// One job. The peer is fed from a thread of its own, so that neither side waits for the other.
fn run(options: &Options, job: u64, seeds: std::ops::Range<u64>) -> anyhow::Result<Tally> {
    let Some(program) = &options.peer else { anyhow::bail!("no peer is given") };
    let (mut peer, mut input) = Peer::start(program)?;
    let mut record = options
        .record
        .as_ref()
        .filter(|_| job == 0)
        .map(std::fs::File::create)
        .transpose()?
        .map(BufWriter::new);
    let (sender, cases) = sync_channel::<(u64, Case)>(AHEAD);
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let feed = scope.spawn(move || -> anyhow::Result<()> {
            for seed in seeds {
                let case = random::case(seed);
                peer::send(&mut input, &peer::line(&case)?)?;
                if sender.send((seed, case)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for (seed, case) in &cases {
            let answer = peer.answer()?;
            if let Some(record) = &mut record {
                writeln!(record, "{seed} {answer}")?;
            }
            tally.judge(seed, &case, answer, options.verbose)?;
            if tally.cases.is_multiple_of(PROGRESS) {
                println!("differential: job {job}: {} cases, {} mismatches", tally.cases, tally.mismatches);
            }
            if tally.mismatches >= MOST_MISMATCHES {
                peer.stop();
                break;
            }
        }
        drop(cases);
        let fed = feed.join().map_err(|_| anyhow::anyhow!("the feeding thread panicked"))?;
        if tally.mismatches < MOST_MISMATCHES { fed } else { Ok(()) }
    })?;
    if tally.mismatches < MOST_MISMATCHES {
        peer.finish()?;
    }
    Ok(tally)
}

/// Recorded answers.
fn against(file: &std::path::Path, options: &Options) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for line in BufReader::new(std::fs::File::open(file)?).lines() {
        let line = line?;
        let Some((seed, answer)) = line.split_once(' ') else { anyhow::bail!("{}: no seed", file.display()) };
        let seed = seed.parse()?;
        tally.judge(seed, &random::case(seed), answer, options.verbose)?;
        if tally.mismatches > 0 {
            break;
        }
    }
    Ok(tally)
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.cases += other.cases;
        self.steps += other.steps;
        self.rescales += other.rescales;
        self.mismatches += other.mismatches;
        for (meant, count) in other.meant {
            *self.meant.entry(meant).or_default() += count;
        }
    }

    fn judge(&mut self, seed: u64, case: &Case, answer: &str, verbose: bool) -> anyhow::Result<()> {
        let theirs = peer::outcomes(answer)?;
        let ours = ours::run(case);
        self.cases += 1;
        self.steps += theirs.len() as u64;
        self.rescales +=
            theirs.iter().flat_map(|step| &step.events).filter(|e| e[1] == "SuccessfulRescale").count()
                as u64;
        if verbose {
            println!("{}\n{answer}\n{ours:#?}", serde_json::to_string_pretty(case)?);
        }
        match compare(case, &ours, &theirs) {
            Verdict::Equal => {}
            Verdict::Meant(meant) => *self.meant.entry(meant).or_default() += 1,
            Verdict::Differs { step, what, ours, theirs } => {
                self.mismatches += 1;
                println!("MISMATCH seed {seed} step {step}: {what}\n  ours:   {ours}\n  theirs: {theirs}");
            }
        }
        Ok(())
    }
}
