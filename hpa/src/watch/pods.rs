//! All pods by namespace, and the populations behind selectors, which HPAs share.

use super::wire::{WireContainer, WirePod, WireResources};
use crate::decide::{ContainerRequests, Owner, Phase, Pod, PodRequests, Ready, Tristate};
use flyball_model::quantity::Quantity;
use flyball_model::selector::LabelSelector;
use flyball_model::time::parse_rfc3339_ms;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::Event;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Labels that name the ReplicaSet of a Deployment's and of an Argo Rollout's pods.
const TEMPLATE_HASHES: [&str; 2] = ["pod-template-hash", "rollouts-pod-template-hash"];

/// One pod as last seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PodRecord {
    pub(crate) pod: Pod,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) requests: PodRequests,
}

/// Requests of one resource (and container) for all pods of a population.
type Requests = Result<Vec<i64>, String>;
/// Resource and container.
type RequestKey = (String, Option<String>);
/// Pods of one namespace by name.
type Records = BTreeMap<String, Arc<PodRecord>>;

/// The pods behind one selector, in a form that decisions borrow.
pub(crate) struct Population {
    revision: u64,
    pub(crate) pods: Vec<Pod>,
    records: Vec<Arc<PodRecord>>,
    positions: HashMap<String, usize>,
    requests: Mutex<HashMap<RequestKey, Arc<Requests>>>,
}

impl Population {
    fn new(revision: u64, records: Vec<Arc<PodRecord>>) -> Self {
        let positions = records.iter().enumerate().map(|(index, r)| (r.pod.name.clone(), index)).collect();
        let pods = records.iter().map(|record| record.pod.clone()).collect();
        Population { revision, pods, records, positions, requests: Mutex::default() }
    }

    /// Position of a pod by name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Labels of each pod.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &BTreeMap<String, String>> {
        self.records.iter().map(|record| &record.labels)
    }

    /// Requests of every pod, or the text about the first one without.
    pub(crate) fn requests(&self, resource: &str, container: Option<&str>) -> Arc<Requests> {
        let mut known = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let compute = || {
            let of = |record: &Arc<PodRecord>| record.requests.of(&record.pod.name, resource, container);
            Arc::new(self.records.iter().map(of).collect::<Requests>())
        };
        known.entry((resource.to_owned(), container.map(str::to_owned))).or_insert_with(compute).clone()
    }
}

#[derive(Default)]
struct Namespace {
    /// Grows with every change; 0 never names a population.
    revision: u64,
    pods: Records,
    populations: HashMap<String, Arc<Population>>,
}

/// Reflected pods.
#[derive(Default)]
pub(crate) struct PodStore {
    namespaces: RwLock<HashMap<String, Namespace>>,
    relisting: Mutex<Option<HashMap<String, Records>>>,
    synced: AtomicBool,
}

impl PodStore {
    /// Whether the first list has arrived.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The pods behind a selector; the same object until a pod of the namespace changes.
    pub(crate) fn population(
        &self,
        namespace: &str,
        text: &str,
        selector: &LabelSelector,
    ) -> Arc<Population> {
        {
            let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
            let Some(found) = namespaces.get(namespace) else {
                return Arc::new(Population::new(0, Vec::new()));
            };
            if let Some(population) = found.populations.get(text).filter(|p| p.revision == found.revision) {
                return population.clone();
            }
        }
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let found = namespaces.entry(namespace.to_owned()).or_default();
        let matching =
            found.pods.values().filter(|record| selector.matches_map(&record.labels)).cloned().collect();
        let population = Arc::new(Population::new(found.revision, matching));
        let revision = found.revision;
        found.populations.retain(|_, population| population.revision == revision);
        found.populations.insert(text.to_owned(), population.clone());
        population
    }

    /// Applies a watch event; gives the namespaces in which something that matters changed.
    pub(crate) fn apply(&self, event: Event<WirePod>) -> Vec<String> {
        let relisting = || self.relisting.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                *relisting() = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(pod) => {
                if let Some(list) = relisting().as_mut() {
                    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
                    let record = record(pod);
                    list.entry(namespace).or_default().insert(record.pod.name.clone(), record);
                }
                Vec::new()
            }
            Event::InitDone => {
                let changed = self.replace(relisting().take().unwrap_or_default());
                self.synced.store(true, Ordering::Release);
                changed
            }
            Event::Apply(pod) => {
                let namespace = pod.metadata.namespace.clone().unwrap_or_default();
                let record = record(pod);
                self.change(namespace, |pods| {
                    let same = pods.get(&record.pod.name) == Some(&record);
                    pods.insert(record.pod.name.clone(), record);
                    !same
                })
            }
            Event::Delete(pod) => {
                let name = pod.metadata.name.unwrap_or_default();
                self.change(pod.metadata.namespace.unwrap_or_default(), |pods| pods.remove(&name).is_some())
            }
        }
    }

    fn change(&self, namespace: String, edit: impl FnOnce(&mut Records) -> bool) -> Vec<String> {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let found = namespaces.entry(namespace.clone()).or_default();
        if !edit(&mut found.pods) {
            return Vec::new();
        }
        found.revision += 1;
        vec![namespace]
    }

    fn replace(&self, list: HashMap<String, Records>) -> Vec<String> {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        for (namespace, found) in
            namespaces.iter_mut().filter(|(namespace, _)| !list.contains_key(*namespace))
        {
            found.pods.clear();
            found.revision += 1;
            changed.push(namespace.clone());
        }
        for (namespace, pods) in list {
            let found = namespaces.entry(namespace.clone()).or_default();
            if found.pods != pods || found.revision == 0 {
                found.pods = pods;
                found.revision += 1;
                changed.push(namespace);
            }
        }
        changed
    }
}

