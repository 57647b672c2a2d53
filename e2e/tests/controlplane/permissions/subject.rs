//! A program as an overlay ships it, and what it is allowed there.

use flyball_e2e::Kubectl;
use serde_json::Value;

use super::grants::{Bound, Grant, bound_to};
use crate::shipped::{Overlay, arguments, of_kind, text};

/// Kubernetes' own Role to read how requests of the API server are known. Manifests can bind it as a whole or not at all,
/// so it is removed as a whole.
const WHOLE: &str = "extension-apiserver-authentication-reader";

/// See the module.
#[derive(Debug)]
pub struct Subject {
    pub overlay: String,
    /// Its first argument: `collector`, `metrics-server` or `hpa`.
    pub part: String,
    pub namespace: String,
    pub account: String,
    pub bound: Vec<Bound>,
    workload: Value,
}

/// What is removed together.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Index in [`Subject::bound`].
    pub role: usize,
    pub grants: Vec<Grant>,
}

impl Subject {
    /// All programs of an overlay.
    pub fn of(overlay: &str, kubectl: &Kubectl) -> Vec<Self> {
        let objects = Overlay::named(overlay).objects(kubectl);
        let workloads = of_kind(&objects, "Deployment").chain(of_kind(&objects, "DaemonSet"));
        let subject = |workload: &Value| {
            let namespace = text(workload, "/metadata/namespace").to_owned();
            let account = text(workload, "/spec/template/spec/serviceAccountName").to_owned();
            Self {
                overlay: overlay.to_owned(),
                part: arguments(workload, &[]).swap_remove(0),
                bound: bound_to(&objects, &account, &namespace, kubectl),
                namespace,
                account,
                workload: workload.clone(),
            }
        };
        workloads.map(subject).collect()
    }

    /// Whether it acts on a kind of our own.
    pub fn has_own_kind(&self) -> bool {
        self.arguments(&[]).iter().any(|argument| argument == "--mode=own-kind")
    }

    /// What it is started with, its environment filled in.
    pub fn arguments(&self, environment: &[(&str, &str)]) -> Vec<String> {
        arguments(&self.workload, environment)
    }

    /// Everything it is allowed, in the smallest portions that manifests can leave out.
    pub fn units(&self) -> Vec<Unit> {
        let units = |(role, bound): (usize, &Bound)| -> Vec<Unit> {
            if bound.name == WHOLE {
                return vec![Unit { role, grants: bound.grants.clone() }];
            }
            bound.grants.iter().map(|grant| Unit { role, grants: vec![grant.clone()] }).collect()
        };
        self.bound.iter().enumerate().flat_map(units).collect()
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of overlay {}", self.part, self.overlay)
    }
}
