//! The process's own metrics: what every server counts, and the `/metrics` page.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyball_model::exposition::{Event, Format, MetricType, Reader, Writer};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::attributes::Attributes;
use crate::body::full;
use crate::own_process::OwnProcess;
use crate::request::Response;

/// The registry behind `/metrics`. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct OwnMetrics(Arc<Mutex<Registry>>);

impl OwnMetrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The registry, for registering metrics.
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page, in OpenMetrics or in the older text format as the client prefers.
    pub fn respond(&self, headers: &HeaderMap) -> Response {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        let format = Format::from_accept(accept);
        let Some(text) = self.body(format) else {
            return crate::status::Status::internal("own metrics could not be written").raw_response();
        };
        let mut response = http::Response::new(full(text));
        *response.status_mut() = StatusCode::OK;
        let content_type = HeaderValue::from_static(format.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }

    /// The metrics as text, for those who answer themselves. `None` when they could not be written.
    pub fn body(&self, format: Format) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry()).ok()?;
        Some(if format == Format::Text004 { as_text(&text) } else { text })
    }
}

/// OpenMetrics rewritten in the older format: counters are named with `_total` there.
fn as_text(open_metrics: &str) -> String {
    let mut writer = Writer::new(Format::Text004);
    let (mut name, mut help) = (String::new(), String::new());
    for event in Reader::new(open_metrics, Format::OpenMetrics10).flatten() {
        match event {
            Event::Help { name: of, help: text } => {
                (name, help) = (of.to_owned(), text.into_owned());
            }
            Event::Type { name: of, kind } => {
                let text = if name == of { help.as_str() } else { "" };
                let full_name =
                    if kind == MetricType::Counter { format!("{of}_total") } else { of.to_owned() };
                writer.family(&full_name, text, kind, None);
            }
            Event::Sample(sample) => {
                let labels: Vec<(&str, Cow<'_, str>)> =
                    sample.labels.iter().map(|(name, value)| (*name, as_bound(name, value))).collect();
                let labels: Vec<(&str, &str)> =
                    labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
                writer.sample(sample.name, &labels, sample.value, sample.timestamp_ms);
            }
            Event::Unit { .. } | Event::Eof => {}
        }
    }
    writer.finish()
}

/// The bounds of buckets as Go writes them: the shortest text of the number, without a fraction if it is whole.
fn as_bound<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    match number {
        Some(number) if matches!(name, "le" | "quantile") => Cow::Owned(number.to_string()),
        _ => Cow::Borrowed(value),
    }
}

/// What every server counts, under upstream's names.
///
/// Labels that a client chooses (group, version, resource) are kept only for requests that succeeded, so that
/// nobody can fill the page with invented names.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    authentications: Family<ResultLabels, Counter>,
    handshake_errors: Counter,
}

/// Upper bounds of the duration histogram in seconds: upstream's range with fewer steps.
const DURATION_BOUNDS_SECONDS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

impl Default for ServerMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATION_BOUNDS_SECONDS);
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            authentications: Family::default(),
            handshake_errors: Counter::default(),
        }
    }
}

impl ServerMetrics {
    /// Counts into this registry.
    pub fn register(own: &OwnMetrics) -> Self {
        let metrics = Self::default();
        let mut registry = own.registry();
        registry.register("apiserver_request", "Requests answered", metrics.requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "Time to answer, watches and streams aside",
            metrics.durations.clone(),
        );
        registry.register(
            "authentication_attempts",
            "Requests by outcome of authentication",
            metrics.authentications.clone(),
        );
        registry.register(
            "apiserver_tls_handshake_errors",
            "Connections that ended in the TLS handshake",
            metrics.handshake_errors.clone(),
        );
        registry.register_collector(Box::new(OwnProcess));
        drop(registry);
        metrics
    }

    pub(crate) fn tls_handshake_failed(&self) {
        self.handshake_errors.inc();
    }

    pub(crate) fn authenticated(&self, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.authentications.get_or_create(&ResultLabels { result }).inc();
    }

    pub(crate) fn answered(&self, attributes: &Attributes, code: StatusCode, took: Duration) {
        let known = code.is_success() && attributes.resource_request;
        let text = |text: &str| if known { text.to_owned() } else { String::new() };
        let of = DurationLabels {
            verb: if attributes.verb.len() > VERB_LIMIT_BYTES {
                "other".into()
            } else {
                attributes.verb.to_uppercase()
            },
            group: text(&attributes.group),
            version: text(&attributes.version),
            resource: text(&attributes.resource),
            subresource: text(&attributes.subresource),
            scope: scope(attributes),
        };
        if !attributes.is_long_running() {
            self.durations.get_or_create(&of).observe(took.as_secs_f64());
        }
        let DurationLabels { verb, group, version, resource, subresource, scope } = of;
        let code = code.as_u16();
        let labels = RequestLabels { code, verb, group, version, resource, subresource, scope };
        self.requests.get_or_create(&labels).inc();
    }
}

/// HTTP methods may be any word; Kubernetes' longest verb is `deletecollection`.
const VERB_LIMIT_BYTES: usize = 16;

/// Upstream's scopes: a single object, a namespace, or the cluster; empty for paths.
fn scope(attributes: &Attributes) -> &'static str {
    match (attributes.resource_request, attributes.name.is_empty(), attributes.namespace.is_empty()) {
        (false, ..) => "",
        (true, false, _) => "resource",
        (true, true, false) => "namespace",
        (true, true, true) => "cluster",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: u16,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn page(own: &OwnMetrics, accept: &'static str) -> (String, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let response = own.respond(&headers);
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn bounds_are_as_short_as_they_can_be() {
        for (name, value, expected) in [
            ("le", "1.0", "1"),
            ("le", "2.5377165440000009", "2.5377165440000007"),
            ("le", "0.005", "0.005"),
            ("le", "+Inf", "+Inf"),
            ("code", "1.0", "1.0"),
        ] {
            assert_eq!(as_bound(name, value), expected);
        }
    }

    #[tokio::test]
    async fn the_page_has_both_formats() {
        let own = OwnMetrics::new();
        let metrics = ServerMetrics::register(&own);
        let attributes = Attributes::resource("list", "metrics.k8s.io", "pods", "", "");
        metrics.answered(&attributes, StatusCode::OK, Duration::from_millis(2));
        metrics.answered(
            &Attributes::resource("list", "nonsense", "x", "", ""),
            StatusCode::NOT_FOUND,
            Duration::ZERO,
        );
        let (kind, text) = page(&own, "*/*").await;
        assert!(kind.starts_with("text/plain"), "{kind}");
        let sample = r#"apiserver_request_total{code="200",verb="LIST",group="metrics.k8s.io",version="",resource="pods",subresource="",scope="cluster"} 1"#;
        assert!(text.contains(sample) && text.contains("# TYPE apiserver_request_total counter"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("nonsense"), "{text}");
        assert!(text.contains("le=\"1\"") && !text.contains("le=\"1.0\""), "{text}");
        let (kind, text) = page(&own, "application/openmetrics-text;version=1.0.0").await;
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(text.contains("# TYPE apiserver_request counter") && text.ends_with("# EOF\n"), "{text}");
    }
}
