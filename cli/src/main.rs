//! The one program: reads flags, composes the parts, prints.
//!
//! Every command ends with exit code 0 when it did what was asked, 1 with one sentence on standard error when it could
//! not, 2 when the flags are wrong. SIGINT and SIGTERM drain: what was started is stopped and what was made is removed.

mod burn;
mod demo;
mod doctor;
mod explain;
mod explain_metric;
mod flags;
mod history;
mod lint;
mod onemachine;
mod output;
mod parts;
mod query;
mod signals;
mod top;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use crate::flags::{Cli, Command, DEFAULT_LOG, DoctorCommand, LogFormat};

fn main() -> ExitCode {
    let cli = Cli::parse_from(flags::upstream::without_empty(std::env::args_os()));
    if let Err(error) = start_logging(&cli) {
        eprintln!("flyball: {}", sentence(&error));
        return ExitCode::from(2);
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("flyball: another TLS provider is already installed");
        return ExitCode::FAILURE;
    }
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flyball: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes as one sentence. Many errors already say what their cause says; nothing is told twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn run(command: Command) -> anyhow::Result<()> {
    if let Command::Completion { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "flyball", &mut script);
        script.extend_from_slice(history::completion(shell).as_bytes());
        // The library panics on a closed pipe; here it is an error like any other.
        return std::io::stdout().write_all(&script).context("cannot print the script");
    }
    if matches!(command, Command::Demo(_) | Command::Local(_)) {
        onemachine::enter_delegated_scope()?;
    }
    if matches!(command, Command::Collector(_)) {
        flyball_collector::process::prepare();
    }
    if matches!(command, Command::MetricsServer(_)) {
        flyball_collector::process::share_one_heap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = signals::shutdown()?;
        #[allow(clippy::disallowed_methods, reason = "it ends with the runtime")]
        tokio::spawn(flyball_apiserver::heap::keep_small());
        match command {
            Command::Demo(args) => demo::run(args, shutdown).await,
            Command::Local(args) => onemachine::run(args, shutdown).await,
            Command::Collector(args) => parts::collector(args, shutdown).await,
            Command::MetricsServer(args) => parts::metrics_server(*args, shutdown).await,
            Command::Adapter(args) => parts::adapter(*args, shutdown).await,
            Command::Server(args) => parts::server(*args, shutdown).await,
            Command::Hpa(args) => parts::hpa(args, shutdown).await,
            Command::Explain(args) => explain::run(args).await,
            Command::Lint(args) => lint::run(args).await,
            Command::Top(args) => top::run(args).await,
            Command::Query(args) => history::query(args).await,
            Command::Tsdb(args) => history::tsdb(args).await,
            Command::ExplainMetric(args) => explain_metric::run(*args).await,
            Command::Doctor(args) => match args.command {
                DoctorCommand::Kubelets(args) => doctor::kubelets(args).await,
            },
            Command::Burn(args) => burn::run(args, shutdown).await,
            Command::Completion { .. } => Ok(()),
        }
    })
}

/// Log lines go to standard error. The demo prints a table, so it logs errors only unless asked for more.
fn start_logging(cli: &Cli) -> anyhow::Result<()> {
    let quiet = match &cli.command {
        Command::Adapter(args) => args.command.is_some(),
        _ => false,
    } || matches!(
        cli.command,
        Command::Demo(_)
            | Command::Top(_)
            | Command::Query(_)
            | Command::Tsdb(_)
            | Command::Explain(_)
            | Command::Lint(_)
            | Command::ExplainMetric(_)
            | Command::Doctor(_)
            | Command::Completion { .. }
    );
    let default = if quiet { "error,kube_client=off,kube_runtime=off" } else { DEFAULT_LOG };
    let wanted = cli.log_filter().unwrap_or_else(|| default.to_owned());
    let filter =
        EnvFilter::try_new(&wanted).with_context(|| format!("--log {wanted:?} is not a log filter"))?;
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match cli.log_form() {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn causes_are_told_once() {
        let cause = std::io::Error::other("in use");
        let error = anyhow::Error::new(cause)
            .context("cannot listen on x: in use; choose another")
            .context("no start");
        assert_eq!(sentence(&error), "no start: cannot listen on x: in use; choose another");
    }
}
