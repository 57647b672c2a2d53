//! Status of a Deployment: counts and the conditions `Available`, `Progressing` and `ReplicaFailure`.
//!
//! Follows kubernetes/kubernetes `pkg/controller/deployment/progress.go` and `sync.go` (`calculateStatus`), reasons and
//! messages included, since `kubectl rollout status` and people read them.

use serde_json::{Value, json};

use super::sizes::{Rollout, Set};
use crate::controllers::object::rfc3339;

/// A Deployment condition. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Available`, `Progressing` or `ReplicaFailure`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Last time anything of it was set anew.
    pub updated_ms: i64,
    /// Last time its status changed.
    pub changed_ms: i64,
}

/// Counts and conditions of a Deployment's status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Generation of the spec that the status belongs to.
    pub observed_generation: i64,
    /// Pods of all sets.
    pub replicas: i32,
    /// Pods of the current template.
    pub updated: i32,
    /// Ready pods.
    pub ready: i32,
    /// Pods ready for `minReadySeconds`.
    pub available: i32,
    /// Wanted pods that are not available.
    pub unavailable: i32,
    /// Conditions in the order in which they appeared.
    pub conditions: Vec<Condition>,
    /// Number of times the hash of the template was taken by another set's name.
    pub collisions: Option<i64>,
}

/// What the progress rules need besides the counts.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The Deployment's name, for messages.
    pub deployment: &'a str,
    /// The new set's name, for messages.
    pub new_set: Option<&'a str>,
    /// `spec.progressDeadlineSeconds`; `None` turns the condition off.
    pub deadline_seconds: Option<i32>,
    /// Generation of the spec.
    pub generation: i64,
    /// Unix milliseconds.
    pub now_ms: i64,
}

impl Status {
    /// The condition of a kind.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Sets a condition. Nothing changes if status and reason stay; the transition time stays if the status does.
    pub fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: String, now_ms: i64) {
        let mut changed_ms = now_ms;
        if let Some(current) = self.condition(kind) {
            if current.status == status && current.reason == reason {
                return;
            }
            if current.status == status {
                changed_ms = current.changed_ms;
            }
        }
        self.replace(Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            updated_ms: now_ms,
            changed_ms,
        });
    }

    fn replace(&mut self, condition: Condition) {
        match self.conditions.iter_mut().find(|known| known.kind == condition.kind) {
            Some(slot) => *slot = condition,
            None => self.conditions.push(condition),
        }
    }

    fn remove_condition(&mut self, kind: &str) {
        self.conditions.retain(|condition| condition.kind != kind);
    }

    /// True once every wanted pod is of the current template and available, and no other is left.
    pub fn is_complete(&self, rollout: &Rollout, generation: i64) -> bool {
        self.updated == rollout.replicas
            && self.replicas == rollout.replicas
            && self.available == rollout.replicas
            && self.observed_generation >= generation
    }

    /// The `status` object as the API writes it; counts of zero are left out, as upstream.
    pub fn to_json(&self) -> Value {
        let mut status = json!({ "observedGeneration": self.observed_generation });
        let counts = [
            ("replicas", self.replicas),
            ("updatedReplicas", self.updated),
            ("readyReplicas", self.ready),
            ("availableReplicas", self.available),
            ("unavailableReplicas", self.unavailable),
        ];
        for (field, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
            status[field] = json!(count);
        }
        if let Some(collisions) = self.collisions {
            status["collisionCount"] = json!(collisions);
        }
        let write = |condition: &Condition| {
            json!({
                "type": condition.kind, "status": condition.status, "reason": condition.reason,
                "message": condition.message, "lastUpdateTime": rfc3339(condition.updated_ms),
                "lastTransitionTime": rfc3339(condition.changed_ms),
            })
        };
        status["conditions"] = self.conditions.iter().map(write).collect();
        status
    }
}

