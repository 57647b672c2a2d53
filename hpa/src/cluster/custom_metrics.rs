//! custom.metrics.k8s.io and external.metrics.k8s.io.

use super::{Api, Discovery, encode};
use crate::decide::{Described, Reading};
use crate::error::ApiError;
use flyball_model::quantity::Quantity;
use flyball_model::time::parse_rfc3339_ms;
use serde_json::Value;
use std::sync::Arc;

const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io/v1beta1";
const CUSTOM_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
/// Window of a pod's value when the answer does not say.
const DEFAULT_WINDOW_MS: i64 = 60_000;

/// A question about one metric. Selectors are as the query has them, empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// A metric of all pods behind a selector.
    Pods { namespace: String, metric: String, pods: String, selector: String },
    /// A metric of one object.
    Object { namespace: String, metric: String, described: Described, selector: String },
    /// An external metric.
    External { namespace: String, metric: String, selector: String },
}

/// What a question was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Values {
    Pods(Vec<PodValue>),
    Object(Reading),
    External(Vec<Reading>),
}

impl Values {
    /// The oldest and the newest time among the values, unix milliseconds.
    pub(crate) fn times_ms(&self) -> Option<(i64, i64)> {
        let span = |times: &mut dyn Iterator<Item = i64>| {
            times.fold(None, |span: Option<(i64, i64)>, at| {
                let (oldest, newest) = span.unwrap_or((at, at));
                Some((oldest.min(at), newest.max(at)))
            })
        };
        match self {
            Values::Pods(values) => span(&mut values.iter().map(|value| value.timestamp_ms)),
            Values::Object(reading) => Some((reading.timestamp_ms, reading.timestamp_ms)),
            Values::External(readings) => span(&mut readings.iter().map(|reading| reading.timestamp_ms)),
        }
    }
}

/// One pod's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodValue {
    pub(crate) pod: String,
    pub(crate) value_milli: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) window_ms: i64,
}

/// Asks the two APIs. Errors are texts as upstream's metrics client words them.
pub(crate) struct CustomMetrics {
    api: Api,
    discovery: Arc<Discovery>,
}

impl CustomMetrics {
    pub(crate) fn new(api: Api, discovery: Arc<Discovery>) -> Self {
        CustomMetrics { api, discovery }
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// Upstream's text.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Values, String> {
        match question {
            Question::Pods { namespace, metric, pods, selector } => {
                self.pods(namespace, metric, pods, selector).await.map(Values::Pods)
            }
            Question::Object { namespace, metric, described, selector } => {
                self.object(namespace, metric, described, selector).await.map(Values::Object)
            }
            Question::External { namespace, metric, selector } => {
                self.external(namespace, metric, selector).await.map(Values::External)
            }
        }
    }

    /// A metric of all pods behind a selector.
    async fn pods(
        &self,
        namespace: &str,
        metric: &str,
        pod_selector: &str,
        metric_selector: &str,
    ) -> Result<Vec<PodValue>, String> {
        let subject = format!("namespaces/{}/pods/*/{}", encode(namespace), encode(metric));
        let labels = [("labelSelector", pod_selector), ("metricLabelSelector", metric_selector)];
        let items = self.custom(&subject, &labels).await.map_err(unable_custom)?;
        if items.is_empty() {
            return Err("no metrics returned from custom metrics API".into());
        }
        items.iter().map(pod_value).collect::<Result<_, _>>().map_err(unable_custom)
    }

