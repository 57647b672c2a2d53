#![allow(clippy::disallowed_methods, reason = "owns the sweeping thread")]
//! The thread that sweeps.
//!
//! Reads of kernel files block, so they have a thread of their own and never run on the workers that answer requests.
//! The thread keeps to the grid of [`Schedule`], hands each sweep to [`Latest`], and ends when the [`Agent`] is
//! dropped. Between sweeps it wakes when groups come or go, and hands out the last sweep with the new ones in it and
//! without those that went.

use crate::clock::{Clock, SystemClock};
use crate::cost::{Cost, Meter};
use crate::error::CollectorError;
use crate::phase::PhaseLearner;
use crate::sample::Sweep;
use crate::schedule::Schedule;
use crate::sweeper::{Latest, Source, SweepReport, Sweeper};
use crate::watches::Watches;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Intervals without a finished sweep after which the thread counts as stuck.
const STUCK_AFTER_INTERVALS: u64 = 5;
/// Shortest time without a sweep that counts as stuck, whatever the interval.
const STUCK_AFTER_NS: u64 = 10_000_000_000;
/// Time between a group's creation and the look at it: runtimes make a group in one hierarchy after the other, and several
/// groups one after the other.
const SETTLING_NS: u64 = 10_000_000;
/// Least time between two readings of the kernel's events.
const EVENTS_PAUSE_NS: u64 = 1_000_000;
/// Looks between sweeps take at most this part of the time: a tenth.
const LOOKS_DIVISOR: u64 = 10;
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
    /// What recording the sweep cost.
    pub record: Cost,
}

/// A look between sweeps.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Start of the look after it was due, nanoseconds.
    pub late_ns: u64,
}

/// What the loop did.
#[derive(Debug, Clone, Copy)]
pub enum Done<'a> {
    /// A sweep.
    Sweep(&'a Turn),
    /// A look between sweeps.
    Look(Look),
}

/// A running collector without its server: sweeps until dropped.
pub struct Agent {
    latest: Arc<Latest>,
    source: Source,
    shared: Arc<Shared>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    phase: Mutex<PhaseLearner>,
    last_turn_ns: AtomicU64,
    interval_ns: u64,
    clock: SystemClock,
}

