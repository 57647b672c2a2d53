//! The first process of the machine that `cargo xtask vm-test` boots: makes control groups with known load, and compares
//! what the collector says of them with what was really consumed.
//!
//! Two roles. As process 1 it prepares the [`machine`], runs the [`checks`] of the subject that is its first word, those
//! whose names hold one of the other words (or all), and switches the machine off; how each check ended goes to the console in lines that `xtask` reads.
//! With `load` as its first word it is a [`load`]: a process that joins a group, uses a known amount of something, and
//! tells how much.

#![allow(
    clippy::disallowed_methods,
    reason = "a test program: it makes control groups, starts processes and reads clocks and files"
)]

mod checks;
mod console;
mod evidence;
mod groups;
mod kernel;
mod load;
mod machine;
mod running;

use std::process::ExitCode;

use checks::Check;
use evidence::Evidence;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("load", job)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return load::main(job);
    }
    if std::process::id() != 1 {
        eprintln!("this is the first process of a test machine: run `cargo xtask vm-test`");
        return ExitCode::FAILURE;
    }
    let checks = match words.first().map(String::as_str) {
        Some("collector") => checks::COLLECTOR,
        Some("program") => checks::PROGRAM,
        _ => &[],
    };
    match machine::prepare() {
        Ok(()) => run(checks, words.get(1..).unwrap_or(&[])),
        Err(error) => console::say(&format!("cannot prepare the machine: {error:#}")),
    }
    machine::switch_off()
}

/// Runs the checks one after another: they measure the whole machine.
fn run(checks: &[(&str, Check)], filters: &[String]) {
    let chosen =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    for (name, check) in checks.iter().filter(|(name, _)| chosen(name)) {
        let mut evidence = Evidence::default();
        let outcome = check(&mut evidence);
        match (outcome, evidence.wrong().first()) {
            (Err(error), _) => console::failed(name, &format!("{error:#}")),
            (Ok(()), Some(wrong)) => console::failed(name, wrong),
            (Ok(()), None) => console::ok(name),
        }
    }
    console::end();
}
