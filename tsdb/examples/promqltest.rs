//! Runs test scripts of PromQL from a folder: `promqltest DIR EXCLUSIONS`.
//!
//! Every statement must pass, except for those on the list of exclusions, which must fail: what passes has to leave the
//! list. Prometheus publishes such scripts (`promql/promqltest/testdata` of its repository); none of them is kept here.

#![allow(clippy::disallowed_methods, reason = "a developer tool: it reads scripts from a folder")]

#[path = "../tests/promqltest/mod.rs"]
mod promqltest;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

/// Most exclusions that the list may have. It may only be lowered.
const MAX_EXCLUSIONS: usize = 557;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, exclusions] = &args[..] else {
        eprintln!("usage: promqltest DIR EXCLUSIONS");
        return ExitCode::FAILURE;
    };
    match all(Path::new(folder), Path::new(exclusions)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("promqltest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all(folder: &Path, exclusions: &Path) -> Result<bool, String> {
    let excluded = read_exclusions(exclusions)?;
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: no scripts (*.test)", folder.display()));
    }
    let (mut passed, mut total, mut good) = (0, 0, true);
    let mut unused = excluded.clone();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
        let outcomes = promqltest::run(&text).map_err(|error| format!("{name}: {error}"))?;
        let (mut passed_here, total_here) = (0, outcomes.len());
        for outcome in outcomes {
            let key = format!("{name}:{}", outcome.line);
            let on_list = excluded.contains_key(&key);
            unused.remove(&key);
            passed_here += usize::from(outcome.result.is_ok());
            match outcome.result {
                Ok(()) if on_list => println!("PASSES {key}: {}: take it off the list", outcome.query),
                Err(_) if on_list => continue,
                Err(reason) => println!("FAILS {key}: {}\n    {reason}", outcome.query),
                Ok(()) => continue,
            }
            good = false;
        }
        println!("{name}: {passed_here} of {total_here} pass");
        passed += passed_here;
        total += total_here;
    }
    for key in unused.keys() {
        println!("UNKNOWN {key}: on the list of exclusions, but in no script");
        good = false;
    }
    if excluded.len() > MAX_EXCLUSIONS {
        println!("{} exclusions, more than the {MAX_EXCLUSIONS} that there were", excluded.len());
        good = false;
    }
    println!("{passed} of {total} statements pass, {} are excluded", excluded.len());
    Ok(good)
}

/// Lines of `FILE:LINE REASON`; `#` begins a comment.
fn read_exclusions(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut excluded = BTreeMap::new();
    let mut reasons = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, reason) = line.split_once(' ').ok_or_else(|| format!("{line:?}: no reason"))?;
        reasons.insert(reason.to_owned());
        excluded.insert(key.to_owned(), reason.to_owned());
    }
    for reason in reasons {
        let count = excluded.values().filter(|other| **other == reason).count();
        println!("excluded: {count} statements: {reason}");
    }
    Ok(excluded)
}
