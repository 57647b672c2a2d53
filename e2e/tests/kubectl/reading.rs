//! version, api-resources, get, describe, a Service's address.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use flyball_e2e::manifests::{IDLE, burn_deployment, cpu_average_value, hpa, script_deployment, service};
use flyball_e2e::{MINUTE, SHORT};

use crate::{CLUSTER, holds};

#[test]
fn version_and_resources() {
    let Some(kubectl) = CLUSTER.namespace("version") else { return };
    holds(&kubectl.ok(&["version"]), &["Server Version: v1."]);
    let names = kubectl.ok(&["api-resources", "--output", "name"]);
    let lines: Vec<_> = names.lines().collect();
    for name in [
        "namespaces",
        "nodes",
        "pods",
        "services",
        "configmaps",
        "secrets",
        "serviceaccounts",
        "events",
        "endpointslices.discovery.k8s.io",
        "leases.coordination.k8s.io",
        "deployments.apps",
        "replicasets.apps",
        "horizontalpodautoscalers.autoscaling",
        "tokenreviews.authentication.k8s.io",
        "subjectaccessreviews.authorization.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "nodes.metrics.k8s.io",
        "pods.metrics.k8s.io",
    ] {
        assert!(lines.contains(&name), "no {name} in:\n{names}");
    }
    holds(
        &kubectl.ok(&["api-resources", "--api-group", "apps"]),
        &["deploy", "apps/v1", "true", "Deployment"],
    );
}

