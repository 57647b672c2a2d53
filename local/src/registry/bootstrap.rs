//! What every cluster has from its first second.

use serde_json::json;

use super::{Registry, json, kinds};

/// Namespaces upstream's API server creates by itself.
const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl Registry {
    /// Creates the system namespaces where they are missing and finishes deletions a restart interrupted.
    pub(super) fn bootstrap(&self) {
        for name in SYSTEM_NAMESPACES {
            if self.get(&kinds::NAMESPACES, "", name).is_none()
                && let Err(status) = self.create(&kinds::NAMESPACES, "", json!({"metadata": {"name": name}}))
            {
                tracing::error!(namespace = name, ?status, "system namespace cannot be created");
            }
        }
        for namespace in self.list(&kinds::NAMESPACES, None).items {
            self.shared.lock().finish_namespace(self.shared.journal.as_ref(), json::name(&namespace));
        }
    }
}
