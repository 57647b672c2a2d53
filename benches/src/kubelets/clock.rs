//! Wall time.

#![allow(clippy::disallowed_methods, reason = "edge: this is where the simulation's time comes from")]

use std::time::SystemTime;

/// Now, Unix milliseconds.
pub fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
