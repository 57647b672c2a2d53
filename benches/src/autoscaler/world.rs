//! A made-up cluster: HPAs on Deployments of some pods each, all at their target, until one steps.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::loads::Loads;
use crate::simulation::TARGET_PERCENT;

/// HPAs of one namespace.
const PER_NAMESPACE: usize = 100;
/// Request of a pod.
pub(super) const REQUEST_MILLI: u32 = 100;
/// Usage of a pod at rest, and after a step, in millicores.
const REST_MILLI: u64 = 60;
const STEP_MILLI: u64 = 90;

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
    offers_watch: bool,
    /// By method and path without names.
    requests: Mutex<BTreeMap<String, u64>>,
    /// What the pods use, where that is not the same for all.
    loads: Option<Mutex<Loads>>,
    replicas: Vec<AtomicI64>,
    rescales: Vec<AtomicU64>,
    steps: Mutex<HashMap<usize, Step>>,
}

impl World {
    /// That many HPAs, each of that many pods, with samples of this resolution.
    #[must_use]
    pub fn new(hpas: usize, pods: usize, resolution_ms: i64) -> Self {
        Self::with(hpas, pods, resolution_ms, None)
    }

    /// The same, whose pods use what a metrics server would say of these loads.
    #[must_use]
    pub fn loaded(hpas: usize, pods: usize, loads: Loads) -> Self {
        Self::with(hpas, pods, 1_000, Some(Mutex::new(loads)))
    }

    /// Samples can be watched, as Flyball's metrics server allows and upstream's does not.
    #[must_use]
    pub fn watched(self) -> Self {
        World { offers_watch: true, ..self }
    }

    fn with(hpas: usize, pods: usize, resolution_ms: i64, loads: Option<Mutex<Loads>>) -> Self {
        let count = || AtomicI64::new(i64::try_from(pods).unwrap_or(1));
        World {
            hpas,
            pods,
            resolution_ms,
            offers_watch: false,
            requests: Mutex::default(),
            loads,
            replicas: (0..hpas).map(|_| count()).collect(),
            rescales: (0..hpas).map(|_| AtomicU64::new(0)).collect(),
            steps: Mutex::default(),
        }
    }

    fn steps(&self) -> MutexGuard<'_, HashMap<usize, Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests so far, by method and path without names.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn asked(&self, what: String) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    pub(super) fn offers_watch(&self) -> bool {
        self.offers_watch
    }

    /// Pause between two rounds of a watch of samples.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.resolution_ms).unwrap_or(1_000))
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

    /// When the scale was written for the first time since a step.
    pub fn scaled(&self, index: usize) -> Option<Instant> {
        self.steps().get(&index)?.scaled
    }

    /// The loads, where pods differ.
    pub fn loads(&self) -> Option<MutexGuard<'_, Loads>> {
        Some(self.loads.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes of the scales of these HPAs.
    pub fn rescales(&self, indexes: std::ops::Range<usize>) -> u64 {
        self.rescales[indexes].iter().map(|count| count.load(Ordering::Relaxed)).sum()
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
                    "target": { "type": "Utilization", "averageUtilization": TARGET_PERCENT } } }],
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
            "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": format!("{REQUEST_MILLI}m") } } }] },
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
        self.rescales[index].fetch_add(1, Ordering::Relaxed);
        if let Some(step) = self.steps().get_mut(&index) {
            step.scaled.get_or_insert_with(Instant::now);
        }
    }

    /// Usage of all pods, or of those of one HPA, as a list; from `version` a watch can go on. Steps in it count as told from
    /// now on.
    pub(super) fn usage(&self, only: Option<usize>, version: &str) -> String {
        let mut text = format!(
            r#"{{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{{"resourceVersion":"{version}"}},"items":["#
        );
        let indexes = only.map_or(0..self.hpas, |index| index..index + 1);
        self.objects(indexes, &mut text, |text, is_first, object| {
            let separator = if is_first { "" } else { "," };
            let _ = write!(text, "{separator}{{{object}}}");
        });
        text.push_str("]}");
        text
    }

    /// The same as events of a watch, for one namespace after the other.
    pub(super) fn events(&self, only: Option<usize>) -> impl Iterator<Item = String> {
        let all = only.map_or(0..self.hpas, |index| index..index + 1);
        let (end, mut from) = (all.end, all.start);
        std::iter::from_fn(move || {
            let indexes = from..(from + PER_NAMESPACE).min(end);
            from = indexes.end;
            (!indexes.is_empty()).then(|| {
                let mut text = String::new();
                self.objects(indexes, &mut text, |text, _, object| {
                    let _ = writeln!(
                        text,
                        r#"{{"type":"MODIFIED","object":{{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1",{object}}}}}"#
                    );
                });
                text
            })
        })
    }

    fn objects(
        &self,
        indexes: std::ops::Range<usize>,
        text: &mut String,
        write: impl Fn(&mut String, bool, std::fmt::Arguments<'_>),
    ) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now_ms = i64::try_from(now_ms).unwrap_or(0);
        let time = flyball_model::time::rfc3339_seconds(now_ms / self.resolution_ms * self.resolution_ms);
        let stepped: HashMap<usize, Step> = self.steps().clone();
        let loads = self.loads();
        let mut is_first = true;
        for index in indexes.clone() {
            let namespace = Self::namespace(index);
            for pod in 0..self.pods {
                let (milli, window_s) = match &loads {
                    None if stepped.contains_key(&index) => (STEP_MILLI, 15),
                    None => (REST_MILLI, 15),
                    Some(loads) => match loads.usage(index * self.pods + pod) {
                        Some(usage) => usage,
                        None => continue,
                    },
                };
                write(
                    text,
                    std::mem::take(&mut is_first),
                    format_args!(
                        r#""metadata":{{"name":"w-{index}-{pod}","namespace":"{namespace}","creationTimestamp":"{time}","labels":{{"app":"w-{index}"}}}},"timestamp":"{time}","window":"{window_s}s","containers":[{{"name":"app","usage":{{"cpu":"{milli}m","memory":"10Mi"}}}}]"#
                    ),
                );
            }
        }
        for (index, step) in self.steps().iter_mut() {
            if indexes.contains(index) && stepped.contains_key(index) {
                step.told.get_or_insert_with(Instant::now);
            }
        }
    }
}
