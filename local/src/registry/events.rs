//! Events: what parts of the cluster have to say about an object, counted instead of repeated.

use std::sync::Arc;

use flyball_model::time::parse_rfc3339_ms;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::store::State;
use super::{Part, Registry, clock, json, kinds};

/// How long an Event is kept after it was last seen; upstream's default.
pub const EVENT_LIFETIME_MS: i64 = 60 * 60 * 1000;

/// Events kept at most; the ones not seen for longest go first.
pub const MAX_EVENTS: usize = 2000;

/// Pause between two searches for old Events.
const SWEEP_MS: i64 = 60 * 1000;

impl Registry {
    /// Says something about an object, as `kubectl describe` and `kubectl events` show it. The same words about the same
    /// object raise the count of one Event. Best effort: a refused Event is logged, never an error of the caller.
    pub fn record_event(&self, involved: &Value, kind: &str, reason: &str, message: &str, component: &str) {
        let namespace = match json::namespace(involved) {
            "" => "default",
            namespace => namespace,
        };
        let name = event_name(involved, &[kind, reason, message, component]);
        let now = clock::now_text();
        let counted = self.modify(&kinds::EVENTS, namespace, &name, Part::Spec, |event| {
            let count = json::int(event, "/count").unwrap_or(1) + 1;
            let event = json::object(event);
            event.insert("count".into(), count.into());
            event.insert("lastTimestamp".into(), now.clone().into());
        });
        if counted.is_ok() {
            return;
        }
        let event = json!({
            "metadata": {"name": name},
            "involvedObject": reference(involved),
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "eventTime": null,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
        });
        if let Err(status) = self.create(&kinds::EVENTS, namespace, event) {
            tracing::debug!(?status, reason, "event is not stored");
        }
        self.sweep_events();
    }

    /// Removes old Events now and then.
    pub fn sweep_events(&self) {
        let now_ms = clock::now_ms();
        let mut state = self.shared.lock();
        if now_ms - state.events_swept_ms < SWEEP_MS
            && state.shelf(&kinds::EVENTS).objects.len() <= MAX_EVENTS
        {
            return;
        }
        state.events_swept_ms = now_ms;
        for event in outdated(&state, now_ms) {
            let (namespace, name) = (json::namespace(&event), json::name(&event));
            state.remove_and_settle(self.shared.journal.as_ref(), &kinds::EVENTS, namespace, name);
        }
    }
}

fn outdated(state: &State, now_ms: i64) -> Vec<Arc<Value>> {
    let mut events: Vec<(i64, &Arc<Value>)> =
        state.shelf(&kinds::EVENTS).scan(None).map(|(_, event)| (last_seen_ms(event), event)).collect();
    events.sort_by_key(|(seen_ms, _)| *seen_ms);
    let surplus = events.len().saturating_sub(MAX_EVENTS);
    let old = events.partition_point(|(seen_ms, _)| now_ms - seen_ms > EVENT_LIFETIME_MS);
    events.into_iter().take(surplus.max(old)).map(|(_, event)| event.clone()).collect()
}

fn last_seen_ms(event: &Value) -> i64 {
    ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .into_iter()
        .find_map(|pointer| parse_rfc3339_ms(json::text(event, pointer)))
        .unwrap_or(0)
}

fn reference(object: &Value) -> Value {
    let mut reference = json!({
        "kind": json::text(object, "/kind"),
        "name": json::name(object),
        "uid": json::uid(object),
        "apiVersion": json::text(object, "/apiVersion"),
        "resourceVersion": json::text(object, "/metadata/resourceVersion"),
    });
    if !json::namespace(object).is_empty() {
        reference["namespace"] = json::namespace(object).into();
    }
    reference
}

/// The same words about the same object give the same name, which is what finds the Event to count up.
fn event_name(involved: &Value, words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in [json::uid(involved), json::text(involved, "/kind")].iter().chain(words) {
        hash.update(word);
        hash.update([0]);
    }
    let digest: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{digest}", json::name(involved))
}
