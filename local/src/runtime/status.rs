//! A pod's status out of what the runtime knows of its containers. Pure.
//!
//! Follows kubernetes/kubernetes `pkg/kubelet/kubelet_pods.go` (`getPhase`) and `pkg/kubelet/status/generate.go`.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use crate::controllers::object::{self, rfc3339};

/// How a run of a container ended. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The run's 64 hexadecimal digits.
    pub id: String,
    /// Exit code; 128 plus the signal's number if a signal ended it.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled` or `Unknown`.
    pub reason: String,
    /// One sentence, or empty.
    pub message: String,
    /// Start of the run.
    pub started_ms: i64,
    /// End of the run.
    pub finished_ms: i64,
}

/// What a container does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not running, with reason and message.
    Waiting(String, String),
    /// Running since then, Unix milliseconds.
    Running(i64),
    /// Ended for good, or until its back-off begins.
    Terminated(Ended),
}

/// What the runtime knows of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerReport {
    /// Container name.
    pub name: String,
    /// Image as in the spec.
    pub image: String,
    /// The newest run's 64 hexadecimal digits; `None` before the first.
    pub id: Option<String>,
    /// What it does now.
    pub state: State,
    /// How the run before ended.
    pub last: Option<Ended>,
    /// Passes its readiness probe, or has none and runs.
    pub ready: bool,
    /// Passed its startup probe, or has none and runs.
    pub started: bool,
    /// Runs after the first.
    pub restarts: u32,
}

impl ContainerReport {
    fn is_done(&self) -> bool {
        matches!(&self.state, State::Terminated(ended) if ended.exit_code == 0)
    }

    fn to_json(&self) -> Value {
        let mut status = json!({
            "name": self.name, "image": self.image, "imageID": "", "ready": self.ready, "started": self.started,
            "restartCount": self.restarts, "state": state_json(&self.state),
            "lastState": self.last.as_ref().map_or_else(|| json!({}), |ended| json!({"terminated": ended_json(ended)})),
        });
        if let Some(id) = &self.id {
            status["containerID"] = json!(container_id(id));
        }
        status
    }
}

/// `flyball://<64 hexadecimal digits>`.
pub fn container_id(id: &str) -> String {
    format!("flyball://{id}")
}

fn state_json(state: &State) -> Value {
    match state {
        State::Waiting(reason, message) if message.is_empty() => json!({ "waiting": { "reason": reason } }),
        State::Waiting(reason, message) => json!({ "waiting": { "reason": reason, "message": message } }),
        State::Running(since_ms) => json!({ "running": { "startedAt": rfc3339(*since_ms) } }),
        State::Terminated(ended) => json!({ "terminated": ended_json(ended) }),
    }
}

fn ended_json(ended: &Ended) -> Value {
    let mut terminated = json!({
        "containerID": container_id(&ended.id), "exitCode": ended.exit_code, "reason": ended.reason,
        "startedAt": rfc3339(ended.started_ms), "finishedAt": rfc3339(ended.finished_ms),
    });
    if !ended.message.is_empty() {
        terminated["message"] = json!(ended.message);
    }
    terminated
}

/// What the runtime knows of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodReport {
    /// Init containers in order.
    pub init: Vec<ContainerReport>,
    /// Containers in order.
    pub containers: Vec<ContainerReport>,
    /// `spec.restartPolicy`.
    pub policy: String,
    /// The pod's address.
    pub pod_ip: String,
    /// The node's address.
    pub host_ip: String,
    /// When the runtime took the pod on, Unix milliseconds.
    pub started_ms: i64,
    /// `status.qosClass`.
    pub qos_class: &'static str,
}

