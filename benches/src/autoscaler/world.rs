//! A made-up cluster: HPAs on Deployments of some pods each, all at their target, until one steps.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// HPAs of one namespace.
const PER_NAMESPACE: usize = 100;
/// Usage of a pod at rest, and after a step, in millicores; requests are 100, the target 50 %.
const REST_MILLI: u32 = 50;
const STEP_MILLI: u32 = 90;

/// What became of a step.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// When an answer first held it.
    told: Option<Instant>,
    /// When the scale was written.
    scaled: Option<Instant>,
}

/// See the module.
pub struct World {
    hpas: usize,
    pods: usize,
    resolution_ms: i64,
    requests: AtomicU64,
    replicas: Vec<AtomicI64>,
    steps: Mutex<HashMap<usize, Step>>,
}

impl World {
    /// That many HPAs, each of that many pods, with samples of this resolution.
    #[must_use]
    pub fn new(hpas: usize, pods: usize, resolution_ms: i64) -> Self {
        let count = || AtomicI64::new(i64::try_from(pods).unwrap_or(1));
        World {
            hpas,
            pods,
            resolution_ms,
            requests: AtomicU64::new(0),
            replicas: (0..hpas).map(|_| count()).collect(),
            steps: Mutex::default(),
        }
    }

    fn steps(&self) -> MutexGuard<'_, HashMap<usize, Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on this HPA's pods use more.
    pub fn step(&self, index: usize) {
        self.steps().insert(index, Step::default());
    }

    /// From the answer that told of a step to the scale request.
    pub fn reaction(&self, index: usize) -> Option<Duration> {
        let step = *self.steps().get(&index)?;
        Some(step.scaled?.saturating_duration_since(step.told?))
    }

    fn namespace(index: usize) -> String {
        format!("ns-{}", index / PER_NAMESPACE)
    }

    /// Number of an object named `w-NUMBER` or `w-NUMBER-…`.
    pub(super) fn number(name: &str) -> Option<usize> {
        name.strip_prefix("w-")?.split('-').next()?.parse().ok()
    }

    pub(super) fn hpa_count(&self) -> usize {
        self.hpas
    }

    pub(super) fn pod_count(&self) -> usize {
        self.hpas * self.pods
    }

    pub(super) fn hpa(&self, index: usize) -> Value {
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": format!("w-{index}"), "namespace": Self::namespace(index),
                "uid": format!("hpa-{index}"), "resourceVersion": "1", "generation": 1 },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": format!("w-{index}") },
                "minReplicas": 1, "maxReplicas": 100,
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu",
                    "target": { "type": "Utilization", "averageUtilization": 50 } } }],
            },
        })
    }

    pub(super) fn deployment(&self, index: usize) -> Value {
        let replicas = self.replicas[index].load(Ordering::Relaxed);
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": format!("w-{index}"), "namespace": Self::namespace(index),
                "uid": format!("deployment-{index}"), "resourceVersion": "1" },
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": format!("w-{index}") } } },
            "status": { "replicas": replicas },
        })
    }

    pub(super) fn pod(&self, number: usize) -> Value {
        let index = number / self.pods;
        json!({
            "metadata": { "name": format!("w-{index}-{}", number % self.pods), "namespace": Self::namespace(index),
                "uid": format!("pod-{number}"), "resourceVersion": "1", "labels": { "app": format!("w-{index}") } },
            "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": "100m" } } }] },
            "status": { "phase": "Running", "startTime": "2020-01-01T00:00:00Z", "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:10Z" }] },
        })
    }

    pub(super) fn scale(&self, index: usize) -> Value {
        let replicas = self.replicas[index].load(Ordering::Relaxed);
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": { "name": format!("w-{index}"), "namespace": Self::namespace(index), "resourceVersion": "1" },
            "spec": { "replicas": replicas },
            "status": { "replicas": replicas, "selector": format!("app=w-{index}") },
        })
    }

    /// The scale is written.
    pub(super) fn set_scale(&self, index: usize, replicas: i64) {
        self.replicas[index].store(replicas, Ordering::Relaxed);
        if let Some(step) = self.steps().get_mut(&index) {
            step.scaled.get_or_insert_with(Instant::now);
        }
    }

    /// Usage of all pods, or of those of one HPA. Steps in it count as told from now on.
    pub(super) fn usage(&self, only: Option<usize>) -> String {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now_ms = i64::try_from(now_ms).unwrap_or(0);
        let time = flyball_model::time::rfc3339_seconds(now_ms / self.resolution_ms * self.resolution_ms);
        let mut text = String::from(
            r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":["#,
        );
        let indexes = only.map_or(0..self.hpas, |index| index..index + 1);
        let stepped: HashMap<usize, Step> = self.steps().clone();
        let mut separator = "";
        for index in indexes {
            let milli = if stepped.contains_key(&index) { STEP_MILLI } else { REST_MILLI };
            let namespace = Self::namespace(index);
            for pod in 0..self.pods {
                let _ = write!(
                    text,
                    r#"{separator}{{"metadata":{{"name":"w-{index}-{pod}","namespace":"{namespace}","labels":{{"app":"w-{index}"}}}},"timestamp":"{time}","window":"15s","containers":[{{"name":"app","usage":{{"cpu":"{milli}m","memory":"10Mi"}}}}]}}"#
                );
                separator = ",";
            }
        }
        text.push_str("]}");
        for (index, step) in self.steps().iter_mut() {
            if only.is_none_or(|only| only == *index) && stepped.contains_key(index) {
                step.told.get_or_insert_with(Instant::now);
            }
        }
        text
    }
}
