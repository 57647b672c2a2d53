//! `cargo xtask fuzz`: the targets of `fuzz/`, built with LLVM's coverage instrumentation and linked with libFuzzer, on the
//! stable compiler.
//!
//! The inputs start from the captured machines of `testdata/`; what a run finds worth keeping stays in `target/fuzz/corpus`
//! for the next. An input that ends a target badly is kept in `target/fuzz/failures`, and the command that repeats it is
//! printed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, bail};
use clap::Args;

use crate::cargo::cargo;

/// What makes libFuzzer see which way an input took. Accepted by the stable compiler: they are LLVM's.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Longest input, bytes: kernel files are shorter, and what is longer only repeats.
const INPUT_BYTES: usize = 8 * 1024;
/// Longest time that one input may take, seconds.
const INPUT_SECONDS: u32 = 10;
/// Most memory of a target, MiB: a parser that needs more for 8 KiB has no limit.
const MEMORY_MIB: u32 = 1024;

/// Flags of `cargo xtask fuzz`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How long each target runs, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub seconds: u32,
    /// How many targets run at once.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub jobs: usize,
    /// Only these targets, by name.
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 600, jobs: 1, targets: Vec::new() }
    }
}

/// Builds the targets and runs each.
///
/// # Errors
/// A target does not build, or an input ends it badly.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    let targets = chosen(&all_targets(&root.join("fuzz/fuzz_targets"))?, &options.targets)?;
    let programs = build(root)?;
    let places = Places { folder: root.join("target/fuzz"), programs };
    let seeds = places.folder.join("seeds");
    gather_seeds(root, &seeds)?;
    let next = std::sync::Mutex::new(targets.iter());
    let take = || next.lock().ok().and_then(|mut left| left.next());
    let work = || -> anyhow::Result<Vec<Outcome>> {
        std::iter::from_fn(take).map(|target| places.run(target, options.seconds)).collect()
    };
    let jobs = options.jobs.clamp(1, targets.len().max(1));
    let outcomes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    report(outcomes.into_iter().flatten().collect())
}

/// The names of all targets, which are those of their files.
fn all_targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn chosen(all: &[String], wanted: &[String]) -> anyhow::Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target {unknown}; there are: {}", all.join(", "));
    }
    Ok(if wanted.is_empty() { all.to_vec() } else { wanted.to_vec() })
}

/// Gives the folder of the programs.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    // With a target named, build scripts and macros are built without the instrumentation.
    let host = host()?;
    let target_folder = root.join("target/fuzz-build");
    let mut command = cargo();
    command
        .args(["build", "--release", "--locked", "--bins", "--target", &host])
        .arg("--manifest-path")
        .arg(root.join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_folder)
        .env("RUSTFLAGS", INSTRUMENTATION);
    println!("+ RUSTFLAGS='{INSTRUMENTATION}' {command:?}");
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("the fuzz targets do not build: {status}");
    }
    Ok(target_folder.join(host).join("release"))
}

fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say its host")
}

/// Copies the files of all captured machines into one folder, each once.
fn gather_seeds(root: &Path, seeds: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(seeds).with_context(|| seeds.display().to_string())?;
    let mut folders = vec![root.join("collector/testdata"), root.join("fuzz/seeds")];
    let mut number = 0;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata()?.len() <= INPUT_BYTES as u64 {
                std::fs::copy(entry.path(), seeds.join(number.to_string()))?;
                number += 1;
            }
        }
    }
    Ok(())
}

struct Places {
    folder: PathBuf,
    programs: PathBuf,
}

/// How a run ended.
struct Outcome {
    target: String,
    seconds: u32,
    executions: u64,
    edges: u64,
    failed: bool,
}

impl Places {
    fn run(&self, target: &str, seconds: u32) -> anyhow::Result<Outcome> {
        let corpus = self.folder.join("corpus").join(target);
        let failures = self.folder.join("failures");
        for folder in [&corpus, &failures] {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let program = self.programs.join(target);
        let prefix = failures.join(format!("{target}-"));
        println!("fuzz: {target}: starts, {seconds} s");
        let output = Command::new(&program)
            .args([&corpus, &self.folder.join("seeds")])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={INPUT_BYTES}"))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}", prefix.display()))
            .args(["-print_final_stats=1", "-use_value_profile=1"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        std::fs::write(self.folder.join(format!("{target}.log")), &said)?;
        let outcome = Outcome { failed: !output.status.success(), ..read_log(target, seconds, &said) };
        if outcome.failed {
            let last: Vec<&str> = said.lines().rev().take(40).collect();
            for line in last.iter().rev() {
                println!("fuzz: {target}: {line}");
            }
            println!("fuzz: {target}: FAILED; repeat it with {} FILE-NAMED-ABOVE", program.display());
        }
        println!("{}", outcome.line());
        std::io::stdout().flush()?;
        Ok(outcome)
    }
}

/// What libFuzzer says at the end: `stat::number_of_executed_units: N`, and `cov: N` in each line of progress.
fn read_log(target: &str, seconds: u32, said: &str) -> Outcome {
    let after = |line: &str, key: &str| {
        let (_, rest) = line.split_once(key)?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let last = |key: &str| said.lines().rev().find_map(|line| after(line, key)).unwrap_or(0);
    Outcome {
        target: target.to_owned(),
        seconds,
        executions: last("stat::number_of_executed_units:"),
        edges: last("cov:"),
        failed: false,
    }
}

impl Outcome {
    fn line(&self) -> String {
        let Outcome { target, seconds, executions, edges, failed } = self;
        let verdict = if *failed { "FAILED" } else { "passed" };
        format!("fuzz: {target}: {verdict}, {seconds} s, {executions} inputs, {edges} edges seen")
    }
}

fn report(mut outcomes: Vec<Outcome>) -> anyhow::Result<()> {
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    println!("\nfuzz: {} targets", outcomes.len());
    for outcome in &outcomes {
        println!("{}", outcome.line());
    }
    let failed: Vec<&str> = outcomes.iter().filter(|o| o.failed).map(|o| o.target.as_str()).collect();
    if !failed.is_empty() {
        bail!("inputs that end a target badly were found: {}", failed.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_understood() {
        let said = "#1024\tREDUCE cov: 341 ft: 900 corp: 30/9Kb\n#2048\tDONE   cov: 352 ft: 960\n\
                    Done 2048 runs in 3 second(s)\nstat::number_of_executed_units: 2048\nstat::peak_rss_mb: 60\n";
        let outcome = read_log("x", 3, said);
        assert_eq!((outcome.executions, outcome.edges), (2048, 352));
        assert_eq!(read_log("x", 3, "").line(), "fuzz: x: passed, 3 s, 0 inputs, 0 edges seen");
    }

    #[test]
    fn every_target_is_in_the_manifest() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let targets = all_targets(&fuzz.join("fuzz_targets")).unwrap();
        assert!(targets.len() >= 12);
        for target in &targets {
            assert!(
                manifest.contains(&format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"")),
                "{target}"
            );
        }
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
    }

    #[test]
    fn an_unknown_target_is_named() {
        let all = ["a".to_owned(), "b".to_owned()];
        assert_eq!(chosen(&all, &[]).unwrap(), all);
        let error = chosen(&all, &["c".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "there is no fuzz target c; there are: a, b");
    }
}