/// What is known of a pod when the runtime takes it on: all containers wait; of a pod that ran before under an earlier
/// process of this cluster, restart counts and the last states are taken over, and what had ended for good stays ended.
pub fn resume(pod: &Value, spec: &PodSpec, now_ms: i64) -> PodReport {
    let policy = spec.restart_policy.clone().unwrap_or_else(|| "Always".to_owned());
    let report = |container: &k8s_openapi::api::core::v1::Container, field: &str, waiting: &str| {
        let known = pod.pointer(&format!("/status/{field}")).and_then(Value::as_array);
        let known = known.into_iter().flatten().find(|status| status["name"] == container.name.as_str());
        resume_container(
            &container.name,
            container.image.as_deref().unwrap_or(""),
            known,
            waiting,
            &policy,
            now_ms,
        )
    };
    let init: Vec<ContainerReport> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|c| report(c, "initContainerStatuses", "PodInitializing"))
        .collect();
    let waiting = if init.is_empty() { "ContainerCreating" } else { "PodInitializing" };
    let containers = spec.containers.iter().map(|c| report(c, "containerStatuses", waiting)).collect();
    PodReport {
        init,
        containers,
        policy: policy.clone(),
        pod_ip: String::new(),
        host_ip: String::new(),
        started_ms: object::time_ms(pod, "/status/startTime").unwrap_or(now_ms),
        qos_class: super::limits::qos(spec).class(),
    }
}

fn resume_container(
    name: &str,
    image: &str,
    known: Option<&Value>,
    waiting: &str,
    policy: &str,
    now_ms: i64,
) -> ContainerReport {
    let mut report = ContainerReport {
        name: name.to_owned(),
        image: image.to_owned(),
        id: None,
        state: State::Waiting(waiting.to_owned(), String::new()),
        last: None,
        ready: false,
        started: false,
        restarts: 0,
    };
    let Some(known) = known else { return report };
    report.restarts = known["restartCount"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let id = known["containerID"].as_str().and_then(|id| id.strip_prefix("flyball://"));
    let Some(id) = id else { return report };
    report.id = Some(id.to_owned());
    if let Some(ended) = read_ended(&known["state"]["terminated"]) {
        if !super::backoff::restarts(policy, ended.exit_code == 0) {
            report.state = State::Terminated(ended);
            return report;
        }
        report.last = Some(ended);
    } else if known["state"].get("running").is_some() {
        let lost = Ended {
            id: id.to_owned(),
            exit_code: 255,
            reason: "Unknown".to_owned(),
            message: "the process that ran this container ended".to_owned(),
            started_ms: object::time_ms(known, "/state/running/startedAt").unwrap_or(now_ms),
            finished_ms: now_ms,
        };
        if policy == "Never" {
            report.state = State::Terminated(lost);
            return report;
        }
        report.last = Some(lost);
    } else {
        report.last = read_ended(&known["lastState"]["terminated"]);
    }
    report
}

fn read_ended(terminated: &Value) -> Option<Ended> {
    let exit_code = terminated.get("exitCode")?.as_i64()?;
    let id = object::text(terminated, "/containerID");
    Some(Ended {
        id: id.strip_prefix("flyball://").unwrap_or(id).to_owned(),
        exit_code: i32::try_from(exit_code).unwrap_or(255),
        reason: object::text(terminated, "/reason").to_owned(),
        message: object::text(terminated, "/message").to_owned(),
        started_ms: object::time_ms(terminated, "/startedAt").unwrap_or(0),
        finished_ms: object::time_ms(terminated, "/finishedAt").unwrap_or(0),
    })
}

/// The pod's phase.
pub fn phase(report: &PodReport) -> &'static str {
    let never = report.policy == "Never";
    for init in &report.init {
        match &init.state {
            State::Terminated(ended) if ended.exit_code == 0 => {}
            State::Terminated(_) if never => return "Failed",
            _ => return "Pending",
        }
    }
    let (mut waiting, mut running, mut ended, mut succeeded) = (0, 0, 0, 0);
    for container in &report.containers {
        match &container.state {
            State::Running(_) => running += 1,
            State::Terminated(end) => {
                ended += 1;
                succeeded += usize::from(end.exit_code == 0);
            }
            // Between two runs a container counts as ended, else the phase would flap.
            State::Waiting(..) if container.last.is_some() => ended += 1,
            State::Waiting(..) => waiting += 1,
        }
    }
    match () {
        () if waiting > 0 => "Pending",
        () if running > 0 || ended == 0 => "Running",
        () if report.policy == "Always" => "Running",
        () if ended == succeeded => "Succeeded",
        () if never => "Failed",
        () => "Running",
    }
}

