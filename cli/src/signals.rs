//! SIGINT and SIGTERM become one cancellation token; a second one, given later, ends the program at once.
//!
//! Some senders deliver one request twice (`timeout` signals the program and then its group), so what follows within
//! [`SAME_REQUEST`] is the same request. SIGHUP asks whoever has a configuration file to read it again.

#![allow(clippy::disallowed_methods, reason = "listens for signals in a task of its own")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Signals so close together are one request.
const SAME_REQUEST: Duration = Duration::from_secs(2);
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
        let mut asked: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match asked {
                None => {
                    asked = Some(Instant::now());
                    first.cancel();
                }
                Some(at) if at.elapsed() < SAME_REQUEST => {}
                Some(_) => std::process::exit(INTERRUPTED),
            }
        }
    });
    Ok(token)
}

/// Tells of every SIGHUP until `stop`.
///
/// # Errors
/// When the process may not listen for signals.
pub fn hangups(stop: &CancellationToken) -> anyhow::Result<Arc<Notify>> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let told = Arc::new(Notify::new());
    let (teller, stop) = (told.clone(), stop.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                got = hangup.recv() => if got.is_none() { return },
            }
            teller.notify_one();
        }
    });
    Ok(told)
}
