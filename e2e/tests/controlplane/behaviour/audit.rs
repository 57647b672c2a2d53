//! What the API server's audit log says about the writes of our autoscaler.

use std::path::PathBuf;

use flyball_e2e::plane::{Part, Plane};
use serde_json::{Value, json};

/// User of all replicas of the autoscaler.
const USER: &str = "system:serviceaccount:flyball-system:flyball-hpa";

/// A write that the API server accepted.
#[derive(Debug, Clone)]
pub struct Write {
    /// The token it was made with, by its id: every process has its own.
    pub who: String,
    /// When the request arrived, and when it was answered; these texts sort as times.
    pub arrived: String,
    pub answered: String,
    /// Such as `deployments/scale`.
    pub resource: String,
    /// Name of the object.
    pub name: String,
    /// What was written.
    pub object: Value,
}

impl Write {
    /// The replicas that a write of a scale asked for.
    pub fn replicas(&self) -> Option<i64> {
        let is_scale = self.resource.ends_with("/scale");
        is_scale.then(|| self.object["spec"]["replicas"].as_i64().unwrap_or(0))
    }
}

fn log(plane: &Plane) -> PathBuf {
    plane.folder().join("logs/audit")
}

/// Has the API server keep an audit log from now on, which takes a restart of it.
pub fn keep(plane: &Plane) {
    if log(plane).exists() {
        return;
    }
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Request", "users": [USER], "verbs": ["create", "update", "patch"], "resources": [
                {"group": "apps"},
                {"group": "e2e.flyball.io"},
                {"group": "autoscaling"},
                {"group": "coordination.k8s.io"},
            ]},
            {"level": "None"},
        ],
    });
    let file = plane.folder().join("audit-policy.json");
    std::fs::write(&file, policy.to_string()).expect("the policy is written");
    let flags = [
        format!("--audit-policy-file={}", file.display()),
        format!("--audit-log-path={}", log(plane).display()),
    ];
    plane.set_flags(Part::ApiServer, &flags.each_ref().map(String::as_str));
    // Asked to end, it would wait a minute for those who watch.
    plane.kill(Part::ApiServer);
    plane.start_part(Part::ApiServer);
}

/// All writes up to now, in the order of their arrival.
pub fn writes(plane: &Plane) -> Vec<Write> {
    let text = std::fs::read_to_string(log(plane)).expect("there is an audit log");
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut writes: Vec<_> = events.filter_map(|event| write(&event)).collect();
    writes.sort_by(|one, other| one.arrived.cmp(&other.arrived));
    writes
}

fn write(event: &Value) -> Option<Write> {
    let accepted = event["stage"] == "ResponseComplete" && event["responseStatus"]["code"].as_i64()? < 300;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reference = &event["objectRef"];
    let parts = [&reference["resource"], &reference["subresource"]].map(text);
    accepted.then(|| Write {
        who: text(&event["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]),
        arrived: text(&event["requestReceivedTimestamp"]),
        answered: text(&event["stageTimestamp"]),
        resource: parts.join("/").trim_end_matches('/').to_owned(),
        name: text(&reference["name"]),
        object: event["requestObject"].clone(),
    })
}

/// Fails unless every write of a scale or of a status was made by the process that held the Lease when it arrived.
/// Returns how many processes held it in turn.
#[track_caller]
pub fn only_the_leader_wrote(writes: &[Write], lease: &str) -> usize {
    let mut leases: Vec<_> =
        writes.iter().filter(|write| write.resource == "leases" && write.name == lease).collect();
    leases.sort_by(|one, other| one.answered.cmp(&other.answered));
    let holder_at = |moment: &str| {
        // A renewal under way counts from its answer; a release from its arrival.
        let released =
            leases.iter().rev().find(|write| is_release(write) && write.arrived.as_str() <= moment);
        let taken = leases.iter().rev().find(|write| !is_release(write) && write.answered.as_str() <= moment);
        match (taken, released) {
            (Some(taken), Some(released)) if released.answered > taken.answered => None,
            (taken, _) => taken.map(|write| write.who.as_str()),
        }
    };
    for write in writes
        .iter()
        .filter(|write| write.resource.ends_with("/scale") || write.resource.ends_with("/status"))
    {
        let holder = holder_at(&write.arrived);
        assert_eq!(
            holder,
            Some(write.who.as_str()),
            "not by the holder of the Lease: {write:#?}\nLease: {leases:#?}"
        );
    }
    let mut holders: Vec<_> = leases.iter().map(|write| write.who.as_str()).collect();
    holders.dedup();
    holders.len()
}

/// Whether counts only rise to `peak` and only fall from there. While a load changes, the measured use follows within a
/// window, so that there may be steps on the way; a step back is wrong.
pub fn rise_and_fall(counts: &[i64], peak: i64) -> bool {
    let Some(top) = counts.iter().position(|&count| count == peak) else { return false };
    let (up, down) = (&counts[..=top], &counts[top..]);
    up.is_sorted_by(|one, next| one < next) && down.is_sorted_by(|one, next| one > next)
}

fn is_release(write: &Write) -> bool {
    write.object["spec"]["holderIdentity"].as_str().is_none_or(str::is_empty)
}
