//! Pods by namespace, name and labels, kept up to date by a watch of their metadata.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use flyball_model::selector::LabelSelector;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};

/// Most pods that are kept. Beyond them the API server is asked for each list.
const PODS_LIMIT: usize = 500_000;

type LabelSet = Arc<BTreeMap<Arc<str>, Arc<str>>>;
type Namespaces = BTreeMap<String, BTreeMap<String, LabelSet>>;

/// The pods.
#[derive(Default)]
pub(super) struct Pods(RwLock<State>);

#[derive(Default)]
struct State {
    /// Whether all of them are known.
    known: bool,
    count: usize,
    namespaces: Namespaces,
    /// Each label set once: the pods of a workload have the same.
    sets: HashSet<LabelSet>,
}

impl Pods {
    pub(super) fn are_known(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).known
    }

    /// Names of the selected pods, sorted; `None` while not all are known.
    pub(super) fn names(&self, namespace: &str, selector: &LabelSelector) -> Option<Vec<String>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if !state.known {
            return None;
        }
        let pods = state.namespaces.get(namespace).into_iter().flatten();
        let selected =
            pods.filter(|(_, labels)| selector.matches(|key| labels.get(key).map(|value| &**value)));
        Some(selected.map(|(name, _)| name.clone()).collect())
    }

    pub(super) fn set(&self, namespace: &str, name: &str, labels: BTreeMap<String, String>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let labels = state.share(labels);
        state.known = true;
        state.put(namespace, name, labels);
    }

    fn apply(&self, pod: PartialObjectMeta<Pod>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let labels = state.share(pod.metadata.labels.unwrap_or_default());
        state.put(&namespace, &name, labels);
    }

    fn remove(&self, pod: &PartialObjectMeta<Pod>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let namespace = pod.namespace().unwrap_or_default();
        let Some(pods) = state.namespaces.get_mut(&namespace) else { return };
        let removed = pods.remove(&pod.name_any()).is_some();
        if pods.is_empty() {
            state.namespaces.remove(&namespace);
        }
        state.count -= usize::from(removed);
        state.forget_sets();
    }

    fn replace(&self, listed: Vec<PartialObjectMeta<Pod>>) {
        let mut state = State::default();
        for pod in listed {
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            let labels = state.share(pod.metadata.labels.unwrap_or_default());
            state.put(&namespace, &name, labels);
        }
        state.known = state.count <= PODS_LIMIT;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl State {
    fn put(&mut self, namespace: &str, name: &str, labels: LabelSet) {
        let pods = self.namespaces.entry(namespace.to_owned()).or_default();
        let added = pods.insert(name.to_owned(), labels).is_none();
        self.count += usize::from(added);
        if self.count > PODS_LIMIT && self.known {
            tracing::warn!("more than {PODS_LIMIT} pods: they are listed for each request from now on");
            *self = State::default();
        }
    }

    fn share(&mut self, labels: BTreeMap<String, String>) -> LabelSet {
        let labels: LabelSet =
            Arc::new(labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
        match self.sets.get(&labels) {
            Some(known) => known.clone(),
            None => {
                self.sets.insert(labels.clone());
                labels
            }
        }
    }

    /// Sets that no pod has any more go when they are many.
    fn forget_sets(&mut self) {
        if self.sets.len() > 2 * self.count.max(512) {
            self.sets.retain(|set| Arc::strong_count(set) > 1);
        }
    }
}

/// Follows the pods for ever. A failing watch is tried again with back-off; what is known stays.
pub(super) async fn follow(client: Client, pods: Arc<Pods>) {
    let api = Api::<PartialObjectMeta<Pod>>::all(client);
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let (mut listed, mut told) = (Vec::new(), None);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let text = flyball_apiserver::api_error::causes(&error);
                if told.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "pods cannot be watched, trying again");
                    told = Some(text);
                }
                continue;
            }
        };
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(pod) if listed.len() <= PODS_LIMIT => listed.push(pod),
            Event::InitApply(_) => {}
            Event::InitDone => {
                told = None;
                pods.replace(std::mem::take(&mut listed));
            }
            Event::Apply(pod) => pods.apply(pod),
            Event::Delete(pod) => pods.remove(&pod),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str, app: &str) -> PartialObjectMeta<Pod> {
        let mut pod = PartialObjectMeta::<Pod>::default();
        pod.metadata.namespace = Some(namespace.to_owned());
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.labels = Some(BTreeMap::from([("app".to_owned(), app.to_owned())]));
        pod
    }

    #[test]
    fn pods_come_and_go() {
        let pods = Pods::default();
        let names = |text: &str| pods.names("ns", &LabelSelector::parse(text).unwrap());
        assert_eq!(names(""), None, "not listed yet");
        pods.replace(vec![pod("ns", "b", "x"), pod("ns", "a", "x"), pod("other", "c", "x")]);
        assert_eq!(names("app=x").unwrap(), ["a", "b"]);
        pods.apply(pod("ns", "a", "y"));
        assert_eq!(names("app=x").unwrap(), ["b"]);
        assert_eq!(names("app!=x").unwrap(), ["a"]);
        pods.remove(&pod("ns", "b", "x"));
        assert_eq!(names("").unwrap(), ["a"]);
        pods.remove(&pod("ns", "a", "y"));
        assert_eq!(names("").unwrap(), Vec::<String>::new());
    }
}
