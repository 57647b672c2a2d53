//! metrics.k8s.io: usage of the pods behind a selector.

use super::{Api, Discovery, encode};
use crate::error::ApiError;
use flyball_model::resource_metrics::{GROUP, List, PodMetrics};
use flyball_model::time::{parse_go_duration, parse_rfc3339_ms};
use std::sync::Arc;

/// Versions this program reads, the best first; both have the same fields.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// One pod of an answer, in units of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) pod: String,
    pub(crate) timestamp_ms: i64,
    pub(crate) window_ms: i64,
    /// Container, resource, milli-units.
    pub(crate) containers: Vec<(String, Vec<(String, i64)>)>,
}

impl Sample {
    /// Usage of the whole pod; `None` if it reports no container, or one without the resource.
    pub(crate) fn whole(&self, resource: &str) -> Option<i64> {
        if self.containers.is_empty() {
            return None;
        }
        let usage = |usages: &[(String, i64)]| {
            usages.iter().find(|(name, _)| name == resource).map(|(_, milli)| *milli)
        };
        self.containers.iter().try_fold(0_i64, |sum, (_, usages)| Some(sum.wrapping_add(usage(usages)?)))
    }

    /// Usage of one container; `None` if the pod does not report it.
    pub(crate) fn container(&self, container: &str, resource: &str) -> Option<i64> {
        let (_, usages) = self.containers.iter().find(|(name, _)| name == container)?;
        usages.iter().find(|(name, _)| name == resource).map(|(_, milli)| *milli)
    }
}

/// What the API said about one selector. Failures are answers too: they decide as well.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) fetched_ms: i64,
    pub(crate) samples: Result<Arc<Vec<Sample>>, String>,
}

impl Answer {
    /// End of the newest window among the pods.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        self.samples.as_ref().ok()?.iter().map(|sample| sample.timestamp_ms).max()
    }
}

/// Asks metrics.k8s.io.
pub(crate) struct ResourceMetrics {
    api: Api,
    discovery: Arc<Discovery>,
}

impl ResourceMetrics {
    pub(crate) fn new(api: Api, discovery: Arc<Discovery>) -> Self {
        ResourceMetrics { api, discovery }
    }

    /// Lists usage of the pods behind a selector.
    pub(crate) async fn list(&self, namespace: &str, selector: &str, now_ms: i64) -> Answer {
        let unable = |error: ApiError| {
            let error = super::generic_message(error, "get", "pods.metrics.k8s.io");
            format!("unable to fetch metrics from resource metrics API: {error}")
        };
        let samples = match self.fetch(namespace, selector).await {
            Ok(samples) if samples.is_empty() => {
                Err("no metrics returned from resource metrics API".to_owned())
            }
            Ok(samples) => Ok(Arc::new(samples)),
            Err(error) => Err(unable(error)),
        };
        Answer { fetched_ms: now_ms, samples }
    }

    async fn fetch(&self, namespace: &str, selector: &str) -> Result<Vec<Sample>, ApiError> {
        let version = self.version().await?;
        let (namespace, selector) = (encode(namespace), encode(selector));
        let path = format!("/apis/{GROUP}/{version}/namespaces/{namespace}/pods?labelSelector={selector}");
        let answer = match self.api.get(&path).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_not_found() {
                    self.discovery.forget(GROUP).await;
                }
                return Err(error);
            }
        };
        let list: List<PodMetrics> = serde_json::from_value(answer).map_err(|error| ApiError {
            code: 0,
            message: format!("the answer is not a list of pods: {error}"),
        })?;
        Ok(list.items.into_iter().map(sample).collect())
    }

    async fn version(&self) -> Result<&'static str, ApiError> {
        let served = self.discovery.versions(GROUP).await?.unwrap_or_default();
        // Without discovery the older version is asked for, so that the failure reads as upstream's.
        Ok(VERSIONS.into_iter().find(|version| served.iter().any(|s| s == version)).unwrap_or("v1beta1"))
    }
}

fn sample(pod: PodMetrics) -> Sample {
    let window = parse_go_duration(&pod.window).unwrap_or_default();
    let containers = pod.containers.into_iter().map(|container| {
        let usage =
            container.usage.into_iter().map(|(name, quantity)| (name, quantity.milli_value())).collect();
        (container.name, usage)
    });
    Sample {
        pod: pod.metadata.name,
        // A sample without a time is older than any start of a pod.
        timestamp_ms: pod.timestamp.as_deref().and_then(parse_rfc3339_ms).unwrap_or(0),
        window_ms: i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 2),
        containers: containers.collect(),
    }
}
