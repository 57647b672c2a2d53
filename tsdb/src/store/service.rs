//! The threads that keep a store durable and tidy.
#![allow(clippy::disallowed_methods, reason = "edge: threads and the clock of a store that runs")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::{Store, lock};
use crate::threads::step_back;

/// How often everything appended goes to the disk unless told otherwise: what a crash may cost.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often blocks and log are looked after.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(10);

/// Flushes and maintains a store until it is dropped; the last flush is made then.
pub struct Service {
    store: Arc<Store>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    /// Waits; `false` when it is time to stop.
    fn pause(&self, interval: Duration) -> bool {
        let waited = self.wake.wait_timeout_while(lock(&self.stopping), interval, |stopping| !*stopping);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Now, as Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Service {
    /// Starts it.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(store: &Arc<Store>, flush_interval: Duration) -> std::io::Result<Service> {
        let mut service = Service { store: store.clone(), stop: Arc::default(), threads: Vec::new() };
        let flushed = store.clone();
        service.every("tsdb-flush", flush_interval, move || {
            // The store says itself why it takes no more samples, and tries again with the next flush.
            let _ = flushed.flush();
        })?;
        let maintained = store.clone();
        service.every("tsdb-maintain", MAINTENANCE_INTERVAL, move || {
            if let Err(error) = maintained.maintain(now_ms()) {
                tracing::warn!(%error, "history could not be looked after; it is tried again");
            }
        })?;
        Ok(service)
    }

    fn every(
        &mut self,
        name: &str,
        interval: Duration,
        run: impl Fn() + Send + 'static,
    ) -> std::io::Result<()> {
        let stop = self.stop.clone();
        let work = name.to_owned();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            step_back();
            while stop.pause(interval) {
                // A panic costs this turn: without later ones nothing would be durable any more.
                if catch_unwind(AssertUnwindSafe(&run)).is_err() {
                    tracing::error!(
                        work,
                        "a turn of the store's work failed unexpectedly; it is tried again"
                    );
                }
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        *lock(&self.stop.stopping) = true;
        self.stop.wake.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        if let Err(error) = self.store.flush() {
            tracing::error!(%error, "the last samples are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::disk::memory::MemoryDisk;
    use crate::store::Settings;

    #[test]
    fn a_panic_costs_one_turn() {
        let store = Store::open_in_memory(MemoryDisk::default(), Settings::default(), 0).unwrap();
        let mut service = Service { store: Arc::new(store), stop: Arc::default(), threads: Vec::new() };
        let (turns, taken) = mpsc::channel();
        let run = move || {
            turns.send(()).unwrap();
            panic!("on purpose");
        };
        service.every("test", Duration::from_millis(1), run).unwrap();
        for turn in 0..3 {
            taken.recv_timeout(Duration::from_secs(120)).unwrap_or_else(|_| panic!("no turn {turn}"));
        }
        drop(taken);
    }
}
