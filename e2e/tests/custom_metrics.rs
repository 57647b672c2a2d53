//! Custom and external metrics in `flyball local`, without a configuration: kubectl reads every path, and an HPA on a Pods, an
//! Object and an External metric each scales a real workload.

#![allow(clippy::disallowed_methods, reason = "starts the program")]

use std::process::Command;
use std::time::Duration;

use flyball_e2e::manifests::{IDLE, hpa, script_deployment};
use flyball_e2e::{Finished, Local, MINUTE, Signal, eventually, flyball_binary, has_kubectl, run};
use serde_json::{Value, json};

/// A sample is stored every 15 s, and a rate needs two; the machine may be busy.
const STORED: Duration = Duration::from_secs(180);
const MEMORY: &str = "container_memory_working_set_bytes";
const CPU: &str = "container_cpu_usage_seconds_per_second";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";

fn raw(local: &Local, path: &str) -> Value {
    let text = local.kubectl().ok(&["get", "--raw", path]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// The items of a list, or why there are none.
fn items(local: &Local, path: &str) -> Result<Vec<Value>, String> {
    let finished = local.kubectl().run(&["get", "--raw", path]);
    if !finished.success() {
        return Err(finished.to_string());
    }
    let list: Value = serde_json::from_str(&finished.stdout).map_err(|error| error.to_string())?;
    list["items"].as_array().filter(|items| !items.is_empty()).cloned().ok_or_else(|| list.to_string())
}

/// `flyball adapter …` with nothing but a kubeconfig.
fn adapter(local: &Local, arguments: &[&str]) -> Finished {
    let mut command = Command::new(flyball_binary());
    command.arg("adapter").args(arguments);
    command.env("KUBECONFIG", local.kubectl().kubeconfig()).env_remove("FLYBALL_LOG");
    run(command, "", MINUTE)
}

fn name(item: &Value) -> &str {
    item["describedObject"]["name"].as_str().unwrap_or_default()
}

#[test]
fn an_autoscaler_on_each_kind_of_metric_scales_and_kubectl_reads_each_path() {
    if !has_kubectl() {
        return;
    }
    let mut local = Local::start();
    let kubectl = local.kubectl().clone();
    let state = || kubectl.state();
    for workload in ["by-pods", "by-object", "by-external"] {
        kubectl.apply(&script_deployment(workload, 1, IDLE));
    }
    // Every pod has far more than a byte, so each of these wants more than there is.
    let target = |value: &str| json!({"type": "AverageValue", "averageValue": value});
    let pods = json!({"type": "Pods", "pods": {"metric": {"name": MEMORY}, "target": target("1")}});
    let described = json!({"apiVersion": "v1", "kind": "Namespace", "name": "default"});
    let object = json!({"type": "Object", "object": {
        "metric": {"name": MEMORY}, "describedObject": described, "target": {"type": "Value", "value": "1"}}});
    let external =
        json!({"type": "External", "external": {"metric": {"name": MEMORY}, "target": target("1")}});
    for (workload, metric) in [("by-pods", pods), ("by-object", object), ("by-external", external)] {
        kubectl.apply(&hpa(workload, workload, 1, 2, &metric));
    }
    for workload in ["by-pods", "by-object", "by-external"] {
        eventually(STORED, &format!("{workload} is scaled"), state, || {
            let deployment = kubectl.json(&["get", "deployment", workload]);
            match deployment["spec"]["replicas"].as_i64() {
                Some(2) => Ok(()),
                other => {
                    Err(format!("{other:?} replicas: {}", kubectl.json(&["get", "hpa", workload])["status"]))
                }
            }
        });
    }

    // One of a namespace, all of it, those with a label; both versions.
    eventually(STORED, "both pods of a workload have a value", state, || {
        let path = format!("{CUSTOM}/v1beta2/namespaces/default/pods/*/{MEMORY}?labelSelector=app%3Dby-pods");
        let found = items(&local, &path)?;
        if found.len() == 2 { Ok(()) } else { Err(format!("{found:?}")) }
    });
    let all =
        items(&local, &format!("{CUSTOM}/v1beta1/namespaces/default/pods/%2A/{MEMORY}")).expect("values");
    assert!(all.len() >= 4 && all.iter().all(|item| item["metricName"] == MEMORY), "{all:?}");
    let pod = name(&all[0]).to_owned();
    for version in ["v1beta1", "v1beta2"] {
        let path = format!("{CUSTOM}/{version}/namespaces/default/pods/{pod}/{MEMORY}");
        let one = items(&local, &path).expect("a value");
        assert_eq!((one.len(), name(&one[0])), (1, pod.as_str()));
        let path = format!("{CUSTOM}/{version}/namespaces/default/metrics/{MEMORY}");
        assert_eq!(items(&local, &path).expect("a value")[0]["describedObject"]["kind"], "Namespace");
    }
    let nodes = items(&local, &format!("{CUSTOM}/v1beta1/nodes/*/{MEMORY}")).expect("values");
    assert_eq!(nodes[0]["describedObject"]["kind"], "Node");
    eventually(STORED, "a rate needs two samples", state, || {
        items(&local, &format!("{EXTERNAL}/namespaces/default/{CPU}")).map(drop)
    });

    // Discovery lists what exists, in both forms; an unknown name is told with those that are near.
    let listed = |path: &str| -> Vec<String> {
        let list = raw(&local, path);
        let resources = list["resources"].as_array().cloned().unwrap_or_default();
        resources.iter().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
    };
    eventually(MINUTE, "discovery lists the metrics", state, || {
        let custom = listed(&format!("{CUSTOM}/v1beta1"));
        let external = listed(EXTERNAL);
        let there = custom.contains(&format!("pods/{MEMORY}")) && external.contains(&MEMORY.to_owned());
        if there { Ok(()) } else { Err(format!("{custom:?} {external:?}")) }
    });
    let path = format!("{CUSTOM}/v1beta1/namespaces/default/pods/*/container_memory_workingset_bytes");
    let refused = kubectl.run(&["get", "--raw", &path]);
    assert!(!refused.success() && refused.stderr.contains("the nearest names are"), "{refused}");

    // The same by the commands, which ask the history through the API server.
    let listed = adapter(&local, &["list", "pods"]);
    assert!(listed.success() && listed.stdout.contains(MEMORY), "{listed}");
    for arguments in [&[][..], &["--resource=external"], &["--selector=app=by-pods"]] {
        let explained = adapter(&local, &[&["explain", MEMORY, "-n", "default"], arguments].concat());
        assert!(explained.success() && explained.stdout.contains("[ok] the backend answers"), "{explained}");
    }
    let unknown = adapter(&local, &["explain", "container_memory_workingset_bytes", "-n", "default"]);
    assert!(!unknown.success() && unknown.stdout.contains(MEMORY), "{unknown}");
    local.ends_clean(Signal::TERM);
}
