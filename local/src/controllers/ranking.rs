//! Which pods of a ReplicaSet go first when it shrinks.
//!
//! Follows kubernetes/kubernetes `pkg/controller/controller_utils.go` (`ActivePodsWithRanks.Less`), with logarithmic
//! comparison of ages. Ranks by node do not apply: there is one node.

use std::cmp::Ordering;

use serde_json::Value;

use super::object;

/// What of a pod decides its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Pod name.
    pub name: String,
    /// Pod UID, the last resort that keeps the order stable.
    pub uid: String,
    /// Bound to a node.
    pub assigned: bool,
    /// `status.phase`.
    pub phase: String,
    /// Since when the pod is ready, Unix milliseconds; `None` if it is not.
    pub ready_since_ms: Option<i64>,
    /// Annotation `controller.kubernetes.io/pod-deletion-cost`; 0 if absent or malformed.
    pub deletion_cost: i32,
    /// Most restarts of any container.
    pub restarts: i64,
    /// Creation in Unix milliseconds.
    pub created_ms: i64,
}

impl Candidate {
    /// Reads a pod object.
    pub fn of(pod: &Value) -> Self {
        let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
        let restarts = statuses.into_iter().flatten().map(|status| object::count(status, "/restartCount", 0));
        let ready = object::condition(pod, "Ready").filter(|ready| ready["status"] == "True");
        Self {
            name: object::name(pod).to_owned(),
            uid: object::uid(pod).to_owned(),
            assigned: !object::text(pod, "/spec/nodeName").is_empty(),
            phase: object::text(pod, "/status/phase").to_owned(),
            ready_since_ms: ready.map(|ready| object::time_ms(ready, "/lastTransitionTime").unwrap_or(0)),
            deletion_cost: object::annotation(pod, "controller.kubernetes.io/pod-deletion-cost")
                .and_then(|cost| cost.parse().ok())
                .unwrap_or(0),
            restarts: i64::from(restarts.max().unwrap_or(0)),
            created_ms: object::created_ms(pod),
        }
    }
}

/// The pods in the order in which they are deleted.
pub fn deletion_order(mut pods: Vec<Candidate>, now_ms: i64) -> Vec<Candidate> {
    pods.sort_by(|a, b| compare(a, b, now_ms));
    pods
}

fn compare(a: &Candidate, b: &Candidate, now_ms: i64) -> Ordering {
    let phase = |pod: &Candidate| match pod.phase.as_str() {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    a.assigned
        .cmp(&b.assigned)
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| a.ready_since_ms.is_some().cmp(&b.ready_since_ms.is_some()))
        .then_with(|| a.deletion_cost.cmp(&b.deletion_cost))
        .then_with(|| younger_first(a.ready_since_ms, b.ready_since_ms, now_ms))
        .then_with(|| b.restarts.cmp(&a.restarts))
        .then_with(|| younger_first(Some(a.created_ms), Some(b.created_ms), now_ms))
        .then_with(|| a.uid.cmp(&b.uid))
}

/// Ages in the same power of two are equal, so that scaling in does not always hit the newest pods.
fn younger_first(a_ms: Option<i64>, b_ms: Option<i64>, now_ms: i64) -> Ordering {
    let magnitude = |since_ms: Option<i64>| {
        let age = now_ms.saturating_sub(since_ms.unwrap_or(now_ms)).max(0);
        if age == 0 { -1 } else { i64::from(age.ilog2()) }
    };
    magnitude(a_ms).cmp(&magnitude(b_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Candidate {
        Candidate {
            name: name.to_owned(),
            uid: name.to_owned(),
            assigned: true,
            phase: "Running".to_owned(),
            ready_since_ms: Some(10_000),
            deletion_cost: 0,
            restarts: 0,
            created_ms: 5_000,
        }
    }

    #[test]
    fn order_is_upstreams() {
        let expected = vec![
            Candidate {
                assigned: false,
                phase: "Pending".to_owned(),
                ready_since_ms: None,
                ..pod("unassigned")
            },
            Candidate { phase: "Pending".to_owned(), ready_since_ms: None, ..pod("pending") },
            Candidate { phase: "Unknown".to_owned(), ready_since_ms: None, ..pod("unknown") },
            Candidate { ready_since_ms: None, ..pod("not-ready") },
            Candidate { deletion_cost: -5, ..pod("cheap") },
            Candidate { ready_since_ms: Some(1_999_000), ..pod("ready-lately") },
            Candidate { restarts: 3, ..pod("restarted") },
            Candidate { created_ms: 1_900_000, ..pod("young") },
            pod("z-old"),
            Candidate { deletion_cost: 9, ..pod("dear") },
        ];
        let mut shuffled = expected.clone();
        shuffled.reverse();
        shuffled.swap(2, 6);
        assert_eq!(deletion_order(shuffled, 2_000_000), expected);
    }

    #[test]
    fn reads_pod() {
        let pod = serde_json::json!({
            "metadata": {"name": "p", "uid": "u", "creationTimestamp": "1970-01-01T00:00:05Z",
                "annotations": {"controller.kubernetes.io/pod-deletion-cost": "7"}},
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "containerStatuses": [{"restartCount": 2}, {"restartCount": 4}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:10Z"}]},
        });
        let read = Candidate::of(&pod);
        assert_eq!((read.deletion_cost, read.restarts, read.created_ms), (7, 4, 5_000));
        assert_eq!(read.ready_since_ms, Some(10_000));
    }
}
