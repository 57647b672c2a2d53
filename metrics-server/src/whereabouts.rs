//! Where a pod without metrics is: asked of the API server when a client wants to know why. The caches hold labels of
//! running pods only.
#![allow(clippy::disallowed_methods, reason = "an edge: asks the API server, within a time")]

use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;

/// Questions at a time; a client that is one too many gets the answer without the reason.
const QUESTIONS_LIMIT: usize = 8;
/// A reason is worth no longer wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the API server says of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub(crate) phase: String,
    /// The node that it was given to.
    pub(crate) node: Option<String>,
}

/// Asks for pods one by one.
pub(crate) struct Whereabouts {
    /// Not there before the server runs.
    client: OnceLock<Client>,
    questions: Semaphore,
}

impl Default for Whereabouts {
    fn default() -> Whereabouts {
        Whereabouts { client: OnceLock::new(), questions: Semaphore::new(QUESTIONS_LIMIT) }
    }
}

impl Whereabouts {
    /// Asks with this client from now on.
    pub(crate) fn ask_with(&self, client: Client) {
        // A second run of the same server keeps the first one's.
        let _ = self.client.set(client);
    }

    /// Where the pod is; `None` if there is no such pod, or nobody to ask.
    pub(crate) async fn of(&self, namespace: &str, name: &str) -> Option<Place> {
        let client = self.client.get()?.clone();
        let _permit = self.questions.try_acquire().ok()?;
        // A list by name: that is a permission the server has.
        let only = ListParams::default().fields(&format!("metadata.name={name}"));
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let found = tokio::time::timeout(PATIENCE, pods.list(&only)).await.ok()?.ok()?;
        let pod = found.items.into_iter().next()?;
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        Some(Place { phase, node: pod.spec.and_then(|spec| spec.node_name) })
    }
}
