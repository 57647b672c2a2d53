//! Removing what was installed: no replica count changes, nothing is left behind, and it can be installed again at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use flyball_benches::kubelets::{Certificates, Config, Sampling, Simulation};
use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{Kubectl, MINUTE, Program};
use serde_json::{Value, json};

use crate::shipped::{Overlay, arguments, installer, list, of_kind, text};

/// Namespace of the workloads.
const PLACE: &str = "uninstall";

/// The Deployment that is scaled.
const SCALED: &str = "web";

/// Kinds that come and go by themselves, or are no objects of their own.
const PASSING: [&str; 4] = ["Event", "Lease", "ComponentStatus", "EndpointSlice"];

/// What differs between two looks at an object that nobody changed.
const PASSING_FIELDS: [&str; 3] = ["resourceVersion", "managedFields", "generation"];

/// A hollow node that takes the workloads. Flyball's own pods are for Linux, so none is put there: they are processes.
fn node(plane: &Plane, name: &str) -> Simulation {
    let mut config = Config::new(name, [SocketAddr::from((plane.address(), 10250))]);
    let authority = plane.pki().authority();
    config.kubeconfig = Some(plane.admin_kubeconfig().to_owned());
    config.certificates = Certificates::Authority {
        certificate_pem: authority.certificate_pem(),
        key_pem: authority.key_pem(),
    };
    config.sampling = Sampling::Continuous;
    let node = Simulation::start(config).unwrap_or_else(|error| panic!("{error}"));
    plane.admin().ok(&["label", "nodes", "--all", "--overwrite", "kubernetes.io/os=hollow"]);
    node
}

/// A Deployment that uses 300m however many pods it has, and an HPA that wants 100m a pod.
fn workload() -> Value {
    let labels = json!({"app": SCALED});
    let load = json!({"sim.flyball.io/load-cpu": "300m"});
    let containers = json!([{"name": "app", "image": "flyball.io/none"}]);
    let template =
        json!({"metadata": {"labels": labels, "annotations": load}, "spec": {"containers": containers}});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": SCALED});
    let cpu = json!({"name": "cpu", "target": {"type": "AverageValue", "averageValue": "100m"}});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": SCALED},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": SCALED},
            "spec": {
                "scaleTargetRef": target, "maxReplicas": 10, "metrics": [{"type": "Resource", "resource": cpu}],
            },
        },
    ]})
}

/// Everything in the cluster but the workloads, by kind, namespace and name.
fn everything(kubectl: &Kubectl) -> BTreeMap<String, Value> {
    let kinds = kubectl.ok(&["api-resources", "--verbs=list", "--output=name", "--cached=false"]);
    let kinds = kinds.lines().collect::<Vec<_>>().join(",");
    let objects = kubectl.json(&["get", &kinds, "--all-namespaces"]);
    list(&objects, "/items")
        .filter(|object| {
            object["metadata"]["namespace"] != PLACE && !PASSING.contains(&text(object, "/kind"))
        })
        .map(|object| (identity(object), lasting(object)))
        .collect()
}

fn identity(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{} {} {}/{}", object["apiVersion"], object["kind"], metadata["namespace"], metadata["name"])
}

/// An object without its status, and without what others write into it all the time.
fn lasting(object: &Value) -> Value {
    let mut object = object.clone();
    object["status"].take();
    for field in PASSING_FIELDS {
        object["metadata"][field].take();
    }
    object
}

/// The HPAs of the workloads, and how many replicas each workload has.
fn workloads(place: &Kubectl) -> (Vec<Value>, Vec<Value>) {
    let hpas = place.json(&["get", "hpa"]);
    let targets = place.json(&["get", "deployments,replicasets,statefulsets"]);
    let replicas = |object: &Value| json!([identity(object), object["spec"]["replicas"]]);
    (list(&hpas, "/items").map(lasting).collect(), list(&targets, "/items").map(replicas).collect())
}

