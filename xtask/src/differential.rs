//! `cargo xtask differential`: upstream's HPA controller and Flyball on the same random cases.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;

use crate::copy::Copy;
use crate::e2e::golang::{self, Module, Package};
use crate::e2e::{no_go, root};

/// Where the peer with counters and what it counts go.
const COVERAGE: &str = "target/coverage";
/// Share of the statements of upstream's calculator and normalisation that the cases must reach.
const LEAST_COVERAGE_PERCENT: f64 = 95.0;
/// Upstream's package.
const PACKAGE: &str = "k8s.io/kubernetes/pkg/controller/podautoscaler";

/// Flags of `cargo xtask differential`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Cases to run.
    #[arg(long, default_value_t = Options::default().cases, value_name = "N")]
    pub cases: u64,
    /// Seed of the first case; the others follow it.
    #[arg(long, default_value_t = Options::default().seed, value_name = "SEED")]
    pub seed: u64,
    /// Peers at once.
    #[arg(long, default_value_t = Options::default().jobs, value_name = "N")]
    pub jobs: u64,
    /// Counts which statements of upstream's calculator and normalisation the cases reach.
    #[arg(long)]
    pub coverage: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { cases: 100_000, seed: 1, jobs: 2, coverage: false }
    }
}

/// Builds the peer, so that it can be done while something else waits. What cannot be built here is left to [`run`] to say.
///
/// # Errors
/// It does not build.
pub fn prepare() -> anyhow::Result<()> {
    if no_go().is_none() {
        peer()?;
    }
    Ok(())
}

/// Builds both sides and compares them.
///
/// # Errors
/// Something does not build, a case differs, or too few statements are reached.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(why) = no_go() {
        println!("differential: SKIPPED, upstream's controller cannot be built: {why}");
        return Ok(());
    }
    let counters = root().join(COVERAGE).join("counters");
    let peer = if options.coverage { peer_with_counters(&counters)? } else { peer()? };
    let copy = Copy::built()?;
    println!("differential: {} cases from seed {}", options.cases, options.seed);
    let status = Command::new(copy.program())
        .arg("--peer")
        .arg(&peer)
        .args(["--cases", &options.cases.to_string(), "--seed", &options.seed.to_string()])
        .args(["--jobs", &options.jobs.to_string()])
        .env("GOCOVERDIR", &counters)
        .status()
        .context("cannot start the differential")?;
    ensure!(status.success(), "Flyball and upstream differ, or the run failed: {status}");
    if options.coverage { report(&counters) } else { Ok(()) }
}

/// Upstream's controller as a program.
///
/// # Errors
/// It does not build.
pub fn peer() -> anyhow::Result<PathBuf> {
    golang::build(&Module {
        name: "hpa",
        folder: "e2e/peers/hpa",
        file: "go.mod",
        version_of: Some("k8s.io/kubernetes"),
        package: Package::Own,
    })
}

fn peer_with_counters(counters: &Path) -> anyhow::Result<PathBuf> {
    let program = root().join(COVERAGE).join("hpa");
    if counters.exists() {
        std::fs::remove_dir_all(counters).with_context(|| counters.display().to_string())?;
    }
    std::fs::create_dir_all(counters).with_context(|| counters.display().to_string())?;
    // Without the program itself among the packages nothing would write the counters.
    let packages = format!("-coverpkg=./...,{PACKAGE},{PACKAGE}/metrics");
    println!("+ go build -cover {packages} # in e2e/peers/hpa");
    let mut build = Command::new("go");
    build.args(["build", "-cover", &packages, "-o"]).arg(&program).arg(".");
    let status = build.current_dir(root().join("e2e/peers/hpa")).env("GOTOOLCHAIN", "auto").status();
    ensure!(status.context("cannot start go")?.success(), "e2e/peers/hpa does not build with counters");
    Ok(program)
}

