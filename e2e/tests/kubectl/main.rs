//! Real kubectl against `flyball local`: every command that the program promises, by theme.
#![allow(clippy::disallowed_methods, reason = "edge: tests of whole programs open sockets and read files")]

mod deleting;
mod observing;
mod reading;
mod rollout;
mod writing;

use flyball_e2e::{Setup, Shared};

/// One cluster for all tests; each works in a namespace of its own.
static CLUSTER: Shared = Shared::new(|| {
    Setup::default().map("example.com/sleeper:1=sleep 100001").map("example.com/sleeper:2=sleep 100002")
});

/// Fails unless `text` holds every one of `parts`.
#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    let missing: Vec<_> = parts.iter().filter(|part| !text.contains(**part)).collect();
    assert!(missing.is_empty(), "missing {missing:?} in:\n{text}");
}
