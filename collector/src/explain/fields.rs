//! What `/stats/summary` says of a group in one field. Pure.

use super::target::{Target, without_groups};
use crate::disk::DiskUse;
use crate::sample::Sweep;
use crate::summary::{self, Extent, Rlimit};
use serde_json::Value;

/// What the summary is made of.
pub struct Summed<'a> {
    /// A finished sweep.
    pub sweep: &'a Sweep,
    /// Disk use.
    pub disk: &'a DiskUse,
    /// Tasks of the machine.
    pub rlimit: Option<Rlimit>,
}

/// Where in a summary a group is.
enum Level {
    Node,
    System(&'static str),
    Pod,
    Container(String),
}

/// The field as it is shown, one line for each that bears the name: its path, its value, and the time of its object.
pub fn exposed(field: &str, target: &Target, of: &Summed<'_>) -> Vec<String> {
    let Some((only, level)) = find(target, of.sweep) else { return Vec::new() };
    let summary = summary::summary(&only, of.disk, "", of.rlimit, Extent::All);
    let Ok(summary) = serde_json::to_value(summary) else { return Vec::new() };
    let named = |list: &Value, name: &str| list.as_array()?.iter().find(|one| one["name"] == name).cloned();
    let object = match level {
        Level::Node => Some(summary["node"].clone()),
        Level::System(name) => named(&summary["node"]["systemContainers"], name),
        Level::Pod => Some(summary["pods"][0].clone()),
        Level::Container(name) => named(&summary["pods"][0]["containers"], &name),
    };
    let mut lines = Vec::new();
    let parts: Vec<&str> = field.split('.').collect();
    walk(&object.unwrap_or_default(), &parts, String::new(), None, &mut lines);
    lines
}

/// The sweep with what the group's part of the summary is made of.
fn find(target: &Target, sweep: &Sweep) -> Option<(Sweep, Level)> {
    match target {
        Target::Node => Some((without_groups(sweep), Level::Node)),
        Target::Pod(_) => Some((target.only(sweep).ok()?.0, Level::Pod)),
        Target::Container(pod, container) => {
            let (only, _) = Target::Pod(pod.clone()).only(sweep).ok()?;
            Some((only, Level::Container(container.clone())))
        }
        Target::Group(path) => {
            if let Some(system) = sweep.system.iter().find(|system| *system.path == **path) {
                let (only, _) = target.only(sweep).ok()?;
                return Some((only, Level::System(system.whose.summary_name()?)));
            }
            if sweep.pods.iter().any(|pod| *pod.path == **path) {
                return Some((target.only(sweep).ok()?.0, Level::Pod));
            }
            let container = sweep.containers.iter().find(|container| *container.path == **path)?;
            let name = container.name.as_deref()?;
            find(&Target::Container((*name.pod).clone(), name.container.clone()), sweep)
        }
    }
}

fn walk(value: &Value, parts: &[&str], shown: String, time: Option<&str>, lines: &mut Vec<String>) {
    match (value, parts) {
        (Value::Array(all), _) => {
            for one in all {
                let name = one["name"].as_str().unwrap_or_default();
                walk(one, parts, format!("{shown}[{name}]"), time, lines);
            }
        }
        (Value::Object(fields), [first, rest @ ..]) => {
            let time = fields.get("time").and_then(Value::as_str).or(time);
            let dot = if shown.is_empty() { "" } else { "." };
            if let Some(value) = fields.get(*first) {
                walk(value, rest, format!("{shown}{dot}{first}"), time, lines);
            }
        }
        (Value::Number(_) | Value::String(_), []) => {
            let time = time.map(|time| format!(" {time}")).unwrap_or_default();
            lines.push(format!("{shown} {value}{time}"));
        }
        _ => {}
    }
}
