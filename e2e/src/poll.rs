//! Bounded waiting.

use std::time::{Duration, Instant};

/// Bound for what takes a healthy machine a second or two.
pub const SHORT: Duration = Duration::from_secs(30);

/// Bound for what needs pods started, measured or stopped.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether `FLYBALL_E2E=full` asks for long observations.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("FLYBALL_E2E").is_some_and(|value| value == "full")
}

/// Asks `look` until it returns a value. `Err` holds what is still missing.
///
/// # Panics
/// When `limit` has passed: with `what` was waited for, what `look` said last, and `state()`.
pub fn eventually<T>(
    limit: Duration,
    what: &str,
    state: impl FnOnce() -> String,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        let missing = match look() {
            Ok(value) => return value,
            Err(missing) => missing,
        };
        if start.elapsed() >= limit {
            panic!("not within {} s: {what}\nlast seen: {missing}\n{}", limit.as_secs(), state());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks `look` for `time` and wants it to hold each time; returns how often it was asked.
///
/// # Panics
/// As soon as `look` returns an error: with it, `what` was to stay, after how long, and `state()`.
pub fn steady(
    time: Duration,
    what: &str,
    state: impl FnOnce() -> String,
    mut look: impl FnMut() -> Result<(), String>,
) -> u32 {
    let start = Instant::now();
    let mut looks = 0;
    while start.elapsed() < time {
        if let Err(change) = look() {
            panic!(
                "did not stay: {what}\nafter {:.1} s: {change}\n{}",
                start.elapsed().as_secs_f64(),
                state()
            );
        }
        looks += 1;
        std::thread::sleep(PAUSE);
    }
    looks
}
