//! The load of the demo: an open-loop generator that follows a wave, and what it saw in each second.
//!
//! Open loop: requests start by the clock, not when the last one ended, so a slow server sees the same arrivals as a
//! fast one and waiting shows as latency. Every request is a connection of its own, so that the Service's balancer
//! places each one anew. Limit: [`MAX_OUTSTANDING`] requests under way; a request that finds no room is counted as
//! failed, not queued.

#![allow(
    clippy::disallowed_methods,
    reason = "a load generator: it opens sockets, reads the clock and starts tasks"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Requests under way at once.
const MAX_OUTSTANDING: usize = 256;
/// A request that takes longer counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// A wave: quiet, a step up, a step back to quiet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wave {
    /// Length of the whole wave.
    pub total: Duration,
    /// Requests per second in the quiet parts.
    pub quiet_per_second: f64,
    /// Requests per second between the steps.
    pub busy_per_second: f64,
}

impl Wave {
    /// Share of the whole after which the load steps up.
    const STEP_UP: f64 = 0.12;
    /// Share of the whole after which the load steps back down.
    const STEP_DOWN: f64 = 0.55;

    /// When the load steps up, from the start of the wave.
    #[must_use]
    pub fn step_up(&self) -> Duration {
        self.total.mul_f64(Self::STEP_UP)
    }

    /// When the load steps back down, from the start of the wave.
    #[must_use]
    pub fn step_down(&self) -> Duration {
        self.total.mul_f64(Self::STEP_DOWN)
    }

    /// Requests per second at `elapsed`; `None` when the wave is over.
    #[must_use]
    pub fn rate_at(&self, elapsed: Duration) -> Option<f64> {
        if elapsed >= self.total {
            None
        } else if elapsed >= self.step_up() && elapsed < self.step_down() {
            Some(self.busy_per_second)
        } else {
            Some(self.quiet_per_second)
        }
    }
}

/// What the generator saw since it was last asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadWindow {
    /// Requests answered with 200.
    pub answered: u64,
    /// Requests refused, timed out, answered otherwise, or without room to start.
    pub failed: u64,
    /// Latencies of the answered ones, in microseconds, unsorted.
    latencies_us: Vec<u64>,
}

impl LoadWindow {
    /// The latency below which the share `quantile` (0 to 1) of the answered requests stayed; `None` without answers.
    #[must_use]
    pub fn latency_ms(&self, quantile: f64) -> Option<f64> {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below the vector's length"
        )]
        let index = ((last as f64) * quantile.clamp(0.0, 1.0)).round() as usize;
        #[allow(clippy::cast_precision_loss, reason = "microseconds of seconds-long requests")]
        sorted.get(index).map(|us| *us as f64 / 1000.0)
    }
}

/// Counts of the requests under way, shared with the tasks that make them.
#[derive(Debug, Clone, Default)]
pub struct LoadMeter(Arc<Mutex<LoadWindow>>);

impl LoadMeter {
    /// Takes what has been counted since the last call.
    #[must_use]
    pub fn take(&self) -> LoadWindow {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, latency: Option<Duration>) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match latency {
            Some(latency) => {
                window.answered += 1;
                window.latencies_us.push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
            }
            None => window.failed += 1,
        }
    }
}

/// Sends the wave to `target` until it is over or `shutdown` fires. Requests still under way end by their time-out.
pub async fn generate(target: SocketAddr, wave: Wave, meter: LoadMeter, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_OUTSTANDING));
    let started = Instant::now();
    let mut next = Duration::ZERO;
    while let Some(rate) = wave.rate_at(next) {
        let due = tokio::time::Instant::from_std(started + next);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
        }
        next += Duration::from_secs_f64(1.0 / rate.max(0.1));
        let Ok(slot) = Arc::clone(&room).try_acquire_owned() else {
            meter.record(None);
            continue;
        };
        let meter = meter.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            let answered =
                matches!(tokio::time::timeout(REQUEST_TIMEOUT, request(target)).await, Ok(Ok(true)));
            meter.record(answered.then(|| began.elapsed()));
            drop(slot);
        });
    }
}

/// One GET on a connection of its own; true when the answer is 200.
async fn request(target: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(target).await?;
    stream.write_all(b"GET /burn HTTP/1.1\r\nHost: burn\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::with_capacity(256);
    (&mut stream).take(MAX_ANSWER_BYTES as u64).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave() -> Wave {
        Wave { total: Duration::from_secs(100), quiet_per_second: 2.0, busy_per_second: 40.0 }
    }

    #[test]
    fn the_wave_steps_up_and_back_and_ends() {
        let rates: Vec<_> = [0, 11, 12, 54, 55, 99, 100]
            .into_iter()
            .map(|seconds| wave().rate_at(Duration::from_secs(seconds)))
            .collect();
        let (quiet, busy) = (Some(2.0), Some(40.0));
        assert_eq!(rates, [quiet, quiet, busy, busy, quiet, quiet, None]);
    }

    #[test]
    fn quantiles_come_from_the_answered_requests_only() {
        let meter = LoadMeter::default();
        assert_eq!(meter.take().latency_ms(0.5), None);
        for ms in [10, 20, 30] {
            meter.record(Some(Duration::from_millis(ms)));
        }
        meter.record(None);
        let window = meter.take();
        assert_eq!((window.answered, window.failed), (3, 1));
        assert_eq!(window.latency_ms(0.5), Some(20.0));
        assert_eq!(window.latency_ms(1.0), Some(30.0));
        assert_eq!(meter.take(), LoadWindow::default());
    }
}