    /// A metric of one object; must yield one value.
    async fn object(
        &self,
        namespace: &str,
        metric: &str,
        described: &Described,
        metric_selector: &str,
    ) -> Result<Reading, String> {
        let group = described.api_version.split_once('/').map_or("", |(group, _)| group);
        let (namespace, metric) = (encode(namespace), encode(metric));
        let subject = if group.is_empty() && described.kind == "Namespace" {
            format!("namespaces/{namespace}/metrics/{metric}")
        } else {
            let kind = (group.to_owned(), described.kind.clone());
            let mapping = self.discovery.mapping(&kind).await.map_err(unable_custom)?;
            let (resource, name) = (mapping.group_resource(), encode(&described.name));
            format!("namespaces/{namespace}/{resource}/{name}/{metric}")
        };
        let items = self
            .custom(&subject, &[("metricLabelSelector", metric_selector)])
            .await
            .map_err(unable_custom)?;
        match items.as_slice() {
            [] => Err("no metrics returned from custom metrics API".into()),
            [item] => reading(item).map_err(unable_custom),
            _ => Err(unable_custom(ApiError {
                code: 0,
                message: "the API returned more than one value".into(),
            })),
        }
    }

    /// All values of an external metric.
    async fn external(&self, namespace: &str, metric: &str, selector: &str) -> Result<Vec<Reading>, String> {
        let mut path = format!("/apis/{EXTERNAL}/namespaces/{}/{}", encode(namespace), encode(metric));
        if !selector.is_empty() {
            path.push_str(&format!("?labelSelector={}", encode(selector)));
        }
        let unable = |error: ApiError| {
            let error = super::generic_message(error, "get", &format!("{metric}.external.metrics.k8s.io"));
            format!("unable to fetch metrics from external metrics API: {error}")
        };
        let answer = self.api.get(&path).await.map_err(unable)?;
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return Err("no metrics returned from external metrics API".into());
        }
        items.iter().map(reading).collect::<Result<_, _>>().map_err(unable)
    }

    async fn custom(&self, subject: &str, selectors: &[(&str, &str)]) -> Result<Vec<Value>, ApiError> {
        let served = self.discovery.versions(CUSTOM).await?.unwrap_or_default();
        let version = CUSTOM_VERSIONS.into_iter().find(|version| served.iter().any(|s| s == version));
        let Some(version) = version else {
            let message = format!("no custom metrics API ({CUSTOM}) registered");
            return Err(ApiError { code: 404, message });
        };
        let query: Vec<String> = selectors
            .iter()
            .filter(|(_, selector)| !selector.is_empty())
            .map(|(name, selector)| format!("{name}={}", encode(selector)))
            .collect();
        let question = if query.is_empty() { "" } else { "?" };
        let path = format!("/apis/{CUSTOM}/{version}/{subject}{question}{}", query.join("&"));
        let answer = self.api.get(&path).await;
        let resource = subject.rsplit('/').next().unwrap_or_default();
        let answer = answer.map_err(|e| super::generic_message(e, "get", &format!("{resource}.{CUSTOM}")))?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }
}

fn unable_custom(error: ApiError) -> String {
    format!("unable to fetch metrics from custom metrics API: {error}")
}

fn milli(item: &Value) -> Result<i64, ApiError> {
    let quantity: Result<Quantity, _> = serde_json::from_value(item["value"].clone());
    quantity
        .map(|quantity| quantity.milli_value())
        .map_err(|error| ApiError { code: 0, message: format!("a value is not a quantity: {error}") })
}

fn reading(item: &Value) -> Result<Reading, ApiError> {
    Ok(Reading { value_milli: milli(item)?, timestamp_ms: timestamp_ms(item) })
}

fn timestamp_ms(item: &Value) -> i64 {
    item["timestamp"].as_str().and_then(parse_rfc3339_ms).unwrap_or(0)
}

fn pod_value(item: &Value) -> Result<PodValue, ApiError> {
    let seconds = item["windowSeconds"].as_i64().or_else(|| item["window"].as_i64());
    Ok(PodValue {
        pod: item["describedObject"]["name"].as_str().unwrap_or_default().to_owned(),
        value_milli: milli(item)?,
        timestamp_ms: timestamp_ms(item),
        window_ms: seconds.map_or(DEFAULT_WINDOW_MS, |seconds| seconds.saturating_mul(1000)),
    })
}
