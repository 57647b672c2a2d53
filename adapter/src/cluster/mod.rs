//! What the adapter knows of the cluster: which pods there are, which other objects a selector picks, which kinds exist.
//!
//! Pods are watched, metadata only, for autoscalers ask for them all the time. Objects of other kinds are listed when they
//! are asked for, metadata only too, and the list is kept for a few seconds. Every list is bounded.

mod discover;
mod objects;
mod pods;

use std::sync::Arc;

use flyball_model::selector::LabelSelector;
use kube::Client;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use objects::{Described, ObjectsError};

use crate::kinds::{GroupResource, Kind, Kinds};
use objects::{Objects, Wanted};
use pods::Pods;

/// The cluster, as far as it is known.
pub struct Cluster {
    pods: Arc<Pods>,
    objects: Objects,
    kinds: watch::Sender<Arc<Kinds>>,
    asked_for_kinds: Notify,
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            pods: Arc::default(),
            objects: Objects::default(),
            kinds: watch::Sender::new(Arc::new(Kinds::builtin())),
            asked_for_kinds: Notify::new(),
        }
    }
}

impl Cluster {
    /// The kinds that are known now.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds.borrow().clone()
    }

    /// Tells when they change.
    pub fn kinds_changed(&self) -> watch::Receiver<Arc<Kinds>> {
        self.kinds.subscribe()
    }

    /// Asks once which kinds there are, so that rules about custom resources compile at the start.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn learn_kinds(&self, client: &Client) -> Result<(), String> {
        discover::learn(client, &self.kinds).await
    }

    /// The kind of a resource. One that is not known is looked for soon.
    pub fn kind(&self, resource: &GroupResource) -> Option<Kind> {
        let found = self.kinds().of(resource).cloned();
        if found.is_none() {
            self.asked_for_kinds.notify_one();
        }
        found
    }

    /// Whether the pods are known.
    pub fn has_pods(&self) -> bool {
        self.pods.are_known()
    }

    /// Names of the objects that a selector picks, sorted.
    ///
    /// # Errors
    /// They are not known, and cannot be asked for.
    pub async fn names(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &LabelSelector,
    ) -> Result<Arc<Vec<String>>, ObjectsError> {
        let is_pods = kind.group.is_empty() && kind.plural == "pods";
        if let (true, Some(namespace)) = (is_pods, namespace)
            && let Some(names) = self.pods.names(namespace, selector)
        {
            return Ok(Arc::new(names));
        }
        self.objects.names(kind, Wanted { namespace, labels: selector, fields: "" }).await
    }

    /// Pods that run, sorted: those of a namespace or all, or the one of this name. Others have no usage, whatever series of them
    /// are left.
    ///
    /// # Errors
    /// They cannot be asked for.
    pub async fn running_pods(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
        labels: &LabelSelector,
    ) -> Result<Arc<Vec<Described>>, ObjectsError> {
        let mut fields = "status.phase=Running".to_owned();
        if let Some(name) = name {
            fields.push_str(&format!(",metadata.name={}", field_value(name)));
        }
        let wanted = Wanted { namespace, labels, fields: &fields };
        self.objects.described(&self.builtin("pods"), wanted).await
    }

    /// Nodes, sorted: all of them, or the one of this name.
    ///
    /// # Errors
    /// They cannot be asked for.
    pub async fn nodes(
        &self,
        name: Option<&str>,
        labels: &LabelSelector,
    ) -> Result<Arc<Vec<Described>>, ObjectsError> {
        let fields = name.map(|name| format!("metadata.name={}", field_value(name))).unwrap_or_default();
        let wanted = Wanted { namespace: None, labels, fields: &fields };
        self.objects.described(&self.builtin("nodes"), wanted).await
    }

    fn builtin(&self, plural: &str) -> Kind {
        let kinds = self.kinds();
        kinds.find("", plural).expect("a kind that every cluster has").clone()
    }

    /// Sets a pod, for those who know them otherwise than by watching.
    pub fn set_pod(&self, namespace: &str, name: &str, labels: std::collections::BTreeMap<String, String>) {
        self.pods.set(namespace, name, labels);
    }

    /// Asks this API server for objects from now on; who follows the cluster need not say so.
    pub fn ask_with(&self, client: Client) {
        self.objects.ask_with(client);
    }

    /// Follows the cluster until `stop`.
    pub async fn follow(self: Arc<Self>, client: Client, stop: CancellationToken) {
        self.ask_with(client.clone());
        let pods = pods::follow(client.clone(), self.pods.clone());
        let kinds = discover::follow(client, &self.kinds, &self.asked_for_kinds);
        stop.run_until_cancelled(async { tokio::join!(pods, kinds) }).await;
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("has_pods", &self.has_pods()).finish_non_exhaustive()
    }
}

/// A name as it can stand in a field selector, whatever a client put into the path.
fn field_value(name: &str) -> String {
    name.chars().flat_map(|c| ['\\', ',', '='].contains(&c).then_some('\\').into_iter().chain([c])).collect()
}
