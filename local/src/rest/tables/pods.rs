//! Pods: upstream's `printPod`.

use flyball_apiserver::table::Column;
use flyball_model::time::{parse_rfc3339_ms, short_age};
use serde_json::Value;

use super::cells::{AGE, NAME, age, count, name, or_none};
use crate::registry::json::{items, text};

pub(super) fn columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Ready", "", "The aggregate readiness state of this pod for accepting traffic."),
        Column::new("Status", "", "The aggregate status of the containers in this pod."),
        Column::new("Restarts", "", "The number of times the containers in this pod have been restarted."),
        AGE,
        Column::new("IP", "", "IP address allocated to the pod.").wide(),
        Column::new("Node", "", "Node the pod is bound to.").wide(),
        Column::new("Nominated Node", "", "Node that may be freed for the pod.").wide(),
        Column::new("Readiness Gates", "", "Conditions that must hold before the pod is ready.").wide(),
    ]
}

pub(super) fn cells(pod: &Value, now_ms: i64) -> Vec<Value> {
    let summary = summary(pod);
    let restarts = match summary.last_restart_ms {
        Some(last_ms) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, short_age((now_ms - last_ms).max(0) / 1000))
        }
        _ => summary.restarts.to_string(),
    };
    let ready = format!("{}/{}", summary.ready, items(pod, "/spec/containers").len());
    let at = |pointer| Value::from(or_none(text(pod, pointer)));
    vec![
        name(pod),
        ready.into(),
        summary.status.into(),
        restarts.into(),
        age(pod, now_ms),
        at("/status/podIP"),
        at("/spec/nodeName"),
        at("/status/nominatedNodeName"),
        readiness_gates(pod).into(),
    ]
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return or_none("");
    }
    let holds = |gate: &&Value| {
        items(pod, "/status/conditions").iter().any(|condition| {
            text(condition, "/type") == text(gate, "/conditionType") && text(condition, "/status") == "True"
        })
    };
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
}

struct Summary {
    status: String,
    ready: usize,
    restarts: i64,
    last_restart_ms: Option<i64>,
}

fn summary(pod: &Value) -> Summary {
    let mut summary = Summary {
        status: first_of(&[text(pod, "/status/reason"), text(pod, "/status/phase")]),
        ready: 0,
        restarts: 0,
        last_restart_ms: None,
    };
    if !initializing(pod, &mut summary) {
        running(pod, &mut summary);
    }
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        let lost = text(pod, "/status/reason") == "NodeLost";
        let ended = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        if lost {
            summary.status = "Unknown".to_owned();
        } else if !ended {
            summary.status = "Terminating".to_owned();
        }
    }
    summary
}

/// Takes the state of init containers; true while they decide what the pod's status is.
fn initializing(pod: &Value, summary: &mut Summary) -> bool {
    let statuses = items(pod, "/status/initContainerStatuses");
    let total = items(pod, "/spec/initContainers").len();
    for (index, status) in statuses.iter().enumerate() {
        restarted(status, summary);
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|state| count(state, "/exitCode") == 0) {
            continue;
        }
        summary.status = match (terminated, text(status, "/state/waiting/reason")) {
            (Some(state), _) => format!("Init:{}", ended(state)),
            (None, reason) if !reason.is_empty() && reason != "PodInitializing" => format!("Init:{reason}"),
            _ => format!("Init:{index}/{total}"),
        };
        return true;
    }
    false
}

fn running(pod: &Value, summary: &mut Summary) {
    summary.restarts = 0;
    summary.last_restart_ms = None;
    let mut any_running = false;
    for status in items(pod, "/status/containerStatuses").iter().rev() {
        restarted(status, summary);
        let waiting = text(status, "/state/waiting/reason");
        let ready = status.get("ready").and_then(Value::as_bool).unwrap_or(false);
        if !waiting.is_empty() {
            summary.status = waiting.to_owned();
        } else if let Some(state) = status.pointer("/state/terminated") {
            summary.status = ended(state);
        } else if ready && status.pointer("/state/running").is_some() {
            any_running = true;
            summary.ready += 1;
        }
    }
    if summary.status == "Completed" && any_running {
        let ready = items(pod, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True");
        summary.status = if ready { "Running" } else { "NotReady" }.to_owned();
    }
}

fn restarted(status: &Value, summary: &mut Summary) {
    summary.restarts += count(status, "/restartCount");
    let last_ms = parse_rfc3339_ms(text(status, "/lastState/terminated/finishedAt"));
    summary.last_restart_ms = summary.last_restart_ms.max(last_ms);
}

fn ended(state: &Value) -> String {
    match (text(state, "/reason"), count(state, "/signal")) {
        ("", 0) => format!("ExitCode:{}", count(state, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn first_of(texts: &[&str]) -> String {
    texts.iter().find(|text| !text.is_empty()).copied().unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(pod: Value, expected: [&str; 3]) {
        let cells = cells(&pod, 120_000);
        assert_eq!([&cells[1], &cells[2], &cells[3]].map(|cell| cell.as_str().unwrap()), expected);
    }

    #[test]
    fn status_is_the_most_telling_state() {
        let spec = json!({"containers": [{"name": "a"}]});
        check(json!({"spec": spec, "status": {"phase": "Pending"}}), ["0/1", "Pending", "0"]);
        check(
            json!({"spec": spec, "status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "restartCount": 0, "state": {"running": {}}}]}}),
            ["1/1", "Running", "0"],
        );
        check(
            json!({"spec": spec, "status": {"phase": "Running", "containerStatuses": [
                {"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"finishedAt": "1970-01-01T00:01:00Z"}}}]}}),
            ["0/1", "CrashLoopBackOff", "2 (60s ago)"],
        );
        check(
            json!({"metadata": {"deletionTimestamp": "x"}, "spec": spec, "status": {"phase": "Running"}}),
            ["0/1", "Terminating", "0"],
        );
        check(
            json!({"spec": {"containers": [{}], "initContainers": [{}, {}]}, "status": {"phase": "Pending",
                "initContainerStatuses": [{"state": {"terminated": {"exitCode": 0}}}, {"state": {"running": {}}}]}}),
            ["0/1", "Init:1/2", "0"],
        );
    }
}
