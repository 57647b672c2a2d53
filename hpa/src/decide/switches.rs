//! Named departures from upstream's decisions, each off unless a flag or an annotation of the HPA turns it on.
//!
//! Promise: with every switch off nothing here takes part in a decision.

use super::snapshot::{Owner, Pod};
use serde::{Deserialize, Serialize};

/// Which departures apply to one HPA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switches {
    /// Pods that are known to belong to another workload than the target are left out, whatever their labels.
    pub owned_pods: bool,
    /// While more pods count than the target asks for (a rollout's surge), those beyond do not multiply the result.
    pub surge_aware: bool,
    /// Multiplication and rounding in integers: no replica more than asked for because a float was a hair too large.
    pub exact_ceiling: bool,
    /// A sample older than this is none.
    pub max_sample_age_ms: Option<i64>,
    /// What to ask for when metrics have been missing for some time.
    pub fallback: Option<Fallback>,
}

/// Replicas in place of missing metrics. They only raise the count: missing data never scales down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Replicas.
    pub replicas: i32,
    /// How long no decision could be made from metrics before they apply, in milliseconds.
    pub after_ms: i64,
}

/// What one HPA's annotations say; `None` leaves the flag's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Overrides {
    /// [`Switches::owned_pods`].
    pub owned_pods: Option<bool>,
    /// [`Switches::surge_aware`].
    pub surge_aware: Option<bool>,
    /// [`Switches::exact_ceiling`].
    pub exact_ceiling: Option<bool>,
    /// [`Switches::max_sample_age_ms`]; `Some(None)` switches it off.
    pub max_sample_age_ms: Option<Option<i64>>,
    /// [`Fallback::replicas`]; `Some(None)` switches the fallback off.
    pub fallback_replicas: Option<Option<i32>>,
    /// [`Fallback::after_ms`].
    pub fallback_after_ms: Option<i64>,
}

impl Switches {
    /// The flags' values with one HPA's own over them. `after_ms`: that of a fallback where the HPA does not say.
    pub fn with(self, own: Overrides, after_ms: i64) -> Self {
        let replicas = own.fallback_replicas.unwrap_or(self.fallback.map(|fallback| fallback.replicas));
        let after_ms = own.fallback_after_ms.unwrap_or(after_ms);
        Switches {
            owned_pods: own.owned_pods.unwrap_or(self.owned_pods),
            surge_aware: own.surge_aware.unwrap_or(self.surge_aware),
            exact_ceiling: own.exact_ceiling.unwrap_or(self.exact_ceiling),
            max_sample_age_ms: own.max_sample_age_ms.unwrap_or(self.max_sample_age_ms),
            fallback: replicas.map(|replicas| Fallback { replicas, after_ms }),
        }
    }

    /// Whether a sample of this time still counts. One from the future does: clocks differ.
    pub(super) fn is_fresh(self, timestamp_ms: i64, now_ms: i64) -> bool {
        self.max_sample_age_ms.is_none_or(|limit_ms| now_ms.saturating_sub(timestamp_ms) <= limit_ms)
    }

    /// Whether the pod is left out because it belongs to another workload.
    pub(super) fn leaves_out(self, pod: &Pod, target: &ScaleTarget) -> bool {
        self.owned_pods && target.is_foreign(pod)
    }
}

/// What `scaleTargetRef` names, as far as ownership goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScaleTarget {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl ScaleTarget {
    /// Whether the pod certainly belongs to something else. Pods without a controller do; where the way from the target to
    /// its pods is not known, only those that the builtin workload kinds own do.
    pub fn is_foreign(&self, pod: &Pod) -> bool {
        let Some(owner) = &pod.owner else { return true };
        if self.is(owner) {
            return false;
        }
        match (self.group.as_str(), self.kind.as_str()) {
            // A Deployment names its ReplicaSets after itself and the hash that their pods carry as a label.
            ("apps", "Deployment") => !self.owns_replica_set(owner),
            ("apps", "ReplicaSet" | "StatefulSet" | "DaemonSet") | ("", "ReplicationController") => true,
            _ if owner.kind == "ReplicaSet" => !self.owns_replica_set(owner),
            _ => BUILTIN.contains(&(owner.group.as_str(), owner.kind.as_str())),
        }
    }

    fn is(&self, owner: &Owner) -> bool {
        self.kind == owner.kind && self.name == owner.name && self.group == owner.group
    }

    fn owns_replica_set(&self, owner: &Owner) -> bool {
        let rest = owner.name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('-'));
        owner.kind == "ReplicaSet"
            && owner.group == "apps"
            && rest.is_some()
            && rest == owner.template_hash.as_deref()
    }
}

/// Kinds that never stand between a workload of another kind and its pods.
const BUILTIN: [(&str, &str); 4] =
    [("apps", "StatefulSet"), ("apps", "DaemonSet"), ("batch", "Job"), ("", "ReplicationController")];
