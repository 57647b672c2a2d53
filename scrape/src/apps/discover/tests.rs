use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use kube::runtime::watcher::Event;
use serde_json::json;

use super::super::job::{Kubernetes, Role};
use super::super::labelset::LabelSet;
use super::world::{Happened, World};
use super::{Update, pod};

fn search(role: Role, attach_node: bool) -> Kubernetes {
    Kubernetes { role, namespaces: Vec::new(), own_namespace: false, selectors: Vec::new(), attach_node }
}

fn pod_object(name: &str, change: impl FnOnce(&mut serde_json::Value)) -> Pod {
    let mut value = json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": "u-1",
            "labels": {"app.kubernetes.io/name": "web"},
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "x"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "y", "controller": true}
            ]
        },
        "spec": {
            "nodeName": "n1",
            "containers": [
                {"name": "app", "image": "web:1", "ports": [
                    {"name": "http", "containerPort": 80, "protocol": "TCP"},
                    {"containerPort": 9000, "protocol": "UDP"}
                ]},
                {"name": "side", "image": "side:2"}
            ],
            "initContainers": [{"name": "init", "image": "init:3", "ports": [{"name": "i", "containerPort": 1}]}]
        },
        "status": {
            "podIP": "10.1.0.7", "hostIP": "10.0.0.1", "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": "app", "containerID": "containerd://a", "image": "", "imageID": "", "ready": true, "restartCount": 0}
            ]
        }
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// Labels without the prefix of all, one a line; those that are listed only.
fn shown(set: &LabelSet, without: &[&str]) -> Vec<String> {
    set.iter()
        .map(|(name, value)| format!("{}={value}", name.replace("__meta_kubernetes_", "~")))
        .filter(|line| !without.iter().any(|prefix| line.starts_with(prefix)))
        .collect()
}

const OF_POD: [&str; 14] = [
    "~pod_annotation_prometheus_io_scrape=true",
    "~pod_annotationpresent_prometheus_io_scrape=true",
    "~pod_controller_kind=ReplicaSet",
    "~pod_controller_name=web-5d",
    "~pod_host_ip=10.0.0.1",
    "~pod_ip=10.1.0.7",
    "~pod_label_app_kubernetes_io_name=web",
    "~pod_labelpresent_app_kubernetes_io_name=true",
    "~pod_name=web-0",
    "~pod_node_name=n1",
    "~pod_phase=Running",
    "~pod_ready=true",
    "~pod_uid=u-1",
    "~namespace=ns",
];

#[test]
fn a_pod_has_a_target_for_each_port() {
    let targets = pod::targets(&pod_object("web-0", |_| {}), None);
    let of_container: Vec<String> = targets.iter().map(|set| shown(set, &OF_POD).join(" ")).collect();
    assert_eq!(
        of_container,
        [
            "__address__=10.1.0.7:80 ~pod_container_id=containerd://a ~pod_container_image=web:1 ~pod_container_init=false \
             ~pod_container_name=app ~pod_container_port_name=http ~pod_container_port_number=80 ~pod_container_port_protocol=TCP",
            "__address__=10.1.0.7:9000 ~pod_container_id=containerd://a ~pod_container_image=web:1 ~pod_container_init=false \
             ~pod_container_name=app ~pod_container_port_number=9000 ~pod_container_port_protocol=UDP",
            "__address__=10.1.0.7 ~pod_container_image=side:2 ~pod_container_init=false ~pod_container_name=side",
            "__address__=10.1.0.7:1 ~pod_container_image=init:3 ~pod_container_init=true ~pod_container_name=init \
             ~pod_container_port_name=i ~pod_container_port_number=1 ~pod_container_port_protocol=TCP",
        ]
    );
    for set in &targets {
        let lines = shown(set, &[]);
        assert!(OF_POD.iter().all(|line| lines.iter().any(|have| have == line)), "{lines:?}");
    }
}

#[test]
fn pods_without_address_or_condition() {
    let starting = pod_object("p", |value| value["status"] = json!({"phase": "Pending"}));
    assert!(pod::targets(&starting, None).is_empty());
    let bare = pod_object("p", |value| value["status"] = json!({"podIP": "fd00::7"}));
    let targets = pod::targets(&bare, None);
    assert_eq!(targets[0].get("__address__"), "[fd00::7]:80");
    assert_eq!(targets[2].get("__address__"), "fd00::7");
    assert_eq!(targets[0].get("__meta_kubernetes_pod_ready"), "unknown");
}

