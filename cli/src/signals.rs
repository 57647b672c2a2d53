//! SIGINT and SIGTERM become one cancellation token; a second one ends the program at once.

#![allow(clippy::disallowed_methods, reason = "listens for signals in a task of its own")]

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a program ended by a second signal, as shells report an interrupt.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first SIGINT or SIGTERM.
///
/// # Errors
/// When the process may not listen for signals.
pub fn shutdown() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        for round in 0.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if round > 0 {
                std::process::exit(INTERRUPTED);
            }
            first.cancel();
        }
    });
    Ok(token)
}
