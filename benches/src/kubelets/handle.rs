//! A running simulation and what can be asked of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::now_ms;
use super::config::Config;
use super::demand::{Amount, Demand};
use super::fault::Fault;
use super::meter::Usage;
use super::pod::SimulatedPod;
use super::start::{Started, start};
use super::{SimulationError, hollow};

/// Longest time for the tasks to end when a simulation is dropped.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A running simulation. Calls block for moments only, except where they say so.
pub struct Simulation {
    started: Started,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Simulation {
    /// Starts kubelets and, with a cluster, registers their nodes; returns when all listen and all Nodes are Ready.
    ///
    /// Not to be called from within an asynchronous task, since it blocks.
    ///
    /// # Errors
    /// An address cannot be used, a certificate cannot be read, or the cluster refuses the nodes.
    pub fn start(config: Config) -> Result<Self, SimulationError> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(config.workers.max(1)).thread_name("kubelets").enable_all();
        let runtime = builder.build().map_err(SimulationError::Threads)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let started = runtime.block_on(start(config, &tasks, &stop))?;
        Ok(Self { started, stop, tasks, runtime: Some(runtime) })
    }

    /// The nodes: name, and where the kubelet listens.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, SocketAddr)> {
        let shared = &self.started.shared;
        shared.config.nodes.iter().map(|(name, _)| name.clone()).zip(shared.addresses.clone()).collect()
    }

    /// The authority that signed the kubelets' certificates, for clients that verify them; `None` when one certificate
    /// was given for all.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.started.authority_pem.as_deref()
    }

    /// Changes the CPU that the ready pods of an app use together: `1200m`, or `main=1,side=200m`.
    ///
    /// # Errors
    /// The text is no amount.
    pub fn set_load_cpu(&self, namespace: &str, app: &str, cpu: &str) -> Result<(), SimulationError> {
        self.set_load(namespace, app, &Demand { cpu: Some(Amount::cpu(cpu)?), memory: None });
        Ok(())
    }

    /// Changes the memory that the ready pods of an app use together: `600Mi`, or `main=500Mi,side=100Mi`.
    ///
    /// # Errors
    /// The text is no amount.
    pub fn set_load_memory(&self, namespace: &str, app: &str, memory: &str) -> Result<(), SimulationError> {
        self.set_load(namespace, app, &Demand { cpu: None, memory: Some(Amount::memory(memory)?) });
        Ok(())
    }

    fn set_load(&self, namespace: &str, app: &str, demand: &Demand) {
        let group = (namespace.to_owned(), app.to_owned());
        self.started.shared.population().set_load(now_ms(), group, demand);
    }

    /// Makes a kubelet answer wrongly, or (with the default) rightly again.
    ///
    /// # Errors
    /// There is no such node.
    pub fn set_fault(&self, node: &str, fault: Fault) -> Result<(), SimulationError> {
        let index = self.index(node)?;
        *self.started.shared.fault(index) = fault;
        Ok(())
    }

    /// Leaves a container out of its kubelet's answers, or shows it again.
    ///
    /// # Errors
    /// There is no such container.
    pub fn hide(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        hidden: bool,
    ) -> Result<(), SimulationError> {
        let key = (namespace.to_owned(), pod.to_owned());
        let done = self.started.shared.population().hide(now_ms(), &key, container, hidden);
        found(done, "container", || format!("{namespace}/{pod}/{container}"))
    }

    /// Lets a container's counter begin anew with a new start time, as after a restart.
    ///
    /// # Errors
    /// There is no such container.
    pub fn restart_counter(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Result<(), SimulationError> {
        let key = (namespace.to_owned(), pod.to_owned());
        let done = self.started.shared.population().reset(now_ms(), &key, container);
        found(done, "container", || format!("{namespace}/{pod}/{container}"))
    }

    /// Places a pod on a node, or changes it: for simulations without a cluster.
    pub fn place(&self, pod: SimulatedPod) {
        self.started.shared.population().observe(now_ms(), pod);
    }

    /// Takes a pod away: for simulations without a cluster.
    pub fn take_away(&self, namespace: &str, pod: &str) {
        self.started.shared.population().forget(now_ms(), &(namespace.to_owned(), pod.to_owned()));
    }

    /// Time since anything last changed how much is used.
    #[must_use]
    pub fn settled_for(&self) -> Duration {
        let changed_ms = self.started.shared.population().changed_ms();
        Duration::from_millis(u64::try_from(now_ms() - changed_ms).unwrap_or(0))
    }

    /// What the containers of a namespace use now, by pod and container.
    #[must_use]
    pub fn usage(&self, namespace: &str) -> BTreeMap<String, BTreeMap<String, Usage>> {
        self.started.shared.population().usage(namespace)
    }

    /// What a node uses now.
    ///
    /// # Errors
    /// There is no such node.
    pub fn node_usage(&self, node: &str) -> Result<Usage, SimulationError> {
        let index = self.index(node)?;
        Ok(self.started.shared.population().node(index).usage())
    }

    /// How many requests for metrics a kubelet got.
    ///
    /// # Errors
    /// There is no such node.
    pub fn requests(&self, node: &str) -> Result<u64, SimulationError> {
        Ok(self.started.shared.requests[self.index(node)?].load(Ordering::Relaxed))
    }

    /// Bytes of all good answers, as sent.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.started.shared.sent_bytes.load(Ordering::Relaxed)
    }

    /// Removes the Node objects and their Leases; waits until the API server has done so.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn remove_nodes(&self) -> Result<(), SimulationError> {
        match (&self.runtime, &self.started.client) {
            (Some(runtime), Some(client)) => {
                runtime.block_on(hollow::nodes::remove(client, &self.started.shared))
            }
            _ => Ok(()),
        }
    }

    fn index(&self, node: &str) -> Result<usize, SimulationError> {
        let index = self.started.shared.population().index(node);
        index.ok_or_else(|| SimulationError::Unknown { what: "node", name: node.to_owned() })
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_LIMIT);
        }
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("nodes", &self.started.shared.addresses.len())
            .finish_non_exhaustive()
    }
}

fn found(done: bool, what: &'static str, name: impl FnOnce() -> String) -> Result<(), SimulationError> {
    if done { Ok(()) } else { Err(SimulationError::Unknown { what, name: name() }) }
}
