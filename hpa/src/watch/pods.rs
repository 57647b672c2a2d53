//! All pods by namespace, and the populations behind selectors, which HPAs share.
//!
//! Pods of one template have equal labels, requests and owners: each is kept once.

use super::wire::{WireContainer, WirePod, WireResources};
use crate::decide::{ContainerRequests, Owner, Phase, Pod, PodRequests, Ready, Tristate};
use crate::interned::Interned;
use flyball_model::quantity::Quantity;
use flyball_model::selector::{LabelSelector, SelectorError};
use flyball_model::time::parse_rfc3339_ms;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::Event;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Labels that name the ReplicaSet of a Deployment's and of an Argo Rollout's pods.
const TEMPLATE_HASHES: [&str; 2] = ["pod-template-hash", "rollouts-pod-template-hash"];

/// Labels of a pod.
pub(crate) type Labels = BTreeMap<String, String>;

/// One pod as last seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PodRecord {
    pub(crate) pod: Pod,
    pub(crate) labels: Arc<Labels>,
    pub(crate) requests: Arc<PodRequests>,
}

/// Requests of one resource (and container) for all pods of a population.
type Requests = Result<Vec<i64>, String>;
/// Resource and container.
type RequestKey = (String, Option<String>);
/// Pods of one namespace by name.
type Records = BTreeMap<Arc<str>, Arc<PodRecord>>;

/// The pods behind one selector, by name, in a form that decisions borrow.
pub(crate) struct Population {
    pub(crate) selector: Arc<LabelSelector>,
    pub(crate) pods: Vec<Pod>,
    records: Vec<Arc<PodRecord>>,
    requests: Mutex<HashMap<RequestKey, Arc<Requests>>>,
    /// Which HPAs select these pods, when more than one does, as of a revision of the selectors.
    pub(super) ambiguity: Mutex<Option<(u64, Option<String>)>>,
}

impl Population {
    fn new(selector: LabelSelector, records: Vec<Arc<PodRecord>>) -> Self {
        let pods = records.iter().map(|record| record.pod.clone()).collect();
        let selector = Arc::new(selector);
        Population { selector, pods, records, requests: Mutex::default(), ambiguity: Mutex::default() }
    }

    /// Position of a pod by name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.pods.binary_search_by(|pod| (*pod.name).cmp(name)).ok()
    }

    /// The labels that its pods have; what many in a row have, once.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &Labels> {
        let mut last: Option<&Arc<Labels>> = None;
        self.records.iter().filter_map(move |record| {
            let is_new = !last.replace(&record.labels).is_some_and(|last| Arc::ptr_eq(last, &record.labels));
            is_new.then_some(&*record.labels)
        })
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
    pods: Records,
    /// By the selector's text; a changed pod drops those that it belongs or belonged to.
    populations: HashMap<String, Arc<Population>>,
}

impl Namespace {
    fn edit(&mut self, edit: impl FnOnce(&mut Records) -> Option<[Option<Arc<Labels>>; 2]>) -> bool {
        let Some(labels) = edit(&mut self.pods) else { return false };
        self.populations.retain(|_, population| {
            !labels.iter().flatten().any(|labels| population.selector.matches_map(labels))
        });
        true
    }
}

/// What pods have in common.
#[derive(Default)]
struct Common {
    labels: Interned<Labels>,
    requests: Interned<PodRequests>,
    owners: Interned<Owner>,
}

/// Reflected pods.
#[derive(Default)]
pub(crate) struct PodStore {
    namespaces: RwLock<HashMap<String, Namespace>>,
    relisting: Mutex<Option<HashMap<String, Records>>>,
    common: Mutex<Common>,
    synced: AtomicBool,
}

impl PodStore {
    /// Whether the first list has arrived.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The pods behind a selector; the same object until one of them changes.
    ///
    /// # Errors
    ///
    /// The text is no selector.
    pub(crate) fn population(&self, namespace: &str, text: &str) -> Result<Arc<Population>, SelectorError> {
        {
            let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
            let found = namespaces.get(namespace).and_then(|found| found.populations.get(text));
            if let Some(population) = found {
                return Ok(population.clone());
            }
        }
        let selector = LabelSelector::parse(text)?;
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = namespaces.get_mut(namespace) else {
            return Ok(Arc::new(Population::new(selector, Vec::new())));
        };
        let matching = found.pods.values().filter(|record| selector.matches_map(&record.labels));
        let matching = matching.cloned().collect();
        let population = Arc::new(Population::new(selector, matching));
        // Those of HPAs that are gone.
        found.populations.retain(|_, population| Arc::strong_count(population) > 1);
        found.populations.insert(text.to_owned(), population.clone());
        Ok(population)
    }

