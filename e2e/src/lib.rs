//! Starts the real `flyball` and drives it with real `kubectl`: what the tests of this crate stand on.
//!
//! Promises: every wait is bounded and says on failure what it saw last; what a test starts ends with it, also when it
//! panics; what a machine cannot run is skipped aloud. With `FLYBALL_E2E=full` the tests that watch for a while watch
//! longer. With `FLYBALL_E2E_PROGRAM=PATH`, from the workspace's root, that program is tested and none is built.
#![allow(clippy::disallowed_methods, reason = "edge: tests of whole programs start processes and read files")]

mod binary;
mod cgroup;
mod footprint;
mod kubectl;
mod local;
pub mod manifests;
pub mod plane;
mod poll;
mod program;
mod run;
mod shared;
mod skip;
mod user;

pub use binary::flyball_binary;
pub use cgroup::PodGroup;
pub use footprint::Footprint;
pub use kubectl::Kubectl;
pub use local::{Local, Setup};
pub use poll::{MINUTE, SHORT, eventually, full, steady};
pub use program::Program;
pub use run::{Finished, run, run_into};
pub use rustix::process::Signal;
pub use shared::{Place, Shared};
pub use skip::{has_kubectl, has_program, is_root, skipped};
pub use user::{can_be_ordinary, ordinary_program};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes `lock` whether or not the test that held it last failed: it only keeps heavy tests apart.
pub fn alone(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
