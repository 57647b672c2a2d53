//! The hollow nodes that the swaps stand on: their pods live as under a kubelet.

use std::net::SocketAddr;
use std::time::Duration;

use flyball_benches::kubelets::{Config, Simulation};
use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{Kubectl, SHORT};
use serde_json::json;

/// Namespace of the pods.
const NAMESPACE: &str = "hollow";
/// Bound for what a kubelet does at once.
const SOON: Duration = Duration::from_secs(10);
/// Start-up time of the pod.
const STARTUP: &str = "4s";

#[test]
fn pods_on_hollow_nodes_start_become_ready_and_end() {
    let Some(plane) = Plane::shared(Needs::light().own_control_plane()) else { return };
    let kubectl = plane.namespace(NAMESPACE);
    let mut config = Config::new("life", [SocketAddr::from((plane.address(), 10250))]);
    config.kubeconfig = Some(plane.admin_kubeconfig().to_owned());
    let simulation = Simulation::start(config).expect("the simulation starts");
    kubectl.ok(&["wait", "node/life-0", "--for=condition=Ready", "--timeout=30s"]);
    kubectl.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "one",
            "annotations": {"sim.flyball.io/cpu": "main=200m,side=50m", "sim.flyball.io/startup": STARTUP},
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "life-0"},
            "initContainers": [{"name": "first", "image": "any"}],
            "containers": [{"name": "main", "image": "any"}, {"name": "side", "image": "any"}],
        },
    }));
    kubectl.ok(&["wait", "pod/one", "--for=jsonpath={.status.phase}=Running", "--timeout=30s"]);
    assert_eq!(ready(&kubectl), "False", "it starts up");
    kubectl.ok(&["wait", "pod/one", "--for=condition=Ready", "--timeout=30s"]);
    let used = &simulation.usage(NAMESPACE)["one"];
    assert_eq!((used["main"].nanocores, used["side"].nanocores), (200_000_000, 50_000_000));
    let init = "jsonpath={.status.initContainerStatuses[0].state.terminated.reason}";
    assert_eq!(kubectl.ok(&["get", "pod", "one", "--output", init]), "Completed");

    kubectl.ok(&["annotate", "pod/one", "sim.flyball.io/ready=false"]);
    kubectl.ok(&["wait", "pod/one", "--for=condition=Ready=False", "--timeout=30s"]);
    kubectl.ok(&["annotate", "pod/one", "sim.flyball.io/ready-", "sim.flyball.io/cpu=300m", "--overwrite"]);
    kubectl.ok(&["wait", "pod/one", "--for=condition=Ready", "--timeout=30s"]);
    assert_eq!(simulation.usage(NAMESPACE)["one"]["side"].nanocores, 150_000_000);

    // A real kubelet would take the 30 s of its grace period.
    kubectl.ok(&["delete", "pod", "one", "--wait=false"]);
    kubectl.eventually(SOON, "the pod has ended", || {
        let left = kubectl.ok(&["get", "pods", "--output", "name"]);
        if left.is_empty() && simulation.usage(NAMESPACE).is_empty() { Ok(()) } else { Err(left) }
    });
    kubectl.eventually(SHORT, "the node has a Lease", || {
        let found = kubectl.run(&["get", "lease", "life-0", "--namespace=kube-node-lease"]);
        if found.success() { Ok(()) } else { Err(found.to_string()) }
    });
    simulation.remove_nodes().expect("the nodes go");
    assert!(kubectl.ok(&["get", "nodes", "life-0", "--ignore-not-found"]).is_empty());
}

fn ready(kubectl: &Kubectl) -> String {
    kubectl.ok(&["get", "pod", "one", "--output", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"])
}
