//! What the tasks of a simulation share.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::Config;
use super::fault::Fault;
use super::population::Population;

/// Everything the tasks of one simulation know.
pub struct Shared {
    /// How it was set up.
    pub config: Config,
    /// Where each kubelet listens, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// When the simulation was started, Unix milliseconds.
    pub started_ms: i64,
    population: Mutex<Population>,
    faults: Vec<Mutex<Fault>>,
    /// Requests for metrics each kubelet got.
    pub requests: Vec<AtomicU64>,
    /// Bytes of good bodies, as sent.
    pub sent_bytes: AtomicU64,
}

impl Shared {
    pub fn new(config: Config, addresses: Vec<SocketAddr>, now_ms: i64) -> Self {
        let names = config.nodes.iter().map(|(name, _)| name.clone()).collect();
        let nodes = addresses.len();
        Self {
            config,
            addresses,
            started_ms: now_ms,
            population: Mutex::new(Population::new(names, now_ms)),
            faults: (0..nodes).map(|_| Mutex::default()).collect(),
            requests: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            sent_bytes: AtomicU64::new(0),
        }
    }

    /// The population. Held for moments only, never across an await.
    pub fn population(&self) -> MutexGuard<'_, Population> {
        self.population.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with a kubelet.
    pub fn fault(&self, index: usize) -> MutexGuard<'_, Fault> {
        self.faults[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
