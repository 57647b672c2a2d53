//! Watches pods and does with those on our nodes what a kubelet would.
//!
//! One loop holds the objects and decides; writes and waits are tasks that report back to it. A pod has at most one
//! write in flight.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::steps::{Known, Step, next};
use crate::kubelets::clock::now_ms;
use crate::kubelets::pod::{SimulatedPod, full_name};
use crate::kubelets::shared::Shared;

/// Requests about pods in flight.
const WRITES_LIMIT: usize = 32;
/// Reports of tasks that wait to be read; further tasks wait.
const REPORTS_LIMIT: usize = 1024;
/// Pause after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// What a task reports.
struct Report {
    uid: String,
    /// The task was a write, which has ended; the object it made, if any.
    written: Option<Option<Box<Pod>>>,
}

/// A pod on one of our nodes.
struct Entry {
    pod: Pod,
    node: usize,
    pod_ip: String,
    /// When its deletion was seen first.
    ending_ms: Option<i64>,
    /// A write or a removal is in flight.
    busy: bool,
    /// The moment a task waits for.
    wait_ms: Option<i64>,
}

/// The loop's state.
struct Pods {
    client: Client,
    shared: Arc<Shared>,
    entries: HashMap<String, Entry>,
    /// Those of a list in progress.
    listed: HashSet<String>,
    next_ip: u32,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    reports: mpsc::Sender<Report>,
}

/// Runs until it is dropped; the tasks it starts belong to `tasks`.
pub async fn run(client: Client, shared: Arc<Shared>, tasks: TaskTracker) {
    let watched = watch_objects(Api::<Pod>::all(client.clone()), watcher::Config::default())
        .modify(|pod| pod.metadata.managed_fields = None)
        .default_backoff();
    let mut watched = std::pin::pin!(watched);
    let (reports, mut reported) = mpsc::channel(REPORTS_LIMIT);
    let mut pods = Pods {
        next_ip: shared.config.first_pod_ip.into(),
        client,
        shared,
        entries: HashMap::new(),
        listed: HashSet::new(),
        permits: Arc::new(Semaphore::new(WRITES_LIMIT)),
        tasks,
        reports,
    };
    loop {
        tokio::select! {
            Some(event) = watched.next() => match event {
                Ok(event) => pods.event(event),
                Err(error) => tracing::warn!(%error, "watch of pods failed, trying again"),
            },
            Some(report) = reported.recv() => pods.report(report),
        }
    }
}

