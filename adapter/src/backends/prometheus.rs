//! Any server with Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics, GreptimeDB …
//!
//! Discovery asks for series, but for no more than [`SERIES_LIMIT`] of them. Where there are more it asks for the names of
//! metrics, and for each name for the names of its labels: kilobytes each, however many series there are. A server that
//! does not know `limit` (Prometheus before 2.51) is cut off by the limit of its answer, and asked the second way too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::error::BackendError;
use super::http_client::{Answered, Asked, HttpClient};
use super::settings::{HttpSettings, Verb};
use super::wire::{self, Envelope, QueryData, SeriesData};
use super::{Answer, Backend, Found, Types};

/// Most series that one discovery asks for.
pub const SERIES_LIMIT: usize = 2_000;
/// Most names of metrics that one discovery looks at.
pub const NAMES_LIMIT: usize = 20_000;
/// Names whose labels are asked for at a time.
const NAMES_AT_ONCE: usize = 4;
/// Longest address of a GET; longer questions are sent as forms.
const ADDRESS_LIMIT_BYTES: usize = 4096;
/// How long label names of a metric are believed when they were asked for one by one.
const LABELS_LIFETIME: Duration = Duration::from_secs(600);
/// What a server says when it cut a list at `limit`.
const TRUNCATED: &str = "results truncated due to limit";

/// When, and which.
type KnownLabels = BTreeMap<(String, String), (Instant, BTreeSet<String>)>;

/// A server.
pub struct Prometheus {
    http: HttpClient,
    /// Label names that were asked for one by one, by selector and metric.
    labels: Mutex<KnownLabels>,
}

impl Prometheus {
    /// A server under a name for messages.
    pub fn new(name: &str, settings: HttpSettings) -> Prometheus {
        Prometheus { http: HttpClient::new(name, settings), labels: Mutex::default() }
    }

    /// How often it has new values.
    pub fn scrape_interval(&self) -> Duration {
        self.http.settings().scrape_interval
    }

    fn backend(&self) -> String {
        self.http.name().to_owned()
    }