/// Counts and `Available` out of the sets; other conditions are taken over from `before`.
pub fn counted(
    rollout: &Rollout,
    new: Option<&Set>,
    all: &[Set],
    before: &Status,
    at: Progress<'_>,
) -> Status {
    let sum = |field: fn(&Set) -> i32| all.iter().map(field).sum::<i32>();
    let available = sum(|set| set.available);
    let mut status = Status {
        observed_generation: at.generation,
        replicas: sum(|set| set.actual),
        updated: new.map_or(0, |new| new.actual),
        ready: sum(|set| set.ready),
        available,
        unavailable: (sum(|set| set.replicas) - available).max(0),
        conditions: before.conditions.clone(),
        collisions: before.collisions,
    };
    let (word, reason, message) = if available >= rollout.replicas - rollout.max_unavailable() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    status.set_condition("Available", word, reason, message.to_owned(), at.now_ms);
    status
}

/// Sets `Progressing` by comparing the status with the one before.
pub fn judge_progress(status: &mut Status, before: &Status, rollout: &Rollout, at: Progress<'_>) {
    let Some(deadline_seconds) = at.deadline_seconds else {
        status.remove_condition("Progressing");
        return;
    };
    let current = before.condition("Progressing").cloned();
    let settled = status.replicas == status.updated
        && current.as_ref().is_some_and(|current| current.reason == "NewReplicaSetAvailable");
    if settled {
        return;
    }
    let subject = match at.new_set {
        Some(set) => format!("ReplicaSet {set:?}"),
        None => format!("Deployment {:?}", at.deployment),
    };
    if status.is_complete(rollout, at.generation) {
        let message = format!("{subject} has successfully progressed.");
        status.set_condition("Progressing", "True", "NewReplicaSetAvailable", message, at.now_ms);
    } else if has_progressed(status, before) {
        // The update time must move with every step, even if status and reason stay: the deadline counts from it.
        let kept = current.filter(|current| current.status == "True").map(|current| current.changed_ms);
        status.replace(Condition {
            kind: "Progressing".to_owned(),
            status: "True".to_owned(),
            reason: "ReplicaSetUpdated".to_owned(),
            message: format!("{subject} is progressing."),
            updated_ms: at.now_ms,
            changed_ms: kept.unwrap_or(at.now_ms),
        });
    } else if deadline_ms(before, deadline_seconds).is_some_and(|due_ms| due_ms < at.now_ms) {
        let message = format!("{subject} has timed out progressing.");
        status.set_condition("Progressing", "False", "ProgressDeadlineExceeded", message, at.now_ms);
    }
}

/// When a rollout that makes no progress counts as stuck, in Unix milliseconds; `None` if it is done or already stuck.
pub fn deadline_ms(status: &Status, deadline_seconds: i32) -> Option<i64> {
    let current = status.condition("Progressing")?;
    let open = !matches!(current.reason.as_str(), "NewReplicaSetAvailable" | "ProgressDeadlineExceeded");
    open.then(|| current.updated_ms + i64::from(deadline_seconds) * 1000)
}

fn has_progressed(now: &Status, before: &Status) -> bool {
    now.updated > before.updated
        || now.replicas - now.updated < before.replicas - before.updated
        || now.ready > before.ready
        || now.available > before.available
}

/// Marks a paused or resumed Deployment, so that the time it was paused does not count towards the deadline.
pub fn note_pause(status: &mut Status, paused: bool, has_deadline: bool, now_ms: i64) {
    let reason = status.condition("Progressing").map(|condition| condition.reason.clone());
    if !has_deadline || reason.as_deref() == Some("ProgressDeadlineExceeded") {
        return;
    }
    let noted = reason.as_deref() == Some("DeploymentPaused");
    if paused && !noted {
        let message = "Deployment is paused".to_owned();
        status.set_condition("Progressing", "Unknown", "DeploymentPaused", message, now_ms);
    } else if !paused && noted {
        let message = "Deployment is resumed".to_owned();
        status.set_condition("Progressing", "Unknown", "DeploymentResumed", message, now_ms);
    }
}

