//! metrics.k8s.io through the API server's aggregator, by people with and without rights.

use std::time::Duration;

use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{Kubectl, MINUTE, full, steady};
use serde_json::Value;

use super::holds;
use super::stage::{METRICS_SERVER, Stage};
use super::workload::workload;

const PLACE: &str = "behaviour-access";

/// The versions of the API.
const VERSIONS: [&str; 2] = ["v1beta1", "v1"];

/// Names of the pods in the place.
fn pods(place: &Kubectl) -> Vec<String> {
    let pods = place.json(&["get", "pods"]);
    let names = pods["items"].as_array().into_iter().flatten().map(|pod| &pod["metadata"]["name"]);
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn people_see_what_they_may_see() {
    let Some(plane) = Plane::shared(Needs::light()) else { return };
    let stage = Stage::set(&plane, 2);
    let place = stage.place(PLACE);
    place.apply(&workload("Deployment", "web", 2, "300m"));
    // In full form with nothing but the shipped arguments; else without waiting for two looks at kubelets.
    let server = if full() {
        let server = stage.metrics_server(&[], &[]);
        stage.serve(&[&server]);
        server.ready()
    } else {
        stage.metrics()
    };
    stage.eventually_available();
    place.eventually_available(MINUTE, "web", 2);
    place.eventually(MINUTE, "both pods and both nodes are measured", || {
        let count = |path: &str| Ok::<_, String>(place.raw(path)?["items"].as_array().map_or(0, Vec::len));
        let found =
            (count(&path("v1beta1", &format!("namespaces/{PLACE}/pods")))?, count(&path("v1", "nodes"))?);
        if found == (2, 2) { Ok(()) } else { Err(format!("{found:?}")) }
    });

    top_prints_everything(&place);
    every_path_answers(plane.admin(), &place);
    let viewer = plane.viewer().in_namespace(PLACE);
    every_path_answers(&viewer, &place);
    holds(&viewer.ok(&["top", "pods"]), &["web-", "16Mi"]);
    // kubectl asks for the Node objects as well, which ClusterRole `view` does not show.
    holds(
        &viewer.fails(&["top", "nodes"]),
        &["nodes is forbidden", "cannot list resource \"nodes\" in API group \"\""],
    );
    nobody_is_refused(&plane.nobody().in_namespace(PLACE), &place);

    let time = Duration::from_secs(if full() { 120 } else { 3 });
    steady(time, "the APIServices are Available", || server.program.state(), || stage.available());
    holds(
        &plane.admin().ok(&["api-resources", "--api-group=metrics.k8s.io"]),
        &["NodeMetrics", "PodMetrics"],
    );
    // The API server merges our document with its own: whatever it cannot read there breaks `apply` for everybody.
    plane.admin().eventually_prints(
        MINUTE,
        &["get", "--raw", "/openapi/v2"],
        "/apis/metrics.k8s.io/v1beta1/nodes",
    );
    place.apply(&workload("Deployment", "another", 0, "1m"));
    let described = plane.admin().ok(&["explain", "podmetrics", "--api-version=metrics.k8s.io/v1beta1"]);
    holds(&described, &["PodMetrics"]);
    holds(&plane.admin().ok(&["get", "service", METRICS_SERVER, "-n", "flyball-system"]), &["443/TCP"]);
}

fn path(version: &str, rest: &str) -> String {
    format!("/apis/metrics.k8s.io/{version}/{rest}")
}

fn top_prints_everything(place: &Kubectl) {
    let pods = pods(place);
    holds(&place.ok(&["top", "nodes"]), &["CPU(cores)", "node-0", "node-1"]);
    holds(&place.ok(&["top", "node", "node-1"]), &["node-1"]);
    // 300m shared by two.
    let lines = [pods[0].as_str(), pods[1].as_str(), "16Mi"];
    each_uses_its_share(&place.ok(&["top", "pods", "--no-headers"]));
    holds(&place.ok(&["top", "pods"]), &lines);
    holds(&place.ok(&["top", "pods", "-A"]), &[&[PLACE], &lines[..]].concat());
    holds(&place.ok(&["top", "pods", "--containers"]), &[&["app"], &lines[..]].concat());
    holds(&place.ok(&["top", "pods", "-A", "--containers"]), &[&[PLACE, "app"], &lines[..]].concat());
    holds(&place.ok(&["top", "pod", &pods[1]]), &[&pods[1], "16Mi"]);
    holds(&place.ok(&["top", "pods", "-l", "app=web", "--sum"]), &["32Mi"]);
    holds(&place.fails(&["top", "pod", "nobody-knows-it"]), &["pods \"nobody-knows-it\" not found"]);
}

/// Of 300m shared by two; numbers are rounded up, and clocks tick in milliseconds.
fn each_uses_its_share(table: &str) {
    for line in table.lines() {
        let millicores =
            line.split_whitespace().nth(1).and_then(|text| text.strip_suffix('m')?.parse::<u32>().ok());
        assert!(millicores.is_some_and(|millicores| (148..=152).contains(&millicores)), "{line}");
    }
}

fn every_path_answers(user: &Kubectl, place: &Kubectl) {
    for version in VERSIONS {
        let kind = |rest: &str| user.raw(&path(version, rest)).map(|answer| answer["kind"].clone());
        for pod in pods(place) {
            assert_eq!(kind(&format!("namespaces/{PLACE}/pods/{pod}")), Ok("PodMetrics".into()));
        }
        assert_eq!(kind(&format!("namespaces/{PLACE}/pods")), Ok("PodMetricsList".into()));
        assert_eq!(kind("pods"), Ok("PodMetricsList".into()));
        assert_eq!(kind("nodes"), Ok("NodeMetricsList".into()));
        assert_eq!(kind("nodes/node-0"), Ok("NodeMetrics".into()));
        let resources = user.raw(&format!("/apis/metrics.k8s.io/{version}")).expect("resources are listed");
        assert_eq!(resources["kind"], "APIResourceList");
        let openapi = user.raw(&format!("/openapi/v3/apis/metrics.k8s.io/{version}")).expect("OpenAPI");
        assert!(openapi["paths"].as_object().is_some_and(|paths| paths.len() >= 5), "{openapi}");
    }
    let group = user.raw("/apis/metrics.k8s.io").expect("the group is described");
    assert_eq!(group["kind"], "APIGroup");
}

fn nobody_is_refused(nobody: &Kubectl, place: &Kubectl) {
    let in_namespace = format!("in the namespace \"{PLACE}\"");
    let cases = [
        ("pods".to_owned(), "list", "pods", "at the cluster scope"),
        (format!("namespaces/{PLACE}/pods"), "list", "pods", in_namespace.as_str()),
        (format!("namespaces/{PLACE}/pods/{}", pods(place)[0]), "get", "pods", &in_namespace),
        ("nodes".to_owned(), "list", "nodes", "at the cluster scope"),
        ("nodes/node-0".to_owned(), "get", "nodes", "at the cluster scope"),
    ];
    for (rest, verb, resource, scope) in cases {
        for version in VERSIONS {
            let error = nobody.fails(&["get", "--raw", &path(version, &rest)]);
            let cannot =
                format!("cannot {verb} resource \"{resource}\" in API group \"metrics.k8s.io\" {scope}");
            holds(
                &error,
                &[
                    "Error from server (Forbidden)",
                    &format!("{resource}.metrics.k8s.io"),
                    "is forbidden: User",
                    &cannot,
                ],
            );
        }
    }
    let error = nobody.fails(&["top", "pods"]);
    holds(&error, &["Error from server (Forbidden): pods.metrics.k8s.io is forbidden: User", &in_namespace]);
    holds(
        &nobody.fails(&["top", "nodes"]),
        &["Error from server (Forbidden): nodes.metrics.k8s.io is forbidden"],
    );
}
