//! What the API server refused, by its audit log.

use std::path::PathBuf;

use flyball_e2e::plane::{Part, Plane};
use serde_json::{Value, json};

use super::grants::Grant;

fn log(plane: &Plane) -> PathBuf {
    plane.folder().join("logs/refusals")
}

/// Has the API server keep the log, which takes a restart of it.
pub fn keep(plane: &Plane) {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
    });
    let file = plane.folder().join("refusals-policy.json");
    std::fs::write(&file, policy.to_string()).expect("the policy is written");
    let (policy, log) = (file.display(), log(plane));
    let flags = [format!("--audit-policy-file={policy}"), format!("--audit-log-path={}", log.display())];
    plane.set_flags(Part::ApiServer, &flags.each_ref().map(String::as_str));
    // Asked to end, it would wait for all who watch.
    plane.kill(Part::ApiServer);
    plane.start_part(Part::ApiServer);
}

/// A request that was refused for want of a permission.
#[derive(Debug)]
pub struct Refusal {
    user: String,
    verb: String,
    group: String,
    resource: String,
    name: String,
}

impl Refusal {
    /// Whether it is of this user, for want of this grant.
    pub fn is_for(&self, user: &str, grant: &Grant) -> bool {
        let is_resource = match grant.resource.as_str() {
            "*" => true,
            any if any.starts_with("*/") => self.resource.ends_with(&any[1..]),
            one => self.resource == one,
        };
        // A list or watch names its object by a selector, a new one has its name in the body: neither is in the log.
        let is_named = self.name.is_empty() || grant.name.as_ref().is_none_or(|name| *name == self.name);
        let is_group = grant.group == "*" || grant.group == self.group;
        self.user == user && self.verb == grant.verb && is_group && is_resource && is_named
    }
}

/// All up to now.
pub fn refusals(plane: &Plane) -> Vec<Refusal> {
    let text = std::fs::read_to_string(log(plane)).unwrap_or_default();
    text.lines().filter(|line| line.contains("\"code\":403")).filter_map(refusal).collect()
}

fn refusal(line: &str) -> Option<Refusal> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reference = &event["objectRef"];
    let resource = [&reference["resource"], &reference["subresource"]].map(text).join("/");
    Some(Refusal {
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        group: text(&reference["apiGroup"]),
        resource: resource.trim_end_matches('/').to_owned(),
        name: text(&reference["name"]),
    })
}
