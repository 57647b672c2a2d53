//! One pod on this node: its address, its group, its containers, its status.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::admission;
use super::cgroups::Group;
use super::container::{Finish, Slot, StopBy, Supervisor};
use super::environment::Objects;
use super::limits;
use super::status::{self, ContainerReport, PodReport, State};
use crate::controllers::object;
use crate::registry::clock::now_ms;
use crate::registry::kinds::{CONFIGMAPS, PODS, SECRETS, SERVICES};
use crate::registry::{DeleteOptions, Part, Registry};

/// Component name in events.
const COMPONENT: &str = "kubelet";
/// Longest time containers get when the whole cluster stops.
const HALT_GRACE: Duration = Duration::from_secs(2);
/// Pause after a status write, so that changes that come together are written together.
const STATUS_PAUSE: Duration = Duration::from_millis(5);
/// Pause before a refused status write or deletion is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What the pod's worker is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Keep it running.
    Run,
    /// Its deletion was asked for: stop it by then, then delete the object.
    Delete(Instant),
    /// The object is gone: stop at once.
    Gone,
    /// The cluster stops: stop it soon, leave the object alone.
    Halt,
}

impl Order {
    fn stop_by(self) -> StopBy {
        match self {
            Self::Run => None,
            Self::Delete(by) => Some(by),
            Self::Gone => Some(Instant::now()),
            Self::Halt => Some(Instant::now() + HALT_GRACE),
        }
    }
}

/// A pod that is being run.
pub(super) struct PodContext {
    pub(super) shared: Arc<Shared>,
    /// The object as it was when the pod was taken on.
    pub(super) pod: Arc<Value>,
    pub(super) spec: PodSpec,
    pub(super) ip: Ipv4Addr,
    pub(super) group: Group,
    report: Mutex<PodReport>,
    changed: Notify,
}

impl PodContext {
    pub(super) fn uid(&self) -> &str {
        object::uid(&self.pod)
    }

    pub(super) fn name(&self) -> &str {
        object::name(&self.pod)
    }

    pub(super) fn namespace(&self) -> &str {
        object::namespace(&self.pod)
    }

