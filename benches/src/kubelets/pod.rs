//! What the simulation knows of a pod, read from the API object.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::SimulationError;
use super::demand::{APP, CPU, Demand, LOAD_CPU, LOAD_MEMORY, MEMORY};

/// A running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// When it was started, Unix milliseconds.
    pub started_ms: i64,
}

/// A pod that runs on one of our nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Name of its node.
    pub node: String,
    /// Name of the app it belongs to.
    pub app: String,
    /// Its running containers.
    pub containers: Vec<Running>,
    /// Whether it takes its share of the app's load: ready and not being deleted.
    pub takes_load: bool,
    /// What it uses by itself.
    pub own: Demand,
    /// What its app uses, by its annotations.
    pub load: Demand,
}

impl SimulatedPod {
    /// Reads an API object.
    ///
    /// # Errors
    /// An annotation of ours cannot be understood.
    pub fn from_object(pod: &Pod) -> Result<Self, SimulationError> {
        let none = BTreeMap::new();
        let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
        let named = |error| SimulationError::Pod { pod: full_name(pod), source: Box::new(error) };
        Ok(Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            app: app_of(pod),
            containers: running(pod),
            takes_load: is_ready(pod) && pod.metadata.deletion_timestamp.is_none(),
            own: Demand::from_annotations(annotations, CPU, MEMORY).map_err(named)?,
            load: Demand::from_annotations(annotations, LOAD_CPU, LOAD_MEMORY).map_err(named)?,
        })
    }

    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }

    /// Namespace and app.
    #[must_use]
    pub fn group(&self) -> (String, String) {
        (self.namespace.clone(), self.app.clone())
    }
}

/// The containers that run as long as the pod: the plain ones and the restartable init containers ("sidecars").
pub fn lasting(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let sidecars = init.iter().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    sidecars.chain(spec.map(|spec| spec.containers.as_slice()).unwrap_or_default())
}

/// Whether its condition `Ready` is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// `namespace/name`.
#[must_use]
pub fn full_name(pod: &Pod) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&pod.metadata.namespace), part(&pod.metadata.name))
}

fn running(pod: &Pod) -> Vec<Running> {
    let Some(status) = &pod.status else { return Vec::new() };
    let init = status.init_container_statuses.as_deref().unwrap_or_default();
    let main = status.container_statuses.as_deref().unwrap_or_default();
    init.iter().chain(main).filter_map(running_container).collect()
}

fn running_container(status: &ContainerStatus) -> Option<Running> {
    let started = status.state.as_ref()?.running.as_ref()?.started_at.as_ref()?;
    Some(Running { name: status.name.clone(), started_ms: started.0.as_millisecond() })
}

/// The annotation, else a label that names the app, else the owner (a ReplicaSet without its hash), else the pod.
fn app_of(pod: &Pod) -> String {
    let labels = pod.metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).cloned();
    let annotation = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(APP)).cloned();
    annotation
        .or_else(|| label("app.kubernetes.io/name"))
        .or_else(|| label("app"))
        .or_else(|| owner_of(pod, label("pod-template-hash")))
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default()
}

fn owner_of(pod: &Pod, hash: Option<String>) -> Option<String> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let short = hash.and_then(|hash| owner.name.strip_suffix(&format!("-{hash}")).map(str::to_owned));
    Some(short.unwrap_or_else(|| owner.name.clone()))
}
