//! Events: core/v1, about HPAs in the name of `horizontal-pod-autoscaler`; repeated and similar ones as [`Correlator`] says.

use super::{Api, FIELD_MANAGER, encode};
use crate::config::Clock;
use crate::correlator::{Again, Correlator, Verdict};
use crate::kind::ApiKind;
use crate::report::Note;
use flyball_model::time::rfc3339_seconds;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Source component of upstream's events, which dashboards and `kubectl describe` show.
const COMPONENT: &str = "horizontal-pod-autoscaler";
/// Longest message of an event that the API accepts, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Kind of object an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// An HPA; the source is the component upstream's events name.
    Hpa,
    /// Our Lease; the source is this program.
    Lease,
}

impl About {
    fn type_meta(self, hpa: ApiKind) -> (&'static str, &'static str, &'static str) {
        match self {
            About::Hpa => (hpa.api_version, "HorizontalPodAutoscaler", COMPONENT),
            About::Lease => ("coordination.k8s.io/v1", "Lease", FIELD_MANAGER),
        }
    }
}

/// The object an event is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) about: About,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: Option<String>,
}

/// Records events.
pub(crate) struct Events {
    api: Api,
    kind: ApiKind,
    correlator: Mutex<Correlator>,
    /// For the time between two events: a wall clock may be set.
    steady_ms: Clock,
}

impl Events {
    pub(crate) fn new(api: Api, kind: ApiKind, repeat_after_ms: i64, steady_ms: Clock) -> Self {
        Events { api, kind, correlator: Mutex::new(Correlator::new(repeat_after_ms)), steady_ms }
    }

    fn correlator(&self) -> MutexGuard<'_, Correlator> {
        self.correlator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records one. Failures are logged: an event is never worth more than the work it tells about.
    pub(crate) async fn record(&self, subject: &Subject, note: &Note, now_ms: i64) {
        let steady_ms = (self.steady_ms)();
        let verdict = self.correlator().judge(&subject.uid, note, steady_ms);
        let Verdict::Record { message, again } = verdict else { return };
        let message = cut(&message);
        // A repeated event that the server has dropped meanwhile (they live an hour) is recorded as a new one.
        if let Some(again) = again
            && self.count_again(subject, &again, message, now_ms).await
        {
            return;
        }
        let event = event_name(&subject.name, now_ms, self.correlator().number());
        self.correlator().recorded(&subject.uid, note, message, &event, steady_ms);
        let path = format!("/api/v1/namespaces/{}/events", encode(&subject.namespace));
        let body = body(subject, self.kind, note, message, &event, now_ms);
        if let Err(error) = self.api.post(&path, &body).await {
            // A silent server is told about once, and a namespace on its way out takes no events.
            match error.is_unanswered() || error.is_namespace_terminating() {
                true => tracing::debug!(about = subject.name, reason = note.reason, %error, "no event"),
                false => {
                    tracing::warn!(about = subject.name, reason = note.reason, %error, "cannot record an event");
                }
            }
        }
    }

    async fn count_again(&self, subject: &Subject, again: &Again, message: &str, now_ms: i64) -> bool {
        let (namespace, event) = (encode(&subject.namespace), encode(&again.event));
        let path = format!("/api/v1/namespaces/{namespace}/events/{event}");
        let patch =
            json!({ "count": again.count, "message": message, "lastTimestamp": rfc3339_seconds(now_ms) });
        self.api.merge_patch(&path, &patch).await.is_ok()
    }
}

/// The object's name and a time, as upstream's; events of one millisecond are told apart by their number.
fn event_name(object: &str, now_ms: i64, number: u64) -> String {
    format!("{object}.{:x}", now_ms.wrapping_mul(1_000_000).wrapping_add_unsigned(number % 1_000_000))
}

/// As much of a message as an event may have.
fn cut(message: &str) -> &str {
    let end = (0..=message.len().min(MAX_MESSAGE_BYTES)).rev().find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or(0)]
}

fn body(subject: &Subject, hpa: ApiKind, note: &Note, message: &str, event: &str, now_ms: i64) -> Value {
    let now = rfc3339_seconds(now_ms);
    let (api_version, kind, component) = subject.about.type_meta(hpa);
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": event, "namespace": subject.namespace },
        "involvedObject": {
            "apiVersion": api_version,
            "kind": kind,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
            "resourceVersion": subject.resource_version,
        },
        "type": if note.warning { "Warning" } else { "Normal" },
        "reason": note.reason,
        "message": message,
        "source": { "component": component },
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}
