//! The process's own metrics: the `/metrics` page, and what every server counts on it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flyball_model::exposition::{Event, Format, MetricType, Reader, Writer};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prometheus_client::registry::Registry;

use crate::body::full;
use crate::request::Response;

mod called;
mod callers;
mod served;

pub use called::ClientMetrics;
pub use served::ServerMetrics;

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

/// Counters that upstream has named without `_total`, which OpenMetrics insists on.
const NAMED_WITHOUT_TOTAL: [&str; 2] = ["authentication_attempts", "authenticated_user_requests"];

/// OpenMetrics rewritten in the older format: counters are named with `_total` there, but for upstream's exceptions.
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
                let total = kind == MetricType::Counter && !NAMED_WITHOUT_TOTAL.contains(&of);
                let full_name = if total { format!("{of}_total") } else { of.to_owned() };
                writer.family(&full_name, text, kind, None);
            }
            Event::Sample(sample) => {
                let labels: Vec<(&str, Cow<'_, str>)> =
                    sample.labels.iter().map(|(name, value)| (*name, as_bound(name, value))).collect();
                let labels: Vec<(&str, &str)> =
                    labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
                let exception = sample.name.strip_suffix("_total");
                let exception = exception.filter(|name| NAMED_WITHOUT_TOTAL.contains(name));
                let name = exception.unwrap_or(sample.name);
                writer.sample(name, &labels, sample.value, sample.timestamp_ms);
            }
            Event::Unit { .. } | Event::Eof => {}
        }
    }
    writer.finish()
}

/// The bounds of buckets as Go writes them: the shortest text of the number, without a fraction if it is whole, with an
/// exponent from a million.
fn as_bound<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    match number {
        Some(number) if matches!(name, "le" | "quantile") => Cow::Owned(as_go(number)),
        _ => Cow::Borrowed(value),
    }
}

fn as_go(number: f64) -> String {
    let text = format!("{number:e}");
    let parts = text.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse().ok()?)));
    match parts {
        Some((digits, exponent)) if !(-4..6_i32).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;
    use http_body_util::BodyExt;
    use std::time::Duration;

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
            ("le", "604800.0", "604800"),
            ("le", "2592000.0", "2.592e+06"),
            ("le", "1e9", "1e+09"),
            ("le", "0.00001", "1e-05"),
            ("le", "0.0", "0"),
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
        metrics.answered(&attributes, true, StatusCode::OK, Duration::from_millis(2));
        let (kind, text) = page(&own, "*/*").await;
        assert!(kind.starts_with("text/plain"), "{kind}");
        assert!(text.contains("# TYPE apiserver_request_total counter"), "{text}");
        assert!(!text.contains("# EOF"), "{text}");
        assert!(text.contains("le=\"1\"") && !text.contains("le=\"1.0\""), "{text}");
        let (kind, text) = page(&own, "application/openmetrics-text;version=1.0.0").await;
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(text.contains("# TYPE apiserver_request counter") && text.ends_with("# EOF\n"), "{text}");
    }
}
