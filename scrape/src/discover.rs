//! Watches Nodes and collector pods and keeps the list of targets: per node the collector pod if there is one, else the
//! kubelet.

use std::collections::BTreeMap;

use flyball_model::selector::LabelSelector;
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::node::{COLLECTOR_LABEL, KubeletAddress, collector_target};
use crate::target::{Target, Targets};

/// How targets are found.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// `--node-selector`: only nodes with these labels are scraped.
    pub node_selector: LabelSelector,
    /// How a kubelet is addressed.
    pub kubelet: KubeletAddress,
}

impl Default for Discovery {
    fn default() -> Discovery {
        Discovery { node_selector: LabelSelector::everything(), kubelet: KubeletAddress::default() }
    }
}

/// Follows the cluster until `shutdown`. Failing watches are retried with back-off and logged.
pub async fn follow(
    client: Client,
    discovery: Discovery,
    targets: watch::Sender<Targets>,
    shutdown: CancellationToken,
) {
    let nodes = watch_objects(Api::<Node>::all(client.clone()), watcher::Config::default());
    let collectors = watcher::Config::default().labels(COLLECTOR_LABEL);
    let pods = watch_objects(Api::<Pod>::all(client), collectors);
    let mut nodes = Box::pin(logged(nodes.default_backoff(), "nodes"));
    let mut pods = Box::pin(logged(pods.default_backoff(), "collector pods"));
    let mut known = Known::new(discovery);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = nodes.next() => if let Some(event) = event { known.node(event) },
            Some(event) = pods.next() => match event {
                Some(event) => known.pod(event),
                None => known.pods_failed(),
            },
        }
        known.publish(&targets);
    }
}

/// The events, `None` for a failure; a lasting one is logged once.
pub(crate) fn logged<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    what: &'static str,
) -> impl Stream<Item = Option<Event<K>>> {
    let mut told = None;
    events.map(move |event| {
        match &event {
            // Comes before the first answer too.
            Ok(Event::Init) => {}
            Ok(_) => {
                if told.take().is_some() {
                    tracing::info!(what, "watch works again");
                }
            }
            Err(error) => {
                let error = short(error);
                if told.as_ref() != Some(&error) {
                    tracing::warn!(error, what, "watch failed, trying again");
                    told = Some(error);
                }
            }
        }
        event.ok()
    })
}