/// Starts a Deployment's program as a process with the rights of its account, and leads its Service there.
fn run(plane: &Plane, deployment: &Value, group: Option<&Value>) -> Program {
    let namespace = text(deployment, "/metadata/namespace");
    let account = text(deployment, "/spec/template/spec/serviceAccountName");
    let address = plane.address();
    let mut started = arguments(deployment, &[("POD_NAMESPACE", namespace)]);
    // As shipped but for: where to listen, no wait for another HPA loop to answer, no certificate on this machine's disk.
    started.retain(|argument| !["--mode=", "--cert-dir="].iter().any(|flag| argument.starts_with(flag)));
    started.push(format!("--bind-address={address}"));
    started
        .push(if started[0] == "hpa" { "--mode=replace" } else { "--kubelet-request-timeout=5s" }.to_owned());
    let port = started.iter().find_map(|argument| argument.strip_prefix("--secure-port=")?.parse().ok());
    let started: Vec<_> = started.iter().map(String::as_str).collect();
    let program = plane.run_as(namespace, account, &started);
    if let Some(group) = group {
        let target = SocketAddr::from((address, port.expect("a port is shipped")));
        let service_port =
            group["spec"]["service"]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        plane.serve_group(
            namespace,
            text(group, "/spec/service/name"),
            service_port.expect("a port"),
            target,
        );
    }
    program
}

/// Starts the programs of overlays that are installed.
fn run_all(plane: &Plane, overlays: &[Overlay]) -> Vec<Program> {
    let objects: Vec<_> = overlays.iter().flat_map(|overlay| overlay.objects(plane.admin())).collect();
    // Every group that is shipped is served: an API group that is not breaks the deletion of namespaces.
    let program = |deployment: &Value| {
        let serves = |group: &&Value| group["spec"]["service"]["name"] == deployment["metadata"]["name"];
        run(plane, deployment, of_kind(&objects, "APIService").find(serves))
    };
    of_kind(&objects, "Deployment").map(program).collect()
}

/// Waits until `kubectl top` shows the workload's pods.
fn shows_usage(place: &Kubectl) {
    place.eventually_prints(MINUTE, &["top", "pods"], SCALED);
}

/// Installs, lets HPAs scale, uninstalls and installs again.
fn comes_and_goes(plane: &Plane, overlays: &[Overlay]) {
    let kubectl = &installer(plane);
    let node = node(plane, "uninstall");
    let place = plane.namespace(PLACE);
    place.apply(&workload());
    place.eventually_available(MINUTE, SCALED, 1);
    let before = everything(kubectl);
    overlays.iter().for_each(|overlay| drop(overlay.install(kubectl)));
    let programs = run_all(plane, overlays);
    place.eventually_available(MINUTE, SCALED, 3);
    shows_usage(&place);
    let scaled = workloads(&place);
    // The programs go on, as pods do until they are asked to end.
    overlays.iter().for_each(|overlay| overlay.uninstall(kubectl));
    assert_eq!(workloads(&place), scaled, "nothing but status may change");
    programs.iter().for_each(|program| program.signal(flyball_e2e::Signal::TERM));
    drop(programs);
    assert_eq!(workloads(&place), scaled, "nor when the programs end");
    kubectl.eventually(MINUTE, "the cluster is as it was", || same(&before, &everything(kubectl)));
    overlays.iter().for_each(|overlay| drop(overlay.install(kubectl)));
    let programs = run_all(plane, overlays);
    shows_usage(&place);
    drop(programs);
    overlays.iter().for_each(|overlay| overlay.uninstall(kubectl));
    plane.remove_namespace(PLACE);
    node.remove_nodes().expect("the node goes");
}

/// What is there that was not, what is not there any more, and what is different.
fn same(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Result<(), String> {
    let left =
        after.keys().filter(|name| !before.contains_key(*name)).map(|name| format!("left behind: {name}"));
    let changed = before.iter().filter_map(|(name, object)| match after.get(name) {
        None => Some(format!("gone: {name}")),
        Some(now) if now != object => Some(format!("changed: {name}: {object} -> {now}")),
        Some(_) => None,
    });
    let all: Vec<_> = left.chain(changed).collect();
    if all.is_empty() { Ok(()) } else { Err(all.join("\n")) }
}

#[test]
fn everything_comes_and_goes() {
    let Some(plane) = Plane::shared(Needs::light().no_hpa_loop().own_control_plane()) else { return };
    comes_and_goes(&plane, &[Overlay::named("everything")]);
}

#[test]
fn the_drop_in_comes_and_goes() {
    let Some(plane) = Plane::shared(Needs::light().no_hpa_loop().own_control_plane()) else { return };
    comes_and_goes(&plane, &["metrics-server", "hpa-replace"].map(Overlay::named));
}