/// Prints the share of each part and holds it to the limit.
fn report(counters: &Path) -> anyhow::Result<()> {
    let profile = counters.with_file_name("profile.txt");
    go(&[
        "tool",
        "covdata",
        "textfmt",
        "-i",
        &counters.display().to_string(),
        "-o",
        &profile.display().to_string(),
    ])?;
    let functions = go(&["tool", "cover", "-func", &profile.display().to_string()])?;
    let profile = std::fs::read_to_string(&profile)?;
    for part in PARTS {
        let (reached, all) = part.count(&profile, &functions);
        let percent = reached as f64 * 100.0 / all.max(1) as f64;
        println!("differential: {percent:.1} % of {all} statements reached: {}", part.title);
        ensure!(percent >= LEAST_COVERAGE_PERCENT, "at least {LEAST_COVERAGE_PERCENT} % must be reached");
    }
    Ok(())
}

fn go(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("go").args(arguments).current_dir(root().join("e2e/peers/hpa")).output();
    let output = output.context("cannot start go")?;
    ensure!(
        output.status.success(),
        "go {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A part of upstream's code.
struct Part {
    title: &'static str,
    file: &'static str,
    /// Only functions with these in their names; all of the file if there are none.
    functions: &'static [&'static str],
}

const PARTS: [Part; 3] = [
    Part { title: "replica calculator", file: "/replica_calculator.go", functions: &[] },
    Part { title: "ratios", file: "/metrics/utilization.go", functions: &[] },
    Part {
        title: "normalisation",
        file: "/horizontal.go",
        functions: &[
            "ormalize",
            "tabiliz",
            "convertDesired",
            "calculateScale",
            "ReplicasChange",
            "caleEvent",
            "olicyPeriod",
            "olerances",
        ],
    },
];

impl Part {
    /// Statements reached, and all.
    fn count(&self, profile: &str, functions: &str) -> (u64, u64) {
        let starts = self.starts(functions);
        let belongs = |line: u64| {
            let function = starts.iter().rev().find(|(start, _)| *start <= line);
            self.functions.is_empty()
                || function.is_some_and(|(_, name)| self.functions.iter().any(|part| name.contains(part)))
        };
        let mut sums = (0, 0);
        for block in profile.lines().filter_map(|line| self.block(line)).filter(|block| belongs(block.0)) {
            sums.1 += block.1;
            sums.0 += if block.2 > 0 { block.1 } else { 0 };
        }
        sums
    }

    /// `FILE:LINE:\tFUNCTION\tPERCENT` of this file.
    fn starts(&self, functions: &str) -> Vec<(u64, String)> {
        let start = |line: &str| {
            let (_, rest) = line.split_once(&format!("podautoscaler{}:", self.file))?;
            let mut words = rest.split(':');
            let (line, name) = (words.next()?.parse().ok()?, words.next()?.split_whitespace().next()?);
            Some((line, name.to_owned()))
        };
        functions.lines().filter_map(start).collect()
    }

    /// `FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT` of this file: the first line, and the two numbers.
    fn block(&self, line: &str) -> Option<(u64, u64, u64)> {
        let (_, rest) = line.split_once(&format!("podautoscaler{}:", self.file))?;
        let mut words = rest.split_whitespace();
        let first = words.next()?.split('.').next()?.parse().ok()?;
        Some((first, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_by_function() {
        let profile = "mode: set\n\
            k8s.io/x/podautoscaler/horizontal.go:10.2,12.3 4 1\n\
            k8s.io/x/podautoscaler/horizontal.go:21.2,22.3 3 0\n\
            k8s.io/x/podautoscaler/horizontal.go:24.2,25.3 2 7\n\
            k8s.io/x/podautoscaler/other.go:24.2,25.3 9 7\n";
        let functions = "k8s.io/x/podautoscaler/horizontal.go:9:\t\tRun\t\t100.0%\n\
            k8s.io/x/podautoscaler/horizontal.go:20:\t\tnormalizeDesiredReplicas\t40.0%\n";
        let normalisation = &PARTS[2];
        assert_eq!(normalisation.count(profile, functions), (2, 5));
        let all = Part { functions: &[], ..PARTS[2] };
        assert_eq!(all.count(profile, functions), (6, 9));
    }
}