impl Agent {
    /// Sweeps from now on, once every `interval`. `record` gets each sweep when it was handed out, `observe` what it all
    /// cost; both are called on the sweeping thread.
    pub fn start(
        sweeper: Sweeper,
        interval: Duration,
        record: impl FnMut(&Sweep) + Send + 'static,
        observe: impl FnMut(Done<'_>) + Send + 'static,
    ) -> Result<Agent, CollectorError> {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let clock = SystemClock;
        let shared = Arc::new(Shared {
            phase: Mutex::new(PhaseLearner::new(interval_ns)),
            last_turn_ns: AtomicU64::new(clock.monotonic_ns()),
            interval_ns,
            clock,
        });
        let failed = |error| CollectorError::Thread { reason: format!("could not be started: {error}") };
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|errno| failed(std::io::Error::from(errno)))?;
        let stop = Arc::new(stop);
        let (latest, source) = (sweeper.latest(), sweeper.source());
        let for_thread = (shared.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("flyball-sweep".to_owned())
            .spawn(move || turn(sweeper, &for_thread.0, &for_thread.1, record, observe))
            .map_err(failed)?;
        Ok(Agent { latest, source, shared, stop, thread: Some(thread) })
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
        // The counter of an eventfd is eight bytes in the machine's order.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn turn(
    mut sweeper: Sweeper,
    shared: &Shared,
    stop: &OwnedFd,
    mut record: impl FnMut(&Sweep),
    mut observe: impl FnMut(Done<'_>),
) {
    let mut schedule = Schedule::new(shared.clock.monotonic_ns(), shared.interval_ns);
    let mut sweep_ns = 0;
    loop {
        let phase_ns = shared.phase.lock().unwrap_or_else(PoisonError::into_inner).finish_phase_ns();
        let tick = schedule.next(shared.clock.monotonic_ns(), phase_ns, sweep_ns);
        let mut looked = |look: &Look| observe(Done::Look(*look));
        if wait(&mut sweeper, shared, stop, tick.at_ns, &mut looked).is_stop() {
            return;
        }
        let late_ns = shared.clock.monotonic_ns().saturating_sub(tick.at_ns);
        let cpu_before_ns = thread_cpu_ns();
        let sweep = sweeper.sweep_once();
        let mut meter = Meter::start();
        record(sweep);
        let recorded = meter.lap();
        let report = *sweeper.report();
        let now_ns = shared.clock.monotonic_ns();
        shared.last_turn_ns.store(now_ns, Ordering::Relaxed);
        sweep_ns = match sweep_ns {
            0 => report.duration_ns,
            _ => sweep_ns - sweep_ns / DURATION_WEIGHT_DIVISOR + report.duration_ns / DURATION_WEIGHT_DIVISOR,
        };
        let cpu_ns = thread_cpu_ns().saturating_sub(cpu_before_ns);
        let turn = Turn { report, cpu_ns, late_ns, missed_ticks: tick.missed, record: recorded };
        observe(Done::Sweep(&turn));
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// The time is over.
    Due,
    /// The agent was dropped.
    Stop,
    /// Groups came or went.
    Changes,
}

impl Woken {
    fn is_stop(self) -> bool {
        self == Woken::Stop
    }
}

/// Waits for a time, looking at what comes and goes meanwhile.
fn wait(
    sweeper: &mut Sweeper,
    shared: &Shared,
    stop: &OwnedFd,
    until_ns: u64,
    observe: &mut impl FnMut(&Look),
) -> Woken {
    // When to look at what changed; none while nothing did.
    let mut look_at_ns: Option<u64> = None;
    let mut quiet_until_ns = 0;
    loop {
        let now_ns = shared.clock.monotonic_ns();
        let wake_ns = look_at_ns.map_or(until_ns, |at_ns| at_ns.min(until_ns));
        match wait_once(stop, sweeper.watches(), wake_ns.saturating_sub(now_ns)) {
            Woken::Stop => return Woken::Stop,
            Woken::Changes => {
                sweeper.take_events();
                let settled_ns = shared.clock.monotonic_ns() + SETTLING_NS;
                look_at_ns = look_at_ns.or(Some(settled_ns.max(quiet_until_ns)));
                // However many events there are, they are taken a thousand times a second at most.
                if wait_once(stop, None, EVENTS_PAUSE_NS).is_stop() {
                    return Woken::Stop;
                }
            }
            Woken::Due => {}
        }
        let before_ns = shared.clock.monotonic_ns();
        if before_ns >= until_ns {
            return Woken::Due;
        }
        if let Some(due_ns) = look_at_ns.filter(|at_ns| before_ns >= *at_ns) {
            look_at_ns = None;
            sweeper.look_again();
            let after_ns = shared.clock.monotonic_ns();
            shared.last_turn_ns.store(after_ns, Ordering::Relaxed);
            quiet_until_ns = after_ns + after_ns.saturating_sub(before_ns) * LOOKS_DIVISOR;
            observe(&Look { late_ns: before_ns - due_ns });
        }
    }
}

/// Waits at most so long. An interrupted wait counts as over.
fn wait_once(stop: &OwnedFd, watches: Option<&Watches>, wait_ns: u64) -> Woken {
    let timeout = Timespec {
        tv_sec: i64::try_from(wait_ns / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: (wait_ns % 1_000_000_000) as _,
    };
    let stopped = PollFd::new(stop, PollFlags::IN);
    let ended = |fd: &PollFd<'_>| !fd.revents().is_empty();
    match watches {
        None => {
            let mut fds = [stopped];
            let _ = poll(&mut fds, Some(&timeout));
            if ended(&fds[0]) { Woken::Stop } else { Woken::Due }
        }
        Some(watches) => {
            let watches = watches.as_fd();
            let mut fds = [stopped, PollFd::new(&watches, PollFlags::IN)];
            let _ = poll(&mut fds, Some(&timeout));
            match (ended(&fds[0]), ended(&fds[1])) {
                (true, _) => Woken::Stop,
                (_, true) => Woken::Changes,
                _ => Woken::Due,
            }
        }
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}
