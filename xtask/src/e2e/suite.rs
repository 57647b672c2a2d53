//! Runs the tests, shows what they print as it comes, and says at the end what was skipped and why.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, bail};

use super::root;
use crate::cargo::cargo;
use crate::totals::Totals;

/// How a test says on standard error that it is skipped; its name and the reason follow.
const SKIPPED: &str = "SKIPPED: ";

/// Runs the tests whose names hold one of `filters`, or all.
///
/// # Errors
/// A test fails.
pub fn run(environment: &[(&'static str, OsString)], filters: &[String]) -> anyhow::Result<Totals> {
    let mut arguments = vec!["test", "--workspace", "--test", "controlplane", "--", "--test-threads=1"];
    arguments.extend(filters.iter().map(String::as_str));
    println!("+ cargo {}", arguments.join(" "));
    let mut child = cargo()
        .args(&arguments)
        .current_dir(root())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let errors = child.stderr.take().context("cargo has no standard error")?;
    let skipped = std::thread::spawn(move || skipped(BufReader::new(errors)));
    let output = child.stdout.take().context("cargo has no output")?;
    let mut totals = Totals::default();
    // One test at a time, so what passes between two results is the second one's.
    let mut since = Instant::now();
    // Ends when the last plane is removed, too: its guardian has this pipe.
    for line in BufReader::new(output).lines() {
        let line = line?;
        totals.add_line(&line);
        if line.starts_with("test ") && line.contains(" ... ") {
            println!("{line} ({} s)", since.elapsed().as_secs());
            since = Instant::now();
        } else {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    let skipped = skipped.join().ok().context("standard error was not read")?;
    for (why, tests) in &skipped {
        println!("e2e: {} skipped: {why}", tests.len());
    }
    let tests: BTreeSet<_> = skipped.values().flatten().collect();
    totals.skip(tests.len() as u64);
    if !status.success() {
        println!("e2e: {totals}");
        bail!("cargo test ended with {status}");
    }
    Ok(totals)
}

/// Passes lines on and gathers the tests that are skipped, by reason.
fn skipped(lines: impl BufRead) -> BTreeMap<String, Vec<String>> {
    let mut skipped = BTreeMap::<_, Vec<_>>::new();
    for line in lines.lines().map_while(Result::ok) {
        if let Some((test, why)) = line.strip_prefix(SKIPPED).and_then(|text| text.split_once(": ")) {
            skipped.entry(why.to_owned()).or_default().push(test.to_owned());
        }
        eprintln!("{line}");
    }
    skipped
}

#[cfg(test)]
mod tests {
    use super::skipped;

    #[test]
    fn skipped_tests_are_gathered_by_reason() {
        let text = "   Running x\nSKIPPED: swaps::a: no Go\nSKIPPED: swaps::b: no Go\nSKIPPED: pods: no runc: none\n";
        let found = skipped(text.as_bytes());
        assert_eq!(found["no Go"], ["swaps::a", "swaps::b"]);
        assert_eq!(found["no runc: none"], ["pods"]);
    }
}