/// What the API server said, else the error.
fn short(error: &watcher::Error) -> String {
    use watcher::Error as E;
    match error {
        E::InitialListFailed(error) | E::WatchStartFailed(error) | E::WatchFailed(error) => match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

/// What is known of the cluster, reduced to targets.
struct Known {
    discovery: Discovery,
    kubelets: Targets,
    /// Collector targets by namespace/name of the pod.
    collectors: BTreeMap<String, Target>,
    /// Lists in progress replace the above when they are complete, so that a restarted watch loses no target meanwhile.
    listed_kubelets: Targets,
    listed_collectors: BTreeMap<String, Target>,
    /// The first list of collector pods came, or failed: until then a kubelet may stand where a collector belongs.
    pods_asked: bool,
    changed: bool,
}

impl Known {
    fn new(discovery: Discovery) -> Known {
        Known {
            discovery,
            kubelets: Targets::new(),
            collectors: BTreeMap::new(),
            listed_kubelets: Targets::new(),
            listed_collectors: BTreeMap::new(),
            pods_asked: false,
            changed: false,
        }
    }

    fn kubelet(&self, node: &Node) -> Option<Target> {
        let labels = node.metadata.labels.as_ref();
        let selected = match labels {
            Some(labels) => self.discovery.node_selector.matches_map(labels),
            None => self.discovery.node_selector.matches_map(&BTreeMap::new()),
        };
        selected.then(|| self.discovery.kubelet.target(node))
    }

    fn node(&mut self, event: Event<Node>) {
        match event {
            Event::Init => self.listed_kubelets.clear(),
            Event::InitApply(node) => {
                let target = self.kubelet(&node);
                self.listed_kubelets.extend(target.map(|target| (node.name_any(), target)));
            }
            Event::InitDone => {
                self.kubelets = std::mem::take(&mut self.listed_kubelets);
                self.changed = true;
            }
            Event::Apply(node) => {
                let target = self.kubelet(&node);
                self.changed |= put(&mut self.kubelets, node.name_any(), target);
            }
            Event::Delete(node) => self.changed |= put(&mut self.kubelets, node.name_any(), None),
        }
    }

    fn pod(&mut self, event: Event<Pod>) {
        let key = |pod: &Pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
        match event {
            Event::Init => self.listed_collectors.clear(),
            Event::InitApply(pod) => {
                self.listed_collectors.extend(collector_target(&pod).map(|target| (key(&pod), target)));
            }
            Event::InitDone => {
                self.collectors = std::mem::take(&mut self.listed_collectors);
                self.pods_asked = true;
                self.changed = true;
            }
            Event::Apply(pod) => self.changed |= put(&mut self.collectors, key(&pod), collector_target(&pod)),
            Event::Delete(pod) => self.changed |= put(&mut self.collectors, key(&pod), None),
        }
    }

    /// Without pods every node is asked through its kubelet.
    fn pods_failed(&mut self) {
        self.pods_asked = true;
    }

    fn targets(&self) -> Targets {
        let mut targets = self.kubelets.clone();
        for collector in self.collectors.values() {
            // Two collector pods on one node happen while one replaces the other; the first by name serves as well.
            if let Some(kubelet) = targets.get_mut(&collector.node)
                && kubelet.kind == crate::target::Kind::Kubelet
            {
                *kubelet = collector.clone();
            }
        }
        targets
    }

    fn publish(&mut self, sender: &watch::Sender<Targets>) {
        if self.pods_asked && std::mem::take(&mut self.changed) {
            let targets = self.targets();
            sender.send_if_modified(|current| {
                let differs = *current != targets;
                *current = targets;
                differs
            });
        }
    }
}

/// Sets or removes one entry; true if that changed anything.
fn put(map: &mut BTreeMap<String, Target>, key: String, value: Option<Target>) -> bool {
    match value {
        Some(value) if map.get(&key) == Some(&value) => false,
        Some(value) => {
            map.insert(key, value);
            true
        }
        None => map.remove(&key).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::Kind;

    fn node(name: &str, zone: &str, address: &str) -> Node {
        let status = json!({"addresses": [{"type": "InternalIP", "address": address}]});
        serde_json::from_value(
            json!({"metadata": {"name": name, "labels": {"zone": zone}}, "status": status}),
        )
        .unwrap()
    }

    fn pod(name: &str, node: &str, ready: bool) -> Pod {
        let ready = if ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "flyball"},
            "spec": {"nodeName": node, "containers": []},
            "status": {"podIP": "10.1.0.1", "conditions": [{"type": "Ready", "status": ready}]}
        }))
        .unwrap()
    }

    #[test]
    fn the_collector_pod_goes_before_the_kubelet() {
        let selector = LabelSelector::parse("zone in (a,b)").unwrap();
        let mut known = Known::new(Discovery { node_selector: selector, ..Discovery::default() });
        let (sender, mut receiver) = watch::channel(Targets::new());
        known.node(Event::Init);
        for (name, zone, address) in
            [("n1", "a", "10.0.0.1"), ("n2", "b", "10.0.0.2"), ("n3", "c", "10.0.0.3")]
        {
            known.node(Event::InitApply(node(name, zone, address)));
        }
        known.node(Event::InitDone);
        known.publish(&sender);
        assert!(!receiver.has_changed().unwrap(), "a kubelet is not asked before it is known to be needed");
        known.pod(Event::Init);
        known.pod(Event::InitApply(pod("c1", "n1", true)));
        known.pod(Event::InitApply(pod("c3", "n3", true)));
        known.pod(Event::InitDone);
        known.publish(&sender);
        let kinds = |targets: &Targets| -> Vec<(String, Kind)> {
            targets.values().map(|target| (target.node.clone(), target.kind)).collect()
        };
        let expected = vec![("n1".to_owned(), Kind::Collector), ("n2".to_owned(), Kind::Kubelet)];
        assert_eq!(kinds(&receiver.borrow_and_update()), expected);

        known.node(Event::Apply(node("n1", "a", "10.0.0.1")));
        known.publish(&sender);
        assert!(!receiver.has_changed().unwrap(), "a heartbeat changes no target");

        known.pod(Event::Apply(pod("c1", "n1", false)));
        known.node(Event::Delete(node("n2", "b", "10.0.0.2")));
        known.publish(&sender);
        assert_eq!(kinds(&receiver.borrow_and_update()), vec![("n1".to_owned(), Kind::Kubelet)]);
    }

    #[test]
    fn where_pods_cannot_be_listed_the_kubelets_are_asked() {
        let mut known = Known::new(Discovery::default());
        let (sender, receiver) = watch::channel(Targets::new());
        known.node(Event::Apply(node("n1", "a", "10.0.0.1")));
        known.pods_failed();
        known.publish(&sender);
        assert_eq!(receiver.borrow().len(), 1);
    }

    #[test]
    fn a_restarted_watch_loses_no_target() {
        let mut known = Known::new(Discovery::default());
        known.node(Event::Apply(node("n1", "a", "10.0.0.1")));
        known.node(Event::Init);
        assert_eq!(known.targets().len(), 1);
        known.node(Event::InitDone);
        assert!(known.targets().is_empty());
    }
}