/// Copies `ReplicaFailure` from a set that has it, or removes it.
pub fn copy_failure(status: &mut Status, failure: Option<(String, String)>, now_ms: i64) {
    match failure {
        Some((reason, message)) => status.set_condition("ReplicaFailure", "True", &reason, message, now_ms),
        None => status.remove_condition("ReplicaFailure"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sizes::{Share, Strategy};
    use super::*;

    const ROLLOUT: Rollout = Rollout {
        replicas: 2,
        strategy: Strategy::RollingUpdate { max_surge: Share::Pods(1), max_unavailable: Share::Pods(0) },
    };

    fn at(now_ms: i64) -> Progress<'static> {
        Progress {
            deployment: "web",
            new_set: Some("web-1"),
            deadline_seconds: Some(600),
            generation: 3,
            now_ms,
        }
    }

    fn set(actual: i32, available: i32) -> Set {
        Set {
            name: "web-1".to_owned(),
            created_ms: 0,
            replicas: 2,
            actual,
            ready: available,
            available,
            revision: 1,
            desired_noted: Some(2),
            max_noted: Some(3),
            observed: true,
            deleting: false,
        }
    }

    fn step(before: &Status, actual: i32, available: i32, now_ms: i64) -> Status {
        let new = set(actual, available);
        let mut status = counted(&ROLLOUT, Some(&new), std::slice::from_ref(&new), before, at(now_ms));
        judge_progress(&mut status, before, &ROLLOUT, at(now_ms));
        status
    }

    fn reason(status: &Status) -> &str {
        status.condition("Progressing").map_or("", |condition| condition.reason.as_str())
    }

    #[test]
    fn rollout_progresses_and_completes() {
        let mut before = Status::default();
        before.set_condition("Progressing", "True", "NewReplicaSetReason", String::new(), 0);
        let first = step(&before, 2, 0, 1_000);
        assert_eq!(reason(&first), "ReplicaSetUpdated");
        assert_eq!(first.condition("Available").map(|c| c.status.as_str()), Some("False"));
        let done = step(&first, 2, 2, 5_000);
        assert_eq!(reason(&done), "NewReplicaSetAvailable");
        let message = done.condition("Progressing").map(|c| c.message.as_str());
        assert_eq!(message, Some("ReplicaSet \"web-1\" has successfully progressed."));
        assert_eq!(
            done.condition("Progressing").map(|c| c.changed_ms),
            Some(0),
            "status was True throughout"
        );
        assert!(done.is_complete(&ROLLOUT, 3));
        // A settled Deployment that loses a pod stays settled: only availability changes.
        let lost = step(&done, 2, 1, 9_000);
        assert_eq!(reason(&lost), "NewReplicaSetAvailable");
        assert_eq!(lost.condition("Available").map(|c| c.status.as_str()), Some("False"));
    }

    #[test]
    fn deadline_passes_only_without_progress() {
        let mut before = step(&Status::default(), 1, 0, 0);
        assert_eq!(reason(&before), "ReplicaSetUpdated");
        assert_eq!(deadline_ms(&before, 600), Some(600_000));
        before = step(&before, 1, 0, 600_000);
        assert_eq!(reason(&before), "ReplicaSetUpdated");
        before = step(&before, 1, 0, 600_001);
        assert_eq!(reason(&before), "ProgressDeadlineExceeded");
        assert_eq!(deadline_ms(&before, 600), None);
    }

    #[test]
    fn pause_is_noted_once_each_way() {
        let mut status = Status::default();
        note_pause(&mut status, true, true, 1);
        assert_eq!(reason(&status), "DeploymentPaused");
        note_pause(&mut status, false, true, 2);
        assert_eq!(reason(&status), "DeploymentResumed");
        let mut off = Status::default();
        note_pause(&mut off, true, false, 1);
        assert_eq!(off, Status::default());
    }
}
