//! Developer commands: `cargo xtask ci | full | scoreboard`.
//!
//! `ci` is what a change must pass; `full` is the same at full length; `scoreboard` prints every figure this machine
//! can take. Each step is a command that can also be typed by hand, and is printed before it runs.

#![allow(
    clippy::disallowed_methods,
    reason = "a developer tool: it starts other programs and reads the environment"
)]

mod steps;
mod totals;

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
    Scoreboard,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ci => steps::ci(),
        Command::Full => steps::full(),
        Command::Scoreboard => steps::scoreboard(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
