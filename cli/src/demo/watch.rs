//! What the demo knows of the workload, asked of the API server as any client would.
//!
//! A watch of the Deployment gives the replica timeline with the times at which changes arrived; the metrics, the
//! HPA's status and its events are read once a second for the table.

#![allow(
    clippy::disallowed_methods,
    reason = "follows a running cluster: it reads the clock and starts a task"
)]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flyball_hpa::Observation;
use futures_util::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::view::ReplicaPoint;
use crate::query;

/// Points of the timeline that are kept; a demo makes some dozens.
const MAX_POINTS: usize = 10_000;

/// The replica timeline of one Deployment.
#[derive(Debug, Clone)]
pub struct Timeline {
    started: Instant,
    points: Arc<Mutex<Vec<ReplicaPoint>>>,
}

impl Timeline {
    /// Follows `name` in `namespace` until `shutdown`. Times count from now.
    #[must_use]
    pub fn follow(client: &Client, namespace: &str, name: &str, shutdown: CancellationToken) -> Self {
        let timeline = Self { started: Instant::now(), points: Arc::default() };
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let recorder = timeline.clone();
        tokio::spawn(async move {
            let mut changes = std::pin::pin!(kube::runtime::watcher(api, config));
            loop {
                let event = tokio::select! {
                    () = shutdown.cancelled() => return,
                    event = changes.next() => event,
                };
                match event {
                    Some(Ok(Event::Apply(object) | Event::InitApply(object))) => recorder.record(&object),
                    // The watcher reconnects by itself; a gap only delays a point.
                    Some(_) => {}
                    None => return,
                }
            }
        });
        timeline
    }

    /// The points so far, oldest first.
    #[must_use]
    pub fn points(&self) -> Vec<ReplicaPoint> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest point.
    #[must_use]
    pub fn last(&self) -> Option<ReplicaPoint> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).last().copied()
    }

    /// Time since the timeline began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn record(&self, object: &DynamicObject) {
        let count = |pointer| object.data.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
        let point = ReplicaPoint {
            elapsed: self.started.elapsed(),
            wanted: count("/spec/replicas"),
            ready: count("/status/readyReplicas"),
        };
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        let same = points.last().is_some_and(|last| (last.wanted, last.ready) == (point.wanted, point.ready));
        if !same && points.len() < MAX_POINTS {
            points.push(point);
        }
    }
}

/// CPU use of the pods that match `selector`, in millicores; `None` while there is none.
pub async fn cpu_millicores(client: &Client, namespace: &str, selector: &str) -> Option<i64> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={selector}");
    let list: flyball_model::resource_metrics::List<flyball_model::resource_metrics::PodMetrics> =
        serde_json::from_value(query::get(client, &path).await.ok()?).ok()?;
    let mut used = list
        .items
        .iter()
        .flat_map(|pod| &pod.containers)
        .filter_map(|container| container.usage.get("cpu"))
        .map(flyball_model::quantity::Quantity::milli_value)
        .peekable();
    used.peek()?;
    Some(used.sum())
}

/// The last decision of the autoscaler.
#[derive(Debug, Clone, Default)]
pub struct Decisions(Arc<Mutex<Option<Observation>>>);

impl Decisions {
    /// Follows what arrives until the sender is gone.
    #[must_use]
    pub fn follow(mut observations: mpsc::Receiver<Observation>) -> Self {
        let decisions = Self::default();
        let keeper = decisions.clone();
        tokio::spawn(async move {
            while let Some(observation) = observations.recv().await {
                *keeper.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(observation);
            }
        });
        decisions
    }

    fn metrics(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|last| last.metrics.clone())
    }
}

/// The autoscaler's view in a few words: use against target by its last decision, and by the HPA's conditions what
/// holds it back.
pub async fn why(client: &Client, namespace: &str, name: &str, decisions: &Decisions) -> String {
    let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}");
    match query::get(client, &path).await {
        Ok(hpa) => explain(&hpa, decisions.metrics().as_deref()),
        Err(error) => format!("{error:#}"),
    }
}

fn explain(hpa: &Value, metrics: Option<&str>) -> String {
    let use_text = match metrics {
        Some(metrics) if !metrics.is_empty() => metrics,
        _ => "no reading yet",
    };
    let conditions = hpa.pointer("/status/conditions").and_then(Value::as_array);
    let notable = conditions.into_iter().flatten().find_map(|condition| {
        let reason = condition["reason"].as_str()?;
        let text = match reason {
            "ScaleDownStabilized" => "waiting: recent use was higher",
            "ScaleUpStabilized" => "waiting: recent use was lower",
            "ScaleUpLimit" => "growing as fast as allowed",
            "ScaleDownLimit" => "shrinking as fast as allowed",
            "TooManyReplicas" => "at the maximum",
            "FailedGetResourceMetric" => "waiting for metrics",
            _ => return None,
        };
        Some(text)
    });
    match notable {
        Some(text) => format!("{use_text} ({text})"),
        None => use_text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn the_reason_names_use_target_and_limit() {
        let hpa = serde_json::json!({"status": {
            "conditions": [{"type": "AbleToScale", "reason": "ReadyForNewScale"},
                           {"type": "ScalingLimited", "reason": "TooManyReplicas"}]}});
        assert_eq!(explain(&hpa, Some("cpu 180%/60%")), "cpu 180%/60% (at the maximum)");
        assert_eq!(explain(&serde_json::json!({}), None), "no reading yet");
    }
}