fn node_object(name: &str, zone: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"providerID": "aws:///i-1"},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "host"},
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "fd00::1"}
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}
        }
    }))
    .unwrap()
}

fn sources(updates: &[Update]) -> Vec<String> {
    updates.iter().map(|update| format!("{}:{}", update.source, update.found.len())).collect()
}

#[test]
fn nodes() {
    let mut world = World::new(&search(Role::Node, false), 1);
    assert!(world.take(0, Happened::Node(Event::Init)).is_empty());
    assert!(world.take(0, Happened::Node(Event::InitApply(node_object("n1", "a")))).is_empty());
    let updates = world.take(0, Happened::Node(Event::InitDone));
    assert_eq!(sources(&updates), ["node/n1:1"]);
    assert_eq!(
        shown(&updates[0].found[0], &[]),
        [
            "__address__=10.0.0.1:10250",
            "~node_address_Hostname=host",
            "~node_address_InternalIP=10.0.0.1",
            "~node_label_topology_kubernetes_io_zone=a",
            "~node_labelpresent_topology_kubernetes_io_zone=true",
            "~node_name=n1",
            "~node_provider_id=aws:///i-1",
            "instance=n1",
        ]
    );
    let nowhere: Node = serde_json::from_value(json!({"metadata": {"name": "n2"}, "status": {}})).unwrap();
    assert_eq!(sources(&world.take(0, Happened::Node(Event::Apply(nowhere)))), ["node/n2:0"]);
    assert!(
        world.take(0, Happened::Node(Event::Apply(node_object("n1", "a")))).is_empty(),
        "a heartbeat is no change"
    );
    assert_eq!(sources(&world.take(0, Happened::Node(Event::Delete(node_object("n1", "a"))))), ["node/n1:0"]);
}

#[test]
fn pods_get_labels_of_their_nodes() {
    let mut world = World::new(&search(Role::Pod, true), 1);
    world.take(0, Happened::Pod(Event::InitApply(pod_object("web-0", |_| {}))));
    assert!(world.take(0, Happened::Pod(Event::InitDone)).is_empty(), "not before the nodes are known");
    world.take(0, Happened::Node(Event::InitApply(node_object("n1", "a"))));
    let zone = |updates: &[Update]| {
        updates[0].found[0].get("__meta_kubernetes_node_label_topology_kubernetes_io_zone").to_owned()
    };
    let updates = world.take(0, Happened::Node(Event::InitDone));
    assert_eq!((sources(&updates), zone(&updates)), (vec!["pod/ns/web-0:4".to_owned()], "a".to_owned()));
    let updates = world.take(0, Happened::Node(Event::Apply(node_object("n1", "b"))));
    assert_eq!(zone(&updates), "b");
    assert!(world.take(0, Happened::Node(Event::Apply(node_object("n9", "b")))).is_empty());
}

#[test]
fn a_watch_that_starts_again_tells_differences() {
    let mut world = World::new(&search(Role::Pod, false), 2);
    let named = |name: &str| pod_object(name, |_| {});
    let mut take = |scope, event| sources(&world.take(scope, Happened::Pod(event)));
    assert_eq!(take(0, Event::InitApply(named("a"))), ["pod/ns/a:4"], "pods alone are told at once");
    take(0, Event::InitApply(named("b")));
    assert!(take(0, Event::InitDone).is_empty());
    assert!(take(1, Event::InitDone).is_empty(), "the other namespace has none");
    assert!(take(0, Event::Apply(named("b"))).is_empty(), "nothing changed");
    take(0, Event::Init);
    assert!(take(0, Event::InitApply(named("b"))).is_empty());
    assert_eq!(take(0, Event::InitApply(named("c"))), ["pod/ns/c:4"]);
    assert_eq!(take(0, Event::InitDone), ["pod/ns/a:0"]);
    let failed = pod_object("c", |value| value["status"]["phase"] = json!("Failed"));
    assert_eq!(take(0, Event::Apply(failed.clone())), ["pod/ns/c:4"]);
    assert_eq!(take(0, Event::Delete(failed.clone())), ["pod/ns/c:0"]);
    assert!(take(0, Event::Delete(failed)).is_empty());
}