fn record(pod: WirePod) -> Arc<PodRecord> {
    let phase = match pod.status.phase.as_deref() {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Unknown,
    };
    let conditions = pod.status.conditions.unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| Ready {
        status: match condition.status.as_str() {
            "True" => Tristate::True,
            "False" => Tristate::False,
            _ => Tristate::Unknown,
        },
        transition_ms: condition.last_transition_time.as_deref().and_then(parse_rfc3339_ms).unwrap_or(0),
    });
    let init = |init: &WireContainer| (container(init), init.restart_policy.as_deref() == Some("Always"));
    let requests = PodRequests::new(
        pod.spec.resources.as_ref().and_then(|r| r.requests.as_ref()).map(milli),
        pod.spec.overhead.as_ref().map(milli).unwrap_or_default(),
        pod.spec.containers.iter().map(container).collect(),
        pod.spec.init_containers.iter().map(init).collect(),
    );
    let owner = owner(&pod.metadata);
    Arc::new(PodRecord {
        pod: Pod {
            owner,
            name: pod.metadata.name.unwrap_or_default(),
            phase,
            deleting: pod.metadata.deletion_timestamp.is_some(),
            start_ms: pod.status.start_time.as_deref().and_then(parse_rfc3339_ms),
            ready,
        },
        labels: pod.metadata.labels.unwrap_or_default(),
        requests,
    })
}

/// The pod's controller.
fn owner(metadata: &ObjectMeta) -> Option<Owner> {
    let owners = metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    let label = |name: &str| metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
    Some(Owner {
        group: owner.api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        template_hash: TEMPLATE_HASHES.into_iter().find_map(label),
    })
}

fn container(container: &WireContainer) -> ContainerRequests {
    let requests = container.resources.as_ref().and_then(|WireResources { requests }| requests.as_ref());
    ContainerRequests { name: container.name.clone(), requests: requests.map(milli).unwrap_or_default() }
}

fn milli(requests: &BTreeMap<String, Quantity>) -> BTreeMap<String, i64> {
    requests.iter().map(|(name, quantity)| (name.clone(), quantity.milli_value())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_of_a_pod() {
        let pod: WirePod = serde_json::from_value(json!({
            "metadata": { "name": "p", "namespace": "ns", "labels": { "app": "web" } },
            "spec": {
                "containers": [{ "name": "a", "resources": { "requests": { "cpu": "100m" } } }],
                "initContainers": [
                    { "name": "side", "restartPolicy": "Always", "resources": { "requests": { "cpu": "50m" } } },
                    { "name": "init", "resources": { "requests": { "cpu": "20m" } } },
                ],
            },
            "status": {
                "phase": "Running",
                "startTime": "2026-01-01T00:00:00Z",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z" }],
            },
        }))
        .unwrap();
        let record = record(pod);
        assert_eq!(record.requests.of("p", "cpu", None), Ok(150), "R4");
        assert_eq!(record.pod.phase, Phase::Running);
        assert_eq!(record.pod.ready.unwrap().transition_ms - record.pod.start_ms.unwrap(), 5000);
    }

    #[test]
    fn populations_follow_the_pods() {
        let store = PodStore::default();
        let pod = |name: &str, app: &str| -> WirePod {
            let metadata = json!({ "name": name, "namespace": "ns", "labels": { "app": app } });
            serde_json::from_value(json!({ "metadata": metadata })).unwrap()
        };
        store.apply(Event::Init);
        store.apply(Event::InitApply(pod("a", "web")));
        assert_eq!(store.apply(Event::InitDone), ["ns"]);
        let selector = LabelSelector::parse("app=web").unwrap();
        let names = || {
            let population = store.population("ns", "app=web", &selector);
            population.pods.iter().map(|pod| pod.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["a"]);
        assert_eq!(store.apply(Event::Apply(pod("b", "web"))), ["ns"]);
        assert!(store.apply(Event::Apply(pod("b", "web"))).is_empty(), "nothing that matters changed");
        assert_eq!(names(), ["a", "b"]);
        store.apply(Event::Delete(pod("a", "web")));
        assert_eq!(names(), ["b"]);
    }
}