#[test]
fn the_kubeconfig_is_for_its_owner_only() {
    let Some(kubectl) = CLUSTER.namespace("private") else { return };
    let path = kubectl.local().folder().join("kubeconfig");
    let mode = path.metadata().expect("the kubeconfig stands in the data folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn get_in_every_form() {
    let Some(kubectl) = CLUSTER.namespace("get") else { return };
    kubectl.apply(&script_deployment("web", 2, IDLE));
    kubectl.eventually_available(MINUTE, "web", 2);

    let table = kubectl.ok(&["get", "pods"]);
    holds(&table, &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "web-", "1/1", "Running"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    holds(&kubectl.ok(&["get", "po", "-o", "wide"]), &["IP", "NODE", "127."]);
    holds(
        &kubectl.ok(&["get", "deploy,rs", "-o", "wide"]),
        &["UP-TO-DATE", "AVAILABLE", "2/2", "DESIRED", "IMAGES"],
    );
    holds(
        &kubectl.ok(&["get", "deployment", "web", "-o", "yaml"]),
        &["kind: Deployment", "  replicas: 2", "uid:"],
    );
    assert_eq!(kubectl.json(&["get", "pods"])["items"].as_array().map(Vec::len), Some(2));
    let phases = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[*].status.phase}"]);
    assert_eq!(phases, "Running Running");
    holds(&kubectl.ok(&["get", "deployments", "-o", "name"]), &["deployment.apps/web"]);
    holds(&kubectl.ok(&["get", "pods", "--show-labels"]), &["LABELS", "app=web"]);
    let columns = "custom-columns=POD:.metadata.name,PHASE:.status.phase";
    holds(
        &kubectl.ok(&["get", "pods", "--sort-by", ".metadata.name", "-o", columns]),
        &["POD", "PHASE", "Running"],
    );
    holds(&kubectl.ok(&["get", "pods", "-A"]), &["NAMESPACE", "get "]);
    holds(&kubectl.ok(&["get", "all"]), &["pod/web-", "deployment.apps/web", "replicaset.apps/web-"]);
    holds(&kubectl.ok(&["get", "nodes", "-o", "wide"]), &["Ready", "INTERNAL-IP", "KERNEL-VERSION"]);
    holds(&kubectl.ok(&["get", "namespaces"]), &["get", "Active"]);
    holds(&kubectl.ok(&["get", "apiservices"]), &["v1beta1.metrics.k8s.io", "True"]);
}

#[test]
fn get_selects() {
    let Some(kubectl) = CLUSTER.namespace("select") else { return };
    for (name, labels) in [("a", "tier=front,zone=1"), ("b", "tier=back,zone=1"), ("c", "tier=back")] {
        kubectl.ok(&["create", "configmap", name]);
        let labels: Vec<_> = labels.split(',').collect();
        kubectl.ok(&[&["label", "configmap", name], labels.as_slice()].concat());
    }
    for (selector, expected) in [
        ("tier=back", "b c"),
        ("tier!=back", "a"),
        ("tier in (front, middle)", "a"),
        ("tier notin (front)", "b c"),
        ("zone", "a b"),
        ("!zone", "c"),
        ("tier=back,zone=1", "b"),
    ] {
        let names =
            kubectl.ok(&["get", "configmaps", "-l", selector, "-o", "jsonpath={.items[*].metadata.name}"]);
        assert_eq!(names, expected, "-l {selector:?}");
    }
    let names = kubectl.ok(&["get", "configmaps", "--field-selector", "metadata.name=b", "-o", "name"]);
    assert_eq!(names.trim(), "configmap/b");
    let error = kubectl.fails(&["get", "configmap", "nothing"]);
    holds(&error, &["NotFound", "configmaps \"nothing\" not found"]);
    kubectl.fails(&["get", "unheardofs"]);
}

#[test]
fn get_watches() {
    let Some(kubectl) = CLUSTER.namespace("watch") else { return };
    let mut watch = kubectl.start(&["get", "configmaps", "--watch", "--output-watch-events", "--no-headers"]);
    let mut sees = |event: &str| {
        let seen =
            watch.wait_line(SHORT, |line| (line.contains(event) && line.contains("watched")).then_some(()));
        seen.unwrap_or_else(|error| panic!("no {event} of the configmap: {error}\n{}", kubectl.state()));
    };
    kubectl.ok(&["create", "configmap", "watched"]);
    sees("ADDED");
    kubectl.ok(&["patch", "configmap", "watched", "-p", r#"{"data":{"key":"value"}}"#]);
    sees("MODIFIED");
    kubectl.ok(&["delete", "configmap", "watched"]);
    sees("DELETED");
}

#[test]
fn describe_what_there_is() {
    let Some(kubectl) = CLUSTER.namespace("describe") else { return };
    kubectl.apply(&burn_deployment("web", 1, 0));
    kubectl.apply(&service("web"));
    kubectl.apply(&hpa("web", "web", 1, 2, &cpu_average_value("50m")));
    kubectl.eventually_available(MINUTE, "web", 1);

    holds(
        &kubectl.ok(&["describe", "pods", "-l", "app=web"]),
        &[
            "Node:",
            "IP:",
            "Controlled By:  ReplicaSet/web-",
            "Containers:",
            "State:          Running",
            "Limits:",
            "cpu:     100m",
            "Ready",
            "Events:",
        ],
    );
    holds(
        &kubectl.ok(&["describe", "deployment", "web"]),
        &[
            "Selector:",
            "app=web",
            "StrategyType:",
            "RollingUpdate",
            "1 available",
            "NewReplicaSet:",
            "ScalingReplicaSet",
        ],
    );
    kubectl.eventually_prints(SHORT, &["describe", "hpa", "web"], "AbleToScale");
    holds(
        &kubectl.ok(&["describe", "hpa", "web"]),
        &[
            "Reference:",
            "Deployment/web",
            "Metrics:",
            "resource cpu",
            "Min replicas:",
            "Max replicas:",
            "Deployment pods:",
        ],
    );
    holds(
        &kubectl.ok(&["describe", "nodes"]),
        &["Capacity:", "Allocatable:", "Non-terminated Pods:", "web-", "System Info:", "Kernel Version:"],
    );
    let address = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[0].status.podIP}"]);
    kubectl.eventually_prints(SHORT, &["describe", "service", "web"], &format!("{address}:8080"));
    holds(&kubectl.ok(&["describe", "namespace", "describe"]), &["Active"]);
}

#[test]
fn a_service_reaches_its_pods() {
    let Some(kubectl) = CLUSTER.namespace("service") else { return };
    kubectl.apply(&burn_deployment("web", 2, 0));
    kubectl.apply(&service("web"));
    kubectl.eventually_available(MINUTE, "web", 2);
    let address =
        kubectl.ok(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"]);
    kubectl.eventually(SHORT, &format!("http://{address}/healthz answers"), || {
        let answer = http_get(&address, "/healthz").map_err(|error| error.to_string())?;
        if answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n") { Ok(()) } else { Err(answer) }
    });
}

fn http_get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
