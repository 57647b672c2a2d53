#![allow(clippy::disallowed_methods, reason = "owns the sweeping thread")]
//! The thread that sweeps.
//!
//! Reads of kernel files block, so they have a thread of their own and never run on the workers that answer requests.
//! The thread keeps to the grid of [`Schedule`], hands each sweep to [`Latest`], and ends when the [`Agent`] is
//! dropped.

use crate::clock::{Clock, SystemClock};
use crate::error::CollectorError;
use crate::phase::PhaseLearner;
use crate::schedule::Schedule;
use crate::sweeper::{Latest, Source, SweepReport, Sweeper};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Intervals without a finished sweep after which the thread counts as stuck.
const STUCK_AFTER_INTERVALS: u64 = 5;
/// Shortest time without a sweep that counts as stuck, whatever the interval.
const STUCK_AFTER_NS: u64 = 10_000_000_000;
/// Weight of the newest sweep in the estimate of how long a sweep takes: an eighth.
const DURATION_WEIGHT_DIVISOR: u64 = 8;

/// What one turn of the loop cost.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// What the sweep cost and met.
    pub report: SweepReport,
    /// CPU time of the thread, nanoseconds.
    pub cpu_ns: u64,
    /// Start of the sweep after its tick was due, nanoseconds.
    pub late_ns: u64,
    /// Ticks that passed unused before it.
    pub missed_ticks: u64,
}

/// A running collector without its server: sweeps until dropped.
pub struct Agent {
    latest: Arc<Latest>,
    source: Source,
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    phase: Mutex<PhaseLearner>,
    last_turn_ns: AtomicU64,
    interval_ns: u64,
    clock: SystemClock,
}

impl Agent {
    /// Sweeps from now on, once every `interval`. `observe` is called after each sweep, on the sweeping thread.
    pub fn start(
        sweeper: Sweeper,
        interval: Duration,
        observe: impl FnMut(&Turn) + Send + 'static,
    ) -> Result<Agent, CollectorError> {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let clock = SystemClock;
        let shared = Arc::new(Shared {
            phase: Mutex::new(PhaseLearner::new(interval_ns)),
            last_turn_ns: AtomicU64::new(clock.monotonic_ns()),
            interval_ns,
            clock,
        });
        let (stop, stopped) = channel();
        let (latest, source) = (sweeper.latest(), sweeper.source());
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("flyball-sweep".to_owned())
            .spawn(move || turn(sweeper, &for_thread, &stopped, observe))
            .map_err(|error| CollectorError::Thread { reason: format!("could not be started: {error}") })?;
        Ok(Agent { latest, source, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where the last sweep is found.
    pub fn latest(&self) -> Arc<Latest> {
        self.latest.clone()
    }

    /// What values are made of.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The main scraper asked just now: teaches the sweeps when to finish.
    pub fn scraper_asked(&self) {
        let now_ns = self.shared.clock.monotonic_ns();
        self.shared.phase.lock().unwrap_or_else(PoisonError::into_inner).observe(now_ns);
    }

    /// Whether sweeps still happen; else the reason why not.
    pub fn check_live(&self) -> Result<(), String> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err("the sweeping thread ended".to_owned());
        }
        let silent_ns =
            self.shared.clock.monotonic_ns().saturating_sub(self.shared.last_turn_ns.load(Ordering::Relaxed));
        let limit_ns = (STUCK_AFTER_INTERVALS * self.shared.interval_ns).max(STUCK_AFTER_NS);
        if silent_ns > limit_ns {
            return Err(format!("no sweep finished for {} ms", silent_ns / 1_000_000));
        }
        Ok(())
    }

    /// Whether a sweep was finished; else the reason why not.
    pub fn check_ready(&self) -> Result<(), String> {
        match self.latest.get().sequence {
            0 => Err("the first sweep is not finished".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Drop for Agent {
    /// Ends the thread after the sweep it is in.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn turn(mut sweeper: Sweeper, shared: &Shared, stopped: &Receiver<()>, mut observe: impl FnMut(&Turn)) {
    let mut schedule = Schedule::new(shared.clock.monotonic_ns(), shared.interval_ns);
    let mut sweep_ns = 0;
    loop {
        let phase_ns = shared.phase.lock().unwrap_or_else(PoisonError::into_inner).finish_phase_ns();
        let tick = schedule.next(shared.clock.monotonic_ns(), phase_ns, sweep_ns);
        let wait_ns = tick.at_ns.saturating_sub(shared.clock.monotonic_ns());
        match stopped.recv_timeout(Duration::from_nanos(wait_ns)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let late_ns = shared.clock.monotonic_ns().saturating_sub(tick.at_ns);
        let cpu_before_ns = thread_cpu_ns();
        sweeper.sweep_once();
        let report = *sweeper.report();
        let now_ns = shared.clock.monotonic_ns();
        shared.last_turn_ns.store(now_ns, Ordering::Relaxed);
        sweep_ns = match sweep_ns {
            0 => report.duration_ns,
            _ => sweep_ns - sweep_ns / DURATION_WEIGHT_DIVISOR + report.duration_ns / DURATION_WEIGHT_DIVISOR,
        };
        let cpu_ns = thread_cpu_ns().saturating_sub(cpu_before_ns);
        observe(&Turn { report, cpu_ns, late_ns, missed_ticks: tick.missed });
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}
