//! Developer commands: `cargo xtask ci | full | scoreboard | image | e2e | differential | mutants | vm-test | fuzz |
//! promqltest`.
//!
//! `ci` is what a change must pass; `full` is the same at full length; `scoreboard` prints every figure this machine
//! can take. Each step is a command that can also be typed by hand, and is printed before it runs.

#![allow(
    clippy::disallowed_methods,
    reason = "a developer tool: it starts other programs and reads the environment"
)]

mod cargo;
mod copy;
mod differential;
mod e2e;
mod fuzz;
mod image;
mod mutants;
mod promqltest;
mod steps;
mod totals;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of Flyball.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Formatting, lints, all tests, the demo: what every change must pass
    Ci,
    /// The same at full length, and the figures
    Full,
    /// Every figure this machine can take, as a table and as JSON
    Scoreboard {
        /// Only these parts of the table, such as `sweep` or `node`: see `scoreboard --help`.
        filters: Vec<String>,
    },
    /// The program as a container image, without a daemon
    Image(image::Options),
    /// Flyball on a real control plane built from its Go modules, or on a given cluster
    E2e(e2e::Options),
    /// Flyball's decisions and those of upstream's HPA controller on the same random cases
    Differential(differential::Options),
    /// Whether tests and the differential notice known mistakes in the decision
    Mutants(mutants::Options),
    /// Flyball on control groups v2: Debian's kernel under qemu, without hardware virtualisation
    VmTest(vm::Options),
    /// Random input for every parser, under libFuzzer
    Fuzz(fuzz::Options),
    /// The published test scripts of PromQL, from a local copy
    Promqltest(promqltest::Options),
    /// The part of `image --run-check` that runs in a network namespace of its own
    #[command(hide = true)]
    ImageCheckInside {
        /// The image's archive.
        archive: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ci => steps::ci(),
        Command::Full => steps::full(),
        Command::Scoreboard { filters } => steps::scoreboard(&filters),
        Command::Image(options) => image::run(&options),
        Command::E2e(options) => e2e::run(&options).map(drop),
        Command::Differential(options) => differential::run(&options),
        Command::Mutants(options) => mutants::run(&options),
        Command::VmTest(options) => vm::run(&options).map(drop),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Promqltest(options) => promqltest::run(&options),
        Command::ImageCheckInside { archive } => image::run_check_inside(&archive),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