    /// Labels of a pod.
    pub(crate) fn labels(&self, namespace: &str, name: &str) -> Option<Arc<Labels>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        Some(namespaces.get(namespace)?.pods.get(name)?.labels.clone())
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
                    let record = self.record(pod);
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
                let record = self.record(pod);
                self.change(namespace, |pods| {
                    let labels = record.labels.clone();
                    if pods.get(&record.pod.name) == Some(&record) {
                        return None;
                    }
                    let old = pods.insert(record.pod.name.clone(), record);
                    Some([Some(labels), old.map(|old| old.labels.clone())])
                })
            }
            Event::Delete(pod) => {
                let name = pod.metadata.name.unwrap_or_default();
                self.change(pod.metadata.namespace.unwrap_or_default(), |pods| {
                    let old = pods.remove(name.as_str())?;
                    Some([Some(old.labels.clone()), None])
                })
            }
        }
    }

    /// `edit` gives the labels before and after, if something changed.
    fn change(
        &self,
        namespace: String,
        edit: impl FnOnce(&mut Records) -> Option<[Option<Arc<Labels>>; 2]>,
    ) -> Vec<String> {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let changed = namespaces.entry(namespace.clone()).or_default().edit(edit);
        if changed { vec![namespace] } else { Vec::new() }
    }

    fn replace(&self, list: HashMap<String, Records>) -> Vec<String> {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        namespaces.retain(|namespace, _| {
            let stays = list.contains_key(namespace);
            if !stays {
                changed.push(namespace.clone());
            }
            stays
        });
        for (namespace, pods) in list {
            let found = namespaces.entry(namespace.clone()).or_default();
            if found.pods != pods {
                *found = Namespace { pods, ..Namespace::default() };
                changed.push(namespace);
            }
        }
        changed
    }

    fn record(&self, pod: WirePod) -> Arc<PodRecord> {
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        record(pod, &mut common)
    }
}

fn record(pod: WirePod, common: &mut Common) -> Arc<PodRecord> {
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
    let owner = owner(&pod.metadata).map(|owner| common.owners.share(owner));
    Arc::new(PodRecord {
        pod: Pod {
            owner,
            name: pod.metadata.name.unwrap_or_default().into(),
            phase,
            deleting: pod.metadata.deletion_timestamp.is_some(),
            start_ms: pod.status.start_time.as_deref().and_then(parse_rfc3339_ms),
            ready,
        },
        labels: common.labels.share(pod.metadata.labels.unwrap_or_default()),
        requests: common.requests.share(requests),
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
        let record = record(pod, &mut Common::default());
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
        let population = |selector: &str| store.population("ns", selector).unwrap();
        let names = || population("app=web").pods.iter().map(|pod| pod.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(), ["a"]);
        assert_eq!(store.apply(Event::Apply(pod("b", "web"))), ["ns"]);
        assert!(store.apply(Event::Apply(pod("b", "web"))).is_empty(), "nothing that matters changed");
        assert_eq!(names(), ["a", "b"]);
        let (web, api) = (population("app=web"), population("app=api"));
        store.apply(Event::Apply(pod("c", "api")));
        assert!(Arc::ptr_eq(&web, &population("app=web")), "a pod of another workload changes nothing");
        assert!(!Arc::ptr_eq(&api, &population("app=api")));
        store.apply(Event::Apply(pod("c", "web")));
        assert_eq!((names().len(), population("app=api").pods.len()), (3, 0), "it changed its labels");
        assert_eq!(population("app=web").labels().count(), 1, "equal labels are told once");
        store.apply(Event::Delete(pod("a", "web")));
        store.apply(Event::Delete(pod("c", "web")));
        assert_eq!(names(), ["b"]);
        assert!(store.population("ns", "app in (").is_err());
    }
}