    /// `name_namespace(uid)`, as a kubelet's messages name a pod.
    pub(super) fn full_name(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    pub(super) fn event(&self, kind: &str, reason: &str, message: &str) {
        self.shared.registry.record_event(&self.pod, kind, reason, message, COMPONENT);
    }

    fn with_report<T>(&self, look: impl FnOnce(&mut PodReport) -> T) -> T {
        look(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn container_report(&self, slot: Slot) -> ContainerReport {
        self.with_report(|report| match slot {
            Slot::Init(position) => report.init[position].clone(),
            Slot::Main(position) => report.containers[position].clone(),
        })
    }

    /// Changes what is known of a container; the status is written soon.
    pub(super) fn update(&self, slot: Slot, change: impl FnOnce(&mut ContainerReport)) {
        self.with_report(|report| match slot {
            Slot::Init(position) => change(&mut report.init[position]),
            Slot::Main(position) => change(&mut report.containers[position]),
        });
        self.changed.notify_one();
    }

    /// Writes the status; `false` if the registry refused.
    fn write_status(&self) -> bool {
        let report = self.with_report(|report| report.clone());
        write_status(&self.shared.registry, &self.pod, &report)
    }
}

fn write_status(registry: &Registry, pod: &Value, report: &PodReport) -> bool {
    let (namespace, name) = (object::namespace(pod), object::name(pod));
    let written = registry.modify(&PODS, namespace, name, Part::Status, |current| {
        if object::uid(current) == object::uid(pod) {
            current["status"] = status::compose(report, &current["status"], now_ms());
        }
    });
    written.is_ok() || written.is_err_and(|status| status.code() == 404)
}

/// What containers refer to, read from the registry.
pub(super) struct RegistryObjects<'a> {
    pub(super) registry: &'a Registry,
    pub(super) namespace: &'a str,
}

impl Objects for RegistryObjects<'_> {
    fn config_map(&self, name: &str) -> Option<Value> {
        self.registry.get(&CONFIGMAPS, self.namespace, name).map(|map| (*map).clone())
    }

    fn secret(&self, name: &str) -> Option<Value> {
        self.registry.get(&SECRETS, self.namespace, name).map(|secret| (*secret).clone())
    }

    fn services(&self) -> Vec<Value> {
        let services = self.registry.list(&SERVICES, Some(self.namespace)).items;
        services.iter().map(|service| (**service).clone()).collect()
    }
}

/// Runs a pod until it is deleted, gone, or the cluster stops.
pub(super) async fn work(shared: Arc<Shared>, pod: Arc<Value>, mut orders: watch::Receiver<Order>) {
    let ended = matches!(object::text(&pod, "/status/phase"), "Succeeded" | "Failed");
    if !ended && *orders.borrow() == Order::Run {
        match take_on(&shared, &pod).await {
            Ok(context) => run(Arc::new(context), &mut orders).await,
            Err(refusal) => {
                let Refusal { report, message } = *refusal;
                shared.registry.record_event(&pod, "Warning", "Failed", &message, COMPONENT);
                write_status(&shared.registry, &pod, &report);
            }
        }
    }
    let Ok(order) = orders.wait_for(|order| *order != Order::Run).await.map(|order| *order) else { return };
    let uid = object::uid(&pod);
    if matches!(order, Order::Delete(_)) {
        finish_deletion(&shared, &pod).await;
    }
    if order != Order::Halt {
        shared.logs.remove_pod(uid);
    }
}

/// Deletes the object of a pod that has stopped, for good.
async fn finish_deletion(shared: &Shared, pod: &Value) {
    loop {
        let uid = Some(object::uid(pod).to_owned());
        let options = DeleteOptions { grace_seconds: Some(0), uid, ..DeleteOptions::default() };
        match shared.registry.delete(&PODS, object::namespace(pod), object::name(pod), options) {
            Err(status) if !matches!(status.code(), 404 | 409) => tokio::time::sleep(RETRY).await,
            _ => return,
        }
    }
}

/// Why a pod is not run.
struct Refusal {
    /// The report with the reason in every container.
    report: PodReport,
    /// One sentence.
    message: String,
}

/// Checks the pod and gives it an address and a group.
async fn take_on(shared: &Arc<Shared>, pod: &Arc<Value>) -> Result<PodContext, Box<Refusal>> {
    let spec: PodSpec = match object::typed(&pod["spec"]) {
        Ok(spec) => spec,
        Err(error) => {
            let report = status::resume(pod, &PodSpec::default(), now_ms());
            return Err(Box::new(Refusal {
                report,
                message: format!("the pod's spec cannot be read: {error}"),
            }));
        }
    };
    let mut report = status::resume(pod, &spec, now_ms());
    report.host_ip = shared.config.node_address.to_string();
    let refused = |mut report: PodReport, message: String| {
        let containers = report.init.iter_mut().chain(&mut report.containers);
        for container in containers {
            container.state = State::Waiting("CreateContainerConfigError".to_owned(), message.clone());
        }
        Err(Box::new(Refusal { report, message }))
    };
    if let Err(message) = admission::check(&spec, rustix::process::geteuid().as_raw()) {
        return refused(report, message);
    }
    let Some(ip) = shared.addresses.allocate() else {
        return refused(report, "no pod address is free on this node".to_owned());
    };
    let (groups, uid) = (shared.groups.clone(), object::uid(pod).to_owned());
    let (qos, pod_limits) = (limits::qos(&spec), limits::of_pod(&spec));
    let group = tokio::task::spawn_blocking(move || groups.make_pod(qos, &uid, pod_limits)).await;
    let group = match group.map_err(std::io::Error::other).flatten() {
        Ok(group) => group,
        Err(error) => {
            shared.addresses.release(ip);
            return refused(report, error.to_string());
        }
    };
    report.pod_ip = ip.to_string();
    let (shared, pod, report) = (shared.clone(), pod.clone(), Mutex::new(report));
    Ok(PodContext { shared, pod, spec, ip, group, report, changed: Notify::new() })
}

/// Runs the containers and writes the status until the pod has to stop and has stopped.
async fn run(pod: Arc<PodContext>, orders: &mut watch::Receiver<Order>) {
    let (stop_sender, stop) = watch::channel(None);
    let relay = {
        let mut orders = orders.clone();
        async move {
            loop {
                let stop_by = orders.borrow_and_update().stop_by();
                // A deadline may only move closer.
                stop_sender.send_if_modified(|known: &mut StopBy| {
                    let closer = stop_by.is_some_and(|by| known.is_none_or(|known| by < known));
                    if closer {
                        *known = stop_by;
                    }
                    closer
                });
                if orders.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    };
    let containers = async {
        run_containers(&pod, &stop).await;
        let mut stop = stop.clone();
        let _ = stop.wait_for(Option::is_some).await;
    };
    let status = async {
        loop {
            let retry = !pod.write_status();
            tokio::time::sleep(if retry { RETRY } else { STATUS_PAUSE }).await;
            if !retry {
                pod.changed.notified().await;
            }
        }
    };
    tokio::select! {
        () = containers => {}
        () = relay => {}
        () = status => {}
    }
    if matches!(*orders.borrow(), Order::Delete(_)) {
        pod.write_status();
    }
    let group = pod.group.clone();
    let _ = tokio::task::spawn_blocking(move || group.remove()).await;
    pod.shared.addresses.release(pod.ip);
}

/// Init containers one after the other, then all containers at once. Returns when all have ended or stopped.
async fn run_containers(pod: &Arc<PodContext>, stop: &watch::Receiver<StopBy>) {
    let supervisor = |container: &k8s_openapi::api::core::v1::Container, slot| Supervisor {
        pod: pod.clone(),
        container: container.clone(),
        slot,
        stop: stop.clone(),
    };
    for (position, container) in pod.spec.init_containers.iter().flatten().enumerate() {
        match supervisor(container, Slot::Init(position)).run().await {
            Finish::Ended { succeeded: true } => {}
            Finish::Ended { succeeded: false } | Finish::Stopped => return,
        }
    }
    let mut running = JoinSet::new();
    for (position, container) in pod.spec.containers.iter().enumerate() {
        running.spawn(supervisor(container, Slot::Main(position)).run());
    }
    while running.join_next().await.is_some() {}
}