    /// Asks a path of the API with these parameters.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        takes_forms: bool,
    ) -> Result<(T, Vec<String>), BackendError> {
        let form = encoded(parameters);
        let path = format!("{}/{path}", self.http.settings().api());
        let address = format!("{path}?{form}");
        let as_form = self.http.settings().verb == Verb::Post || address.len() > ADDRESS_LIMIT_BYTES;
        let answered = if takes_forms && as_form {
            let sent = self.http.send(form_of(path, form)).await?;
            match sent.code {
                StatusCode::METHOD_NOT_ALLOWED => self.http.send(Asked::get(address)).await?,
                _ => sent,
            }
        } else {
            self.http.send(Asked::get(address)).await?
        };
        self.read(&answered)
    }

    fn read<T: DeserializeOwned>(&self, answered: &Answered) -> Result<(T, Vec<String>), BackendError> {
        // As Prometheus' own client: these codes carry the envelope, others come from something in between.
        let from_api = answered.code.is_success() || [400, 422, 503].contains(&answered.code.as_u16());
        let envelope: Result<Envelope<T>, _> = serde_json::from_slice(&answered.body);
        match envelope {
            Ok(envelope) if from_api && envelope.is_success() => match envelope.data {
                Some(data) => Ok((data, envelope.warnings.unwrap_or_default())),
                None => Err(self.garbage("a success without data".to_owned())),
            },
            Ok(envelope) if from_api && !envelope.error.is_empty() => {
                Err(self.refused(answered.code, envelope.error_type, envelope.error))
            }
            Ok(_) if answered.code.is_success() => {
                Err(self.garbage("neither a success nor an error".to_owned()))
            }
            Err(error) if answered.code.is_success() => {
                Err(self.garbage(format!("{error}; it begins with {:?}", answered.excerpt())))
            }
            _ => {
                let kind = answered.code.canonical_reason().unwrap_or("unknown code").to_owned();
                Err(self.refused(answered.code, kind, self.why(answered)))
            }
        }
    }

    fn why(&self, answered: &Answered) -> String {
        if answered.code.is_redirection() {
            let target = answered.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("");
            return format!("it sends us on to {target:?}; name that address instead");
        }
        match answered.excerpt() {
            text if text.is_empty() => "nothing more was said".to_owned(),
            text => text,
        }
    }

    fn refused(&self, code: StatusCode, kind: String, message: String) -> BackendError {
        BackendError::Refused { backend: self.backend(), code: code.as_u16(), kind, message }
    }

    fn garbage(&self, reason: String) -> BackendError {
        BackendError::Garbage { backend: self.backend(), reason }
    }

    async fn evaluate(&self, query: &str, time_ms: i64) -> Result<Answer, BackendError> {
        let timeout = self.http.settings().timeout.as_millis();
        let (time, timeout) = (seconds(time_ms), format!("{timeout}ms"));
        let parameters = [("query", query), ("time", &time), ("timeout", &timeout)];
        let (data, warnings): (QueryData, _) = self.ask("query", &parameters, true).await?;
        data.answer(warnings).map_err(|reason| self.garbage(reason))
    }

    async fn series(&self, selector: &str, since_ms: i64) -> Result<Found, BackendError> {
        let (start, limit) = (seconds(since_ms), SERIES_LIMIT.to_string());
        let parameters = [("match[]", selector), ("start", &start), ("limit", &limit)];
        match self.ask::<SeriesData>("series", &parameters, true).await {
            Ok((data, warnings)) => {
                let cut = data.count >= SERIES_LIMIT && warnings.iter().any(|text| text.contains(TRUNCATED));
                if cut { self.by_names(selector, since_ms).await } else { Ok(data.found) }
            }
            // Some servers refuse long lists instead of cutting them.
            Err(error) if error.is_about_size() => {
                self.by_names(selector, since_ms).await.map_err(|second| match second {
                    BackendError::Refused { .. } => error,
                    other => other,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Discovery by names.
    async fn by_names(&self, selector: &str, since_ms: i64) -> Result<Found, BackendError> {
        let start = seconds(since_ms);
        let limit = (NAMES_LIMIT + 1).to_string();
        let parameters = [("match[]", selector), ("start", start.as_str()), ("limit", &limit)];
        let (mut names, _): (Vec<String>, _) = self.ask("label/__name__/values", &parameters, false).await?;
        if names.len() > NAMES_LIMIT {
            tracing::warn!(
                backend = self.http.name(),
                selector,
                "more than {NAMES_LIMIT} metrics: the others are not looked at"
            );
            names.truncate(NAMES_LIMIT);
        }
        let mut found = Found::new();
        // Boxed, for the compiler cannot tell that a stream of futures that borrow is Send.
        let questions: Vec<BoxFuture<'_, _>> =
            names.into_iter().map(|name| self.labels_of(selector, name, since_ms).boxed()).collect();
        let mut answers = futures_util::stream::iter(questions).buffer_unordered(NAMES_AT_ONCE);
        while let Some(answer) = answers.next().await {
            let (name, labels) = answer?;
            found.insert(name, labels);
        }
        drop(answers);
        self.forget_labels(selector, &found);
        Ok(found)
    }

    async fn labels_of(
        &self,
        selector: &str,
        name: String,
        since_ms: i64,
    ) -> Result<(String, BTreeSet<String>), BackendError> {
        let key = (selector.to_owned(), name.clone());
        let known = self.labels.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, labels)) = known
            && at.elapsed() < LABELS_LIFETIME
        {
            return Ok((name, labels));
        }
        let (start, of) = (seconds(since_ms), named(selector, &name));
        let parameters = [("match[]", of.as_str()), ("start", start.as_str())];
        let (labels, _): (BTreeSet<String>, _) = self.ask("labels", &parameters, true).await?;
        let labels: BTreeSet<String> = labels.into_iter().filter(|label| label != "__name__").collect();
        let mut kept = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key, (Instant::now(), labels.clone()));
        Ok((name, labels))
    }

    /// What is gone is not kept.
    fn forget_labels(&self, selector: &str, found: &Found) {
        let mut kept = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, name), (at, _)| {
            at.elapsed() < 2 * LABELS_LIFETIME && (of != selector || found.contains_key(name))
        });
    }
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prometheus").field("http", &self.http).finish_non_exhaustive()
    }
}