/// The whole `status` object. `before` is the status so far: transition times and conditions of others are kept.
pub fn compose(report: &PodReport, before: &Value, now_ms: i64) -> Value {
    let phase = phase(report);
    let mut status = json!({
        "phase": phase,
        "conditions": conditions(report, phase, before, now_ms),
        "hostIP": report.host_ip,
        "hostIPs": [{ "ip": report.host_ip }],
        "startTime": rfc3339(report.started_ms),
        "qosClass": report.qos_class,
        "containerStatuses": report.containers.iter().map(ContainerReport::to_json).collect::<Vec<_>>(),
    });
    if !report.pod_ip.is_empty() {
        status["podIP"] = json!(report.pod_ip);
        status["podIPs"] = json!([{ "ip": report.pod_ip }]);
    }
    if !report.init.is_empty() {
        status["initContainerStatuses"] = report.init.iter().map(ContainerReport::to_json).collect();
    }
    status
}

fn conditions(report: &PodReport, phase: &str, before: &Value, now_ms: i64) -> Vec<Value> {
    let unfinished: Vec<&str> =
        report.init.iter().filter(|init| !init.is_done()).map(|init| init.name.as_str()).collect();
    let unready: Vec<&str> =
        report.containers.iter().filter(|c| !c.ready).map(|container| container.name.as_str()).collect();
    let initialized = match phase {
        "Succeeded" => Judgement { status: true, reason: "PodCompleted", message: String::new() },
        _ => Judgement::all("ContainersNotInitialized", "containers with incomplete status", &unfinished),
    };
    let ready = match phase {
        "Succeeded" => Judgement { status: false, reason: "PodCompleted", message: String::new() },
        "Failed" => Judgement { status: false, reason: "PodFailed", message: String::new() },
        _ => Judgement::all("ContainersNotReady", "containers with unready status", &unready),
    };
    let known = before.get("conditions").and_then(Value::as_array);
    let known: Vec<&Value> = known.into_iter().flatten().collect();
    let judged = [("Initialized", &initialized), ("Ready", &ready), ("ContainersReady", &ready)];
    let mut written: Vec<Value> = judged
        .iter()
        .map(|(kind, judgement)| judgement.condition(kind, known.iter().find(|c| c["type"] == *kind), now_ms))
        .collect();
    let others = known.iter().filter(|condition| judged.iter().all(|(kind, _)| condition["type"] != *kind));
    written.extend(others.map(|condition| (*condition).clone()));
    written
}

struct Judgement {
    status: bool,
    reason: &'static str,
    message: String,
}

impl Judgement {
    fn all(reason: &'static str, what: &str, missing: &[&str]) -> Self {
        if missing.is_empty() {
            return Self { status: true, reason: "", message: String::new() };
        }
        Self { status: false, reason, message: format!("{what}: [{}]", missing.join(" ")) }
    }

    fn condition(&self, kind: &str, known: Option<&&Value>, now_ms: i64) -> Value {
        let status = if self.status { "True" } else { "False" };
        let same = known.filter(|known| known["status"] == status);
        let since = same.map_or_else(|| json!(rfc3339(now_ms)), |known| known["lastTransitionTime"].clone());
        let mut condition =
            json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": since });
        if !self.reason.is_empty() {
            condition["reason"] = json!(self.reason);
        }
        if !self.message.is_empty() {
            condition["message"] = json!(self.message);
        }
        condition
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
