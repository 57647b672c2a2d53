//! Rows about single containers, from pods and answers as the APIs give them to the decision.

use super::*;
use crate::compile::compile;
use crate::decide::{History, Scale, Settings, Snapshot, Trace, decide};
use crate::samples::ContainerUsage;
use crate::watch::PodStore;
use kube::runtime::watcher::Event;
use serde_json::json;

const NOW_MS: i64 = 1_700_000_000_000;

/// A pod of two containers, each requesting one core.
struct Row {
    phase: &'static str,
    /// Usage of each container in millicores; `None`: it is not in the answer.
    usage: [Option<i64>; 2],
    started_ms: i64,
}

fn pod(own: i64) -> Row {
    Row { phase: "Running", usage: [Some(1_000), Some(own)], started_ms: NOW_MS - 3_600_000 }
}

fn hot(own: i64) -> Row {
    Row { started_ms: NOW_MS, ..pod(own) }
}

/// Ended, and without the second container in its sample.
fn failed() -> Row {
    Row { phase: "Failed", usage: [Some(1_000), None], ..pod(0) }
}

/// Replicas and utilisation that a target for `container` (or for whole pods) leads to.
fn run(container: Option<&str>, current: i32, target: i32, rows: &[Row]) -> (i32, Option<i32>) {
    let store = PodStore::default();
    let time = flyball_model::time::rfc3339_seconds;
    store.apply(Event::Init);
    for (index, row) in rows.iter().enumerate() {
        let request = json!({ "requests": { "cpu": "1" } });
        let pod = json!({
            "metadata": { "name": format!("p{index}"), "namespace": "ns", "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "container1", "resources": request }, { "name": "container2", "resources": request }] },
            "status": { "phase": row.phase, "startTime": time(row.started_ms),
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": time(row.started_ms) }] },
        });
        store.apply(Event::InitApply(serde_json::from_value(pod).unwrap()));
    }
    store.apply(Event::InitDone);
    let population = store.population("ns", "app=web").unwrap();
    let sample = |(index, row): (usize, &Row)| Sample {
        pod: format!("p{index}").into(),
        timestamp_ms: NOW_MS,
        window_ms: 60_000,
        containers: (1..)
            .zip(row.usage)
            .filter_map(|(number, milli)| {
                let name = format!("container{number}").into();
                Some(ContainerUsage { name, usage: Box::new([("cpu".into(), milli?)]) })
            })
            .collect(),
    };
    let samples = rows.iter().enumerate().map(sample).collect();
    let answer = Answer { fetched_ms: NOW_MS, samples: Ok(std::sync::Arc::new(samples)) };
    let goal = json!({ "type": "Utilization", "averageUtilization": target });
    let metric = match container {
        Some(container) => json!({ "type": "ContainerResource",
            "containerResource": { "name": "cpu", "container": container, "target": goal } }),
        None => json!({ "type": "Resource", "resource": { "name": "cpu", "target": goal } }),
    };
    let hpa = json!({ "metadata": { "name": "web", "namespace": "ns" },
        "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "web" }, "maxReplicas": 1000, "metrics": [metric] } });
    let rules = compile(&serde_json::from_value(hpa).unwrap());
    let inputs = [per_pod(&answer, &population, "cpu", container, rules.metrics[0].target)];
    let settings = Settings {
        cpu_initialization_ms: 120_000,
        initial_readiness_delay_ms: 10_000,
        ..Settings::default()
    };
    let snapshot = Snapshot {
        rules: &rules,
        settings: &settings,
        scale: Scale { spec_replicas: current, status_replicas: current },
        selector: Ok(()),
        pods: &population.pods,
        inputs: &inputs,
        scaled_to_zero: false,
    };
    let decision = decide(&snapshot, NOW_MS, &History::default(), &mut Trace::off());
    let outcome = *decision.proposals.iter().next().unwrap().as_ref().unwrap();
    (outcome.replicas, outcome.utilization)
}

#[test]
fn containers() {
    let second = Some("container2");
    assert_eq!(run(second, 3, 30, &[pod(300), pod(500), pod(700)]), (5, Some(50)), "U2");
    assert_eq!(run(second, 3, 30, &[hot(300), pod(500), pod(700)]), (4, Some(60)), "U5");
    assert_eq!(run(second, 2, 30, &[failed(), failed(), pod(500), pod(700)]), (4, Some(60)), "U9");
    let down = [pod(100), pod(300), pod(500), pod(250), pod(250)];
    assert_eq!(run(second, 5, 50, &down), (3, Some(28)), "U13");
    let starting = [pod(100), pod(300), pod(500), hot(1_000), hot(1_000)];
    assert_eq!(run(second, 5, 50, &starting), (2, Some(30)), "U17");
}

#[test]
fn whole_pods() {
    let rows = [pod(1_000), Row { usage: [Some(500), None], ..pod(0) }];
    assert_eq!(run(None, 2, 50, &rows), (3, Some(62)), "one reported container stands for the pod");
    let partly = Row { usage: [None, None], ..pod(0) };
    assert_eq!(run(None, 2, 100, &[pod(1_000), partly]), (2, Some(100)), "none: the pod is missing");
}
