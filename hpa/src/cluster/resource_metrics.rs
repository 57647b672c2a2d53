//! metrics.k8s.io: usage of the pods behind a selector.

use super::{Api, Discovery, encode};
use crate::error::ApiError;
use flyball_model::resource_metrics::{GROUP, List, PodMetrics};
use flyball_model::selector::LabelSelector;
use flyball_model::time::{parse_go_duration, parse_rfc3339_ms};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Versions this program reads, the best first; both have the same fields.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Upstream's text for an answer without pods.
const EMPTY: &str = "no metrics returned from resource metrics API";

/// One pod of an answer, in units of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) pod: String,
    pub(crate) timestamp_ms: i64,
    pub(crate) window_ms: i64,
    /// Container, resource, milli-units.
    pub(crate) containers: Vec<(String, Vec<(String, i64)>)>,
}

/// A pod's usage, with the labels it is asked for by.
type Labelled = (BTreeMap<String, String>, Sample);

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
    /// By the steady clock.
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
        let samples = match self.fetch(namespace, selector).await {
            Ok(samples) if samples.is_empty() => Err(EMPTY.to_owned()),
            Ok(samples) => Ok(Arc::new(samples)),
            Err(error) => Err(unable(error)),
        };
        Answer { fetched_ms: now_ms, samples }
    }

    async fn fetch(&self, namespace: &str, selector: &str) -> Result<Vec<Sample>, ApiError> {
        let version = self.version().await?;
        let (namespace, selector) = (encode(namespace), encode(selector));
        let path = format!("/apis/{GROUP}/{version}/namespaces/{namespace}/pods?labelSelector={selector}");
        Ok(self.pods(&path).await?.into_iter().map(sample).collect())
    }

    async fn pods(&self, path: &str) -> Result<Vec<PodMetrics>, ApiError> {
        match self.api.get_as::<List<PodMetrics>>(path).await {
            Ok(list) => Ok(list.items),
            Err(error) => {
                if error.is_not_found() {
                    self.discovery.forget(GROUP).await;
                }
                Err(error)
            }
        }
    }

    /// Usage of all pods by one question, sorted by these namespaces and selectors.
    ///
    /// # Errors
    ///
    /// We may not ask for all namespaces, or the answer cannot be read; any other failure is the answer to each.
    pub(crate) async fn list_all(
        &self,
        keys: &[(String, String)],
        now_ms: i64,
    ) -> Result<Vec<Answer>, ApiError> {
        let fetched = match self.version().await {
            Ok(version) => self.pods(&format!("/apis/{GROUP}/{version}/pods")).await,
            Err(error) => Err(error),
        };
        let failed = |samples: String| Answer { fetched_ms: now_ms, samples: Err(samples) };
        let items = match fetched {
            Ok(items) => items,
            // One sample that makes no sense must not take those of everybody.
            Err(error) if error.code == 403 || error.is_unreadable() => return Err(error),
            Err(error) => return Ok(keys.iter().map(|_| failed(unable(error.clone()))).collect()),
        };
        let mut namespaces: HashMap<String, Vec<Labelled>> = HashMap::new();
        for mut pod in items {
            let namespace = pod.metadata.namespace.take().unwrap_or_default();
            let labels = std::mem::take(&mut pod.metadata.labels);
            namespaces.entry(namespace).or_default().push((labels, sample(pod)));
        }
        let answers = keys.iter().map(|(namespace, selector)| {
            let of_namespace = namespaces.get(namespace).map(Vec::as_slice).unwrap_or_default();
            let Ok(selector) = LabelSelector::parse(selector) else { return failed(EMPTY.into()) };
            let behind = of_namespace.iter().filter(|(labels, _)| selector.matches_map(labels));
            let samples: Vec<Sample> = behind.map(|(_, sample)| sample.clone()).collect();
            match samples.is_empty() {
                true => failed(EMPTY.into()),
                false => Answer { fetched_ms: now_ms, samples: Ok(Arc::new(samples)) },
            }
        });
        Ok(answers.collect())
    }

    async fn version(&self) -> Result<&'static str, ApiError> {
        let served = self.discovery.versions(GROUP).await?.unwrap_or_default();
        // Without discovery the older version is asked for, so that the failure reads as upstream's.
        Ok(VERSIONS.into_iter().find(|version| served.iter().any(|s| s == version)).unwrap_or("v1beta1"))
    }
}

fn unable(error: ApiError) -> String {
    let error = super::generic_message(error, "get", "pods.metrics.k8s.io");
    format!("unable to fetch metrics from resource metrics API: {error}")
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
