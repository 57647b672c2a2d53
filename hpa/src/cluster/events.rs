//! Events: core/v1, about HPAs in the name of `horizontal-pod-autoscaler`, repeated ones counted in place.

use super::{Api, FIELD_MANAGER, encode};
use crate::kind::ApiKind;
use crate::report::Note;
use flyball_model::time::rfc3339_seconds;
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::sync::Mutex;

/// Source component of upstream's events, which dashboards and `kubectl describe` show.
const COMPONENT: &str = "horizontal-pod-autoscaler";
/// Distinct events remembered for counting; beyond it the least recently seen are forgotten.
const MAX_REMEMBERED: usize = 4096;
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

struct Remembered {
    event: String,
    count: u32,
    last_ms: i64,
}

/// Records events.
pub(crate) struct Events {
    api: Api,
    kind: ApiKind,
    /// The same event about the same HPA is recorded once in this time, whatever the cadence of evaluations.
    repeat_after_ms: i64,
    remembered: Mutex<HashMap<(String, &'static str, String), Remembered>>,
}

impl Events {
    pub(crate) fn new(api: Api, kind: ApiKind, repeat_after_ms: i64) -> Self {
        Events { api, kind, repeat_after_ms, remembered: Mutex::default() }
    }

    /// Records one. Failures are logged: an event is never worth more than the work it tells about.
    pub(crate) async fn record(&self, subject: &Subject, note: &Note, now_ms: i64) {
        let key = (subject.uid.clone(), note.reason, note.message.clone());
        let mut remembered = self.remembered.lock().await;
        let mut repeated = None;
        if let Some(known) = remembered.get_mut(&key) {
            let is_rescale = matches!(note.reason, "SuccessfulRescale" | "FailedRescale");
            if !is_rescale && now_ms - known.last_ms < self.repeat_after_ms {
                return;
            }
            known.count += 1;
            known.last_ms = now_ms;
            repeated = Some((known.event.clone(), known.count));
        }
        // A repeated event that the server has dropped meanwhile (they live an hour) is recorded as a new one.
        if let Some((event, count)) = repeated {
            drop(remembered);
            if self.count_again(subject, &event, count, now_ms).await {
                return;
            }
            remembered = self.remembered.lock().await;
        }
        let event =
            format!("{}.{:x}", subject.name, now_ms.wrapping_mul(1_000_000) + remembered.len() as i64);
        forget_oldest(&mut remembered);
        remembered.insert(key, Remembered { event: event.clone(), count: 1, last_ms: now_ms });
        drop(remembered);
        let path = format!("/api/v1/namespaces/{}/events", encode(&subject.namespace));
        if let Err(error) = self.api.post(&path, &body(subject, self.kind, note, &event, now_ms)).await {
            // A silent server is told about once, and a namespace on its way out takes no events.
            match error.is_unanswered() || error.is_namespace_terminating() {
                true => tracing::debug!(about = subject.name, reason = note.reason, %error, "no event"),
                false => {
                    tracing::warn!(about = subject.name, reason = note.reason, %error, "cannot record an event");
                }
            }
        }
    }

    async fn count_again(&self, subject: &Subject, event: &str, count: u32, now_ms: i64) -> bool {
        let path = format!("/api/v1/namespaces/{}/events/{}", encode(&subject.namespace), encode(event));
        let patch = json!({ "count": count, "lastTimestamp": rfc3339_seconds(now_ms) });
        self.api.merge_patch(&path, &patch).await.is_ok()
    }
}

fn forget_oldest(remembered: &mut HashMap<(String, &'static str, String), Remembered>) {
    if remembered.len() < MAX_REMEMBERED {
        return;
    }
    let mut times: Vec<i64> = remembered.values().map(|known| known.last_ms).collect();
    times.sort_unstable();
    let median = times[times.len() / 2];
    remembered.retain(|_, known| known.last_ms > median);
}

fn body(subject: &Subject, hpa: ApiKind, note: &Note, event: &str, now_ms: i64) -> Value {
    let now = rfc3339_seconds(now_ms);
    let (api_version, kind, component) = subject.about.type_meta(hpa);
    let message = &note.message;
    let end = (0..=message.len().min(MAX_MESSAGE_BYTES))
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or(0);
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
        "message": &message[..end],
        "source": { "component": component },
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}