#[test]
fn a_joined_watch_that_starts_again_tells_differences() {
    let mut world = World::new(&search(Role::Node, false), 0);
    let mut take = |event| sources(&world.take(0, Happened::Node(event)));
    for name in ["a", "b"] {
        assert!(take(Event::InitApply(node_object(name, "z"))).is_empty());
    }
    assert_eq!(take(Event::InitDone), ["node/a:1", "node/b:1"]);
    take(Event::Init);
    take(Event::InitApply(node_object("b", "z")));
    take(Event::InitApply(node_object("c", "z")));
    assert_eq!(take(Event::InitDone), ["node/a:0", "node/c:1"]);
}

fn endpoints_object() -> Endpoints {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns", "labels": {"e": "1"}},
        "subsets": [{
            "addresses": [
                {"ip": "10.1.0.7", "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "ns"}},
                {"ip": "10.9.9.9", "hostname": "out"}
            ],
            "notReadyAddresses": [{"ip": "10.8.8.8"}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]
        }]
    }))
    .unwrap()
}

#[test]
fn endpoints_with_what_is_behind_them() {
    let mut world = World::new(&search(Role::Endpoints, true), 1);
    let service: Service =
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "ns", "labels": {"s": "2"}}}))
            .unwrap();
    world.take(0, Happened::Endpoints(Event::InitApply(endpoints_object())));
    world.take(0, Happened::Endpoints(Event::InitDone));
    world.take(0, Happened::Service(Event::InitApply(service.clone())));
    world.take(0, Happened::Service(Event::InitDone));
    world.take(0, Happened::Node(Event::InitApply(node_object("n1", "a"))));
    world.take(0, Happened::Node(Event::InitDone));
    world.take(0, Happened::Pod(Event::InitApply(pod_object("web-0", |_| {}))));
    let updates = world.take(0, Happened::Pod(Event::InitDone));
    // Three addresses, and the two ports of the pod that the service does not name.
    assert_eq!(sources(&updates), ["endpoints/ns/web:5"]);
    let found = &updates[0].found;
    let common = ["~endpoints_label", "~endpoints_name=web", "~namespace=ns", "~service_"];
    let without: Vec<&str> = common.into_iter().chain(OF_POD).collect();
    assert_eq!(
        shown(&found[0], &without),
        [
            "__address__=10.1.0.7:80",
            "~endpoint_address_target_kind=Pod",
            "~endpoint_address_target_name=web-0",
            "~endpoint_node_name=n1",
            "~endpoint_port_name=http",
            "~endpoint_port_protocol=TCP",
            "~endpoint_ready=true",
            "~node_label_topology_kubernetes_io_zone=a",
            "~node_labelpresent_topology_kubernetes_io_zone=true",
            "~node_name=n1",
            "~pod_container_image=web:1",
            "~pod_container_init=false",
            "~pod_container_name=app",
            "~pod_container_port_name=http",
            "~pod_container_port_number=80",
            "~pod_container_port_protocol=TCP",
        ]
    );
    assert_eq!(
        shown(&found[1], &without),
        [
            "__address__=10.9.9.9:80",
            "~endpoint_hostname=out",
            "~endpoint_port_name=http",
            "~endpoint_port_protocol=TCP",
            "~endpoint_ready=true"
        ]
    );
    assert_eq!(found[2].get("__meta_kubernetes_endpoint_ready"), "false");
    assert_eq!((found[3].get("__address__"), found[4].get("__address__")), ("10.1.0.7:9000", "10.1.0.7:1"));
    assert_eq!(found[3].get("__meta_kubernetes_endpoint_ready"), "");
    for set in found.iter() {
        assert_eq!(set.get("__meta_kubernetes_service_label_s"), "2");
        assert_eq!(set.get("__meta_kubernetes_endpoints_label_e"), "1");
    }
    // What happens to anything behind them makes them anew.
    let other = pod_object("web-0", |value| value["status"]["phase"] = json!("Failed"));
    assert_eq!(sources(&world.take(0, Happened::Pod(Event::Apply(other)))), ["endpoints/ns/web:5"]);
    assert_eq!(sources(&world.take(0, Happened::Service(Event::Delete(service)))), ["endpoints/ns/web:5"]);
    assert_eq!(
        sources(&world.take(0, Happened::Node(Event::Apply(node_object("n1", "b"))))),
        ["endpoints/ns/web:5"]
    );
    assert!(world.take(0, Happened::Pod(Event::Apply(pod_object("alone", |_| {})))).is_empty());
    assert_eq!(
        sources(&world.take(0, Happened::Endpoints(Event::Delete(endpoints_object())))),
        ["endpoints/ns/web:0"]
    );
}