impl Backend for Prometheus {
    fn name(&self) -> &str {
        self.http.name()
    }

    fn query<'a>(&'a self, query: &'a str, time_ms: i64) -> BoxFuture<'a, Result<Answer, BackendError>> {
        self.evaluate(query, time_ms).boxed()
    }

    fn discover<'a>(
        &'a self,
        selector: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Found, BackendError>> {
        self.series(selector, since_ms).boxed()
    }

    fn types(&self) -> BoxFuture<'_, Result<Types, BackendError>> {
        async {
            let limit = NAMES_LIMIT.to_string();
            let parameters = [("limit", limit.as_str()), ("limit_per_metric", "8")];
            match self.ask("metadata", &parameters, false).await {
                Ok((data, _)) => Ok(wire::types(data)),
                // Not every server keeps metadata; without it types are guessed from names.
                Err(BackendError::Refused { code: 404 | 501, .. }) => Ok(Types::new()),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }
}

/// The selector, for the metric of this name alone.
fn named(selector: &str, name: &str) -> String {
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let own = format!("__name__=\"{quoted}\"");
    match selector.trim().split_once('{') {
        // A name before the braces is a condition on the same label, which can stand there once only.
        Some((_, conditions)) => match conditions.trim_start() {
            "}" => format!("{{{own}}}"),
            conditions => format!("{{{own},{conditions}"),
        },
        None => format!("{{{own}}}"),
    }
}

fn seconds(unix_ms: i64) -> String {
    format!("{}.{:03}", unix_ms.div_euclid(1000), unix_ms.rem_euclid(1000))
}

fn form_of(path: String, form: String) -> Asked {
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    Asked {
        method: Method::POST,
        path_and_query: path,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, form_type)]),
        body: Bytes::from(form),
    }
}

/// Parameters as a query or a form.
fn encoded(parameters: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in parameters {
        if !text.is_empty() {
            text.push('&');
        }
        encode(&mut text, name);
        text.push('=');
        encode(&mut text, value);
    }
    text
}

/// Percent-encodes all but the characters that every server takes as they are.
pub(crate) fn encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            other => {
                out.push('%');
                out.push(HEX[usize::from(other >> 4)].into());
                out.push(HEX[usize::from(other & 15)].into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_narrowed_to_a_name_parses() {
        for (selector, expected) in [
            (r#"{namespace!="",__name__!~"^x"}"#, r#"{__name__="a",namespace!="",__name__!~"^x"}"#),
            ("up", r#"{__name__="a"}"#),
            (r#"up{job="x"}"#, r#"{__name__="a",job="x"}"#),
            ("up{ }", r#"{__name__="a"}"#),
        ] {
            let narrowed = named(selector, "a");
            assert_eq!(narrowed, expected, "{selector}");
            assert!(flyball_tsdb::promql::parse(&narrowed).is_ok(), "{narrowed}");
        }
        assert!(flyball_tsdb::promql::parse(&named("{x=\"y\"}", "we\"ird\\\n")).is_ok());
    }

    #[test]
    fn parameters_are_encoded() {
        assert_eq!(
            encoded(&[("match[]", "{a=\"b c\"}"), ("x", "é+&")]),
            "match%5B%5D=%7Ba%3D%22b%20c%22%7D&x=%C3%A9%2B%26"
        );
        assert_eq!((seconds(1_500), seconds(-1)), ("1.500".to_owned(), "-1.999".to_owned()));
    }
}
