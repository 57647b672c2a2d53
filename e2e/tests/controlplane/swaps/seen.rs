//! What a user sees of a stage: the HPAs' numbers and conditions, and `kubectl top`.

use std::collections::BTreeMap;
use std::time::Duration;

use flyball_e2e::{Kubectl, eventually};
use serde_json::{Value, json};

use super::cases::NAMESPACE;
use super::stage::Stage;

/// Longest time for all HPAs to come to their end after a change of load.
const SETTLE_LIMIT: Duration = Duration::from_secs(240);

/// After this time without a change of use, two scrapes have seen nothing else.
const QUIET: Duration = Duration::from_secs(24);

/// By name of the HPA: replicas, metrics and conditions, without times.
pub type Seen = BTreeMap<String, Value>;

/// The words of each line of a table.
pub type Rows = Vec<Vec<String>>;

/// All HPAs of a namespace at this moment.
pub fn hpas(kubectl: &Kubectl) -> Seen {
    let list = kubectl.json(&["get", "horizontalpodautoscalers.v2.autoscaling"]);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|hpa| (text(&hpa["metadata"]["name"]), hpa_seen(hpa))).collect()
}

fn hpa_seen(hpa: &Value) -> Value {
    let status = &hpa["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut conditions: Vec<Value> = conditions.map(condition).collect();
    // Their order tells which came first, which is a matter of moments.
    conditions.sort_by_key(Value::to_string);
    json!({
        "currentReplicas": status["currentReplicas"],
        "desiredReplicas": status["desiredReplicas"],
        "currentMetrics": status["currentMetrics"],
        "conditions": conditions,
    })
}

/// A condition without its time, and without the random end of a pod's name.
fn condition(condition: &Value) -> Value {
    let words = text(&condition["message"]);
    let words: Vec<String> =
        words.split(' ').map(|word| pod_of_deployment(word).unwrap_or(word.to_owned())).collect();
    json!([condition["type"], condition["status"], condition["reason"], words.join(" ")])
}

/// `NAME-HASH-RANDOM` as `NAME-…`, where the word is such a name.
fn pod_of_deployment(word: &str) -> Option<String> {
    let (rest, random) = word.rsplit_once('-')?;
    let (name, hash) = rest.rsplit_once('-')?;
    let coded = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
    };
    (random.len() == 5 && coded(random) && hash.len() >= 8 && coded(hash)).then(|| format!("{name}-…"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Waits until every workload has its replicas of `step` and nothing has changed for long enough.
pub fn settle(stage: &Stage, step: usize) -> Seen {
    let what = format!("all HPAs settle after load {step}, HPA loop {:?}", stage.hpa);
    eventually(
        SETTLE_LIMIT,
        &what,
        || stage.state(),
        || {
            let seen = stage.seen();
            for case in &stage.cases {
                let Some(replicas) = case.replicas.map(|replicas| replicas[step]) else { continue };
                let found = &seen.get(case.name).ok_or(format!("no HPA {}", case.name))?["currentReplicas"];
                let number = found.as_u64().unwrap_or(0);
                if number != u64::from(replicas) {
                    return Err(format!("{} has {number} replicas and not {replicas}", case.name));
                }
            }
            let quiet = stage.simulation.settled_for();
            if quiet < QUIET { Err(format!("quiet for {} s only", quiet.as_secs())) } else { Ok(seen) }
        },
    )
}

/// `kubectl top pods --containers`, sorted.
pub fn top_pods(kubectl: &Kubectl) -> Rows {
    rows(&kubectl.ok(&["top", "pods", "--containers", "--no-headers"]))
}

/// `kubectl top nodes`, sorted.
pub fn top_nodes(kubectl: &Kubectl) -> Rows {
    rows(&kubectl.ok(&["top", "nodes", "--no-headers"]))
}

/// `kubectl top pods --containers` of Deployments, with the name of the Deployment in place of the pod's, sorted.
pub fn by_app(text: &str) -> Rows {
    let named = text.lines().map(|line| {
        let (pod, rest) = line.split_once(' ').unwrap_or((line, ""));
        format!("{} {rest}\n", pod.split('-').next().unwrap_or(pod))
    });
    rows(&named.collect::<String>())
}

/// The words of each line, sorted.
pub fn rows(text: &str) -> Rows {
    let mut rows: Rows =
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    rows.sort();
    rows
}

/// What `kubectl top pods --containers` must show: the simulation knows.
pub fn true_pods(stage: &Stage) -> Rows {
    let pods = stage.simulation.usage(NAMESPACE);
    let rows = pods.into_iter().flat_map(|(pod, containers)| {
        containers.into_iter().map(move |(container, usage)| {
            vec![pod.clone(), container, millicores(usage.nanocores), mebibytes(usage.bytes)]
        })
    });
    rows.collect()
}

/// What `kubectl top nodes` must show, of nodes with 32 cores and 64 GiB.
pub fn true_nodes(stage: &Stage) -> Rows {
    let (milli, bytes) = (32_000, 64u64 << 30);
    let nodes = stage.simulation.nodes().into_iter().map(|(name, _)| {
        let usage = stage.simulation.node_usage(&name).expect("it is one of its nodes");
        vec![
            name,
            millicores(usage.nanocores),
            format!("{}%", usage.nanocores.div_ceil(1_000_000) * 100 / milli),
            mebibytes(usage.bytes),
            format!("{}%", usage.bytes * 100 / bytes),
        ]
    });
    nodes.collect()
}

fn millicores(nanocores: u64) -> String {
    format!("{}m", nanocores.div_ceil(1_000_000))
}

fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes >> 20)
}

/// Where two differ, one line each.
pub fn differences(one: &Seen, other: &Seen) -> Vec<String> {
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    let differing = names.filter(|name| one.get(*name) != other.get(*name));
    differing
        .map(|name| {
            let show = |seen: &Seen| seen.get(name).map_or_else(|| "none".to_owned(), Value::to_string);
            format!("{name}:\n  {}\n  {}", show(one), show(other))
        })
        .collect()
}
