//! What a kubelet without containers does next with a pod: a pure function of the object and the time.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use flyball_model::time::parse_go_duration;

use super::objects::{PodFacts, pod_status};
use crate::kubelets::demand::{READY, STARTUP};
use crate::kubelets::pod::{SimulatedPod, is_ready};

/// Longest time a pod takes to end, whatever its grace period is.
pub const ENDING_LIMIT_MS: i64 = 1_000;

/// The next step.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing until the object changes.
    Rest,
    /// Look again at this time, Unix milliseconds.
    Wait(i64),
    /// Write this status; afterwards look again.
    Write(Value),
    /// The pod has ended: remove the object.
    Remove,
}

/// What is known beside the object.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Address of the node.
    pub host_ip: &'a str,
    /// Address for the pod, unless it has one.
    pub pod_ip: &'a str,
    /// Start-up time, unless the pod says its own.
    pub startup: Duration,
    /// When its deletion was seen first.
    pub ending_ms: Option<i64>,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
}

/// Decides.
#[must_use]
pub fn next(pod: &Pod, known: Known<'_>) -> Step {
    if let Some(ending_ms) = known.ending_ms {
        let grace_ms = pod.metadata.deletion_grace_period_seconds.unwrap_or(0).saturating_mul(1000);
        let end_ms = ending_ms + grace_ms.clamp(0, ENDING_LIMIT_MS);
        return if known.now_ms >= end_ms { Step::Remove } else { Step::Wait(end_ms) };
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    if matches!(phase, "Succeeded" | "Failed") {
        return Step::Rest;
    }
    let startup_ms = i64::try_from(startup(pod).unwrap_or(known.startup).as_millis()).unwrap_or(i64::MAX);
    let wanted = annotation(pod, READY) != Some("false");
    let Some(started_ms) = started_ms(pod).filter(|_| phase == "Running") else {
        return write(pod, known, known.now_ms, wanted && startup_ms == 0);
    };
    let ready_ms = started_ms.saturating_add(startup_ms);
    let ready = wanted && known.now_ms >= ready_ms;
    if ready != is_ready(pod) {
        write(pod, known, started_ms, ready)
    } else if wanted && !ready {
        Step::Wait(ready_ms)
    } else {
        Step::Rest
    }
}

fn write(pod: &Pod, known: Known<'_>, started_ms: i64, ready: bool) -> Step {
    let present = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    let pod_ip = present.unwrap_or(known.pod_ip);
    Step::Write(pod_status(
        pod,
        PodFacts { host_ip: known.host_ip, pod_ip, started_ms, ready, now_ms: known.now_ms },
    ))
}

/// When the last of its containers was started; `None` before.
fn started_ms(pod: &Pod) -> Option<i64> {
    let pod = SimulatedPod::from_object(pod).ok()?;
    pod.containers.iter().map(|container| container.started_ms).max()
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn startup(pod: &Pod) -> Option<Duration> {
    parse_go_duration(annotation(pod, STARTUP)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(change: Value) -> Pod {
        let mut pod = json!({
            "metadata": { "name": "p", "namespace": "n", "uid": "0-1" },
            "spec": { "nodeName": "sim-0", "containers": [{ "name": "main", "image": "i" }] },
            "status": { "phase": "Pending" },
        });
        json_patch::merge(&mut pod, &change);
        serde_json::from_value(pod).unwrap()
    }

    fn running(ready: &str) -> Value {
        json!({ "status": {
            "phase": "Running",
            "podIP": "100.64.0.9",
            "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:05Z" }],
            "containerStatuses": [{
                "name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": { "startedAt": "1970-01-01T00:00:10Z" } },
            }],
        }})
    }

    fn known(startup_seconds: u64, now_ms: i64) -> Known<'static> {
        let startup = Duration::from_secs(startup_seconds);
        Known { host_ip: "198.19.0.10", pod_ip: "100.64.0.1", startup, ending_ms: None, now_ms }
    }

    fn written(step: Step) -> Value {
        match step {
            Step::Write(patch) => patch["status"].clone(),
            other => panic!("{other:?}"),
        }
    }

    fn ready_of(status: &Value) -> (&str, &str) {
        let ready =
            status["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap();
        (ready["status"].as_str().unwrap(), ready["lastTransitionTime"].as_str().unwrap())
    }

    #[test]
    fn a_bound_pod_runs_and_is_ready_at_once_without_a_startup_time() {
        let status = written(next(&pod(json!({})), known(0, 20_000)));
        assert_eq!(status["phase"], "Running");
        assert_eq!(status["podIP"], "100.64.0.1");
        assert_eq!(status["containerStatuses"][0]["state"]["running"]["startedAt"], "1970-01-01T00:00:20Z");
        assert_eq!(ready_of(&status), ("True", "1970-01-01T00:00:20Z"));
    }

    #[test]
    fn with_a_startup_time_it_becomes_ready_later() {
        let status = written(next(&pod(json!({})), known(5, 10_000)));
        assert_eq!(ready_of(&status).0, "False");
        let starting = pod(running("False"));
        assert_eq!(next(&starting, known(5, 12_000)), Step::Wait(15_000));
        let status = written(next(&starting, known(5, 15_000)));
        assert_eq!(ready_of(&status), ("True", "1970-01-01T00:00:15Z"));
        assert_eq!(status["podIP"], "100.64.0.9", "its address stays");
        assert_eq!(next(&pod(running("True")), known(5, 16_000)), Step::Rest);
    }

    #[test]
    fn the_annotations_decide_readiness() {
        let mut unready = running("True");
        unready["metadata"] = json!({ "annotations": { READY: "false" } });
        assert_eq!(ready_of(&written(next(&pod(unready.clone()), known(0, 60_000)))).0, "False");
        unready["status"]["conditions"][0]["status"] = "False".into();
        assert_eq!(next(&pod(unready), known(0, 60_000)), Step::Rest);
        let slow = json!({ "metadata": { "annotations": { STARTUP: "1m" } } });
        assert_eq!(ready_of(&written(next(&pod(slow), known(0, 0)))).0, "False");
    }

    #[test]
    fn a_deleted_pod_ends_after_at_most_a_second() {
        let deleted = |grace: i64| {
            pod(json!({ "metadata": {
                "deletionTimestamp": "1970-01-01T00:01:00Z", "deletionGracePeriodSeconds": grace,
            }}))
        };
        let at = |now_ms| Known { ending_ms: Some(30_000), ..known(0, now_ms) };
        assert_eq!(next(&deleted(30), at(30_500)), Step::Wait(31_000));
        assert_eq!(next(&deleted(30), at(31_000)), Step::Remove);
        assert_eq!(next(&deleted(0), at(30_000)), Step::Remove);
    }

    #[test]
    fn a_finished_pod_is_left_alone() {
        assert_eq!(next(&pod(json!({ "status": { "phase": "Failed" } })), known(0, 1)), Step::Rest);
    }

    #[test]
    fn init_containers_are_done_and_sidecars_run() {
        let spec = json!({ "spec": { "initContainers": [
            { "name": "prepare", "image": "i" }, { "name": "proxy", "image": "i", "restartPolicy": "Always" },
        ]}});
        let status = written(next(&pod(spec), known(0, 1_000)));
        let init = &status["initContainerStatuses"];
        assert_eq!(init[0]["state"]["terminated"]["reason"], "Completed");
        assert_eq!(init[1]["state"]["running"]["startedAt"], "1970-01-01T00:00:01Z");
        assert_eq!(init[1]["containerID"].as_str().unwrap().len(), "containerd://".len() + 64);
    }
}