impl Pods {
    fn event(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.apply(pod);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<String> =
                    self.entries.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                gone.iter().for_each(|uid| self.gone(uid));
            }
            Event::Apply(pod) => self.apply(pod),
            Event::Delete(pod) => {
                if let Some(uid) = &pod.metadata.uid {
                    self.gone(uid);
                }
            }
        }
    }

    fn apply(&mut self, pod: Pod) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let Some(index) = node.and_then(|name| self.shared.population().index(name)) else { return };
        let Some(uid) = pod.metadata.uid.clone() else { return };
        if !self.entries.contains_key(&uid) {
            let entry = Entry {
                pod: pod.clone(),
                node: index,
                pod_ip: self.address(),
                ending_ms: None,
                busy: false,
                wait_ms: None,
            };
            self.entries.insert(uid.clone(), entry);
        }
        self.observe(&pod);
        if let Some(entry) = self.entries.get_mut(&uid) {
            if pod.metadata.deletion_timestamp.is_some() {
                entry.ending_ms.get_or_insert_with(now_ms);
            }
            entry.pod = pod;
        }
        self.look(&uid);
    }

    fn gone(&mut self, uid: &str) {
        let Some(entry) = self.entries.remove(uid) else { return };
        if let Ok(pod) = SimulatedPod::from_object(&entry.pod) {
            self.shared.population().forget(now_ms(), &pod.key());
        }
    }

    fn report(&mut self, report: Report) {
        let Some(entry) = self.entries.get_mut(&report.uid) else { return };
        match report.written {
            None => entry.wait_ms = None,
            Some(written) => {
                entry.busy = false;
                // The watch may have told of a later state already.
                if let Some(pod) = written
                    && version(&pod) > version(&entry.pod)
                {
                    return self.apply(*pod);
                }
            }
        }
        self.look(&report.uid);
    }

    fn observe(&self, pod: &Pod) {
        match SimulatedPod::from_object(pod) {
            Ok(pod) => self.shared.population().observe(now_ms(), pod),
            Err(error) => tracing::warn!(%error, "pod left as it was"),
        }
    }

    /// Decides what is next for a pod and starts it.
    fn look(&mut self, uid: &str) {
        let Some(entry) = self.entries.get_mut(uid).filter(|entry| !entry.busy) else { return };
        let host_ip = self.shared.addresses[entry.node].ip().to_string();
        let startup = self.shared.config.startup;
        let (pod_ip, ending_ms) = (entry.pod_ip.as_str(), entry.ending_ms);
        match next(&entry.pod, Known { host_ip: &host_ip, pod_ip, startup, ending_ms, now_ms: now_ms() }) {
            Step::Rest => {}
            Step::Wait(until_ms) => {
                if entry.wait_ms.is_none_or(|waiting_ms| waiting_ms > until_ms) {
                    entry.wait_ms = Some(until_ms);
                    self.wait(uid.to_owned(), until_ms);
                }
            }
            Step::Write(patch) => {
                entry.busy = true;
                let pod = entry.pod.clone();
                self.write(uid.to_owned(), pod, Some(patch));
            }
            Step::Remove => {
                entry.busy = true;
                let pod = entry.pod.clone();
                self.write(uid.to_owned(), pod, None);
            }
        }
    }

    fn wait(&self, uid: String, until_ms: i64) {
        let reports = self.reports.clone();
        let pause = Duration::from_millis(u64::try_from(until_ms - now_ms()).unwrap_or(0));
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            // Fails only when the loop has ended.
            let _ = reports.send(Report { uid, written: None }).await;
        });
    }

    /// Writes a status, or removes the pod.
    fn write(&self, uid: String, pod: Pod, patch: Option<Value>) {
        let (client, permits, reports) = (self.client.clone(), self.permits.clone(), self.reports.clone());
        self.tasks.spawn(async move {
            let Ok(permit) = permits.acquire_owned().await else { return };
            let done = match patch {
                Some(patch) => write_status(client, &pod, patch).await,
                None => remove(client, &pod).await,
            };
            drop(permit);
            let written = match done {
                Ok(Some(pod)) => Some(Box::new(pod)),
                // The watch tells of the end; until then there is nothing more to do.
                Ok(None) => return,
                Err(kube::Error::Api(status)) if status.is_not_found() => return,
                Err(error) => {
                    tracing::warn!(%error, pod = full_name(&pod), "pod not written, trying again");
                    tokio::time::sleep(RETRY).await;
                    None
                }
            };
            let _ = reports.send(Report { uid, written: Some(written) }).await;
        });
    }

    fn address(&mut self) -> String {
        let address = Ipv4Addr::from(self.next_ip);
        self.next_ip = self.next_ip.wrapping_add(1);
        address.to_string()
    }
}

async fn write_status(client: Client, pod: &Pod, patch: Value) -> Result<Option<Pod>, kube::Error> {
    let (pods, name) = place(client, pod);
    pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(Some)
}

async fn remove(client: Client, pod: &Pod) -> Result<Option<Pod>, kube::Error> {
    let (pods, name) = place(client, pod);
    let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    pods.delete(&name, &now).await.map(|_| None)
}

fn place(client: Client, pod: &Pod) -> (Api<Pod>, String) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    (Api::namespaced(client, namespace), pod.metadata.name.clone().unwrap_or_default())
}

fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
