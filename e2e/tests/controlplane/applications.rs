//! `flyball server` finds applications on a real API server as a file in Prometheus' syntax says, and what it finds and
//! stores is asked for through the aggregated API.
#![allow(clippy::disallowed_methods, reason = "edge: starts the program and serves an application's metrics")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{Kubectl, Program, eventually, flyball_binary};
use serde_json::{Value, json};

/// A scrape each second, a watch to begin, and a busy machine.
const FOUND: Duration = Duration::from_secs(120);

const PLACE: &str = "scraped";

/// One job for each role; `PORT` is the application's.
const FILE: &str = r"
global: {scrape_interval: 1s}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{role: pod, namespaces: {names: [scraped]}, attach_metadata: {node: true}}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_label_app], regex: shop, action: keep}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__meta_kubernetes_node_label_zone], target_label: zone}
- job_name: endpoints
  kubernetes_sd_configs: [{role: endpoints, namespaces: {names: [scraped]}}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_service_name], regex: shop, action: keep}
  - {source_labels: [__meta_kubernetes_endpoint_port_name], target_label: port}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
- job_name: nodes
  kubernetes_sd_configs: [{role: node, selectors: [{role: node, label: zone=north}]}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_node_name], target_label: node}
  - {target_label: __address__, replacement: 'ADDRESS'}
";

/// Answers every request with one counter, as long as the test runs.
fn serve(address: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("an address of the plane is bound");
    let bound = listener.local_addr().expect("the listener has an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let body = "# TYPE shop_orders_total counter\nshop_orders_total 7\n";
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    bound
}

/// A node, a pod on it that runs at this address, and a service of it.
fn create_objects(place: &Kubectl, application: SocketAddr) {
    let (ip, port) = (application.ip().to_string(), application.port());
    place.apply(&json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "north-1", "labels": {"zone": "north"}},
    }));
    // A node without an address is no target.
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": ip}]}}).to_string();
    place.ok(&["patch", "node", "north-1", "--subresource=status", "--type=merge", "-p", &status]);
    place.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop-1", "labels": {"app": "shop"}},
        "spec": {"nodeName": "north-1", "containers": [{
            "name": "shop", "image": "shop", "ports": [{"name": "http", "containerPort": port}],
        }]},
    }));
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}}).to_string();
    place.ok(&["patch", "pod", "shop-1", "--subresource=status", "--type=merge", "-p", &status]);
    place.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
        "spec": {"clusterIP": "None", "ports": [{"name": "web", "port": port}]},
    }));
    place.apply(&json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "shop"},
        "subsets": [{
            "addresses": [{"ip": ip, "nodeName": "north-1",
                "targetRef": {"kind": "Pod", "namespace": PLACE, "name": "shop-1"}}],
            "ports": [{"name": "web", "port": port, "protocol": "TCP"}],
        }],
    }));
}

/// `flyball server` with this file, behind the aggregated API.
fn server(plane: &Plane, place: &Kubectl, folder: &Path, file: &str) -> Program {
    let config = folder.join("scrape.yml");
    std::fs::write(&config, file).expect("the file is written");
    let probe = TcpListener::bind((plane.address(), 0)).expect("an address of the plane is bound");
    let address = probe.local_addr().expect("the listener has an address");
    drop(probe);
    let kubeconfig = plane.admin_kubeconfig().display();
    let mut command = Command::new(flyball_binary());
    command
        .arg("server")
        .arg(format!("--kubeconfig={kubeconfig}"))
        .arg(format!("--authentication-kubeconfig={kubeconfig}"))
        .arg(format!("--authorization-kubeconfig={kubeconfig}"))
        .arg(format!("--cert-dir={}", folder.join("certificates").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("history").display()))
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--bind-address={}", address.ip()))
        .arg(format!("--secure-port={}", address.port()))
        .arg("--kubelet-insecure-tls");
    let program = Program::start(command, &folder.join("server.log"));
    plane.serve_group(PLACE, "history", 443, address);
    place.apply(&json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.history.flyball.io"},
        "spec": {
            "group": "history.flyball.io", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": PLACE, "name": "history"},
        },
    }));
    program
}

/// The values of one label of all series of a query.
fn values(plane: &Plane, query: &str, label: &str) -> Result<Vec<String>, String> {
    let answer = plane.admin().raw(&format!("/apis/history.flyball.io/v1/query?query={query}"))?;
    let result = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(result.iter().map(|series| text(&series["metric"][label])).collect())
}

#[test]
fn a_file_finds_pods_endpoints_and_nodes() {
    let Some(plane) = Plane::shared(Needs::light().own_control_plane()) else { return };
    let place = plane.namespace(PLACE);
    let application = serve(plane.address());
    create_objects(&place, application);
    let folder = tempfile::tempdir().expect("a folder");
    let file = FILE.replace("ADDRESS", &application.to_string());
    let server = server(&plane, &place, folder.path(), &file);
    let expected = [
        ("shop_orders_total%7Bjob%3D%22pods%22%7D", "pod", "shop-1"),
        ("shop_orders_total%7Bjob%3D%22pods%22%7D", "zone", "north"),
        ("shop_orders_total%7Bjob%3D%22endpoints%22%7D", "pod", "shop-1"),
        ("shop_orders_total%7Bjob%3D%22endpoints%22%7D", "port", "web"),
        ("shop_orders_total%7Bjob%3D%22nodes%22%7D", "node", "north-1"),
    ];
    for (query, label, value) in expected {
        eventually(
            FOUND,
            "an application is found and stored",
            || server.state(),
            || match values(&plane, query, label) {
                Ok(found) if found == [value] => Ok(()),
                other => Err(format!("{query}: {other:?}")),
            },
        );
    }
    // The file changes: what it leaves out ends, what is wrong with it changes nothing.
    let config = folder.path().join("scrape.yml");
    std::fs::write(&config, "scrape_configs: [{job_nam: x}]").expect("the file is written");
    eventually(
        FOUND,
        "a file that is wrong is told",
        || server.state(),
        || {
            let info = plane.admin().raw("/apis/history.flyball.io/v1/status/runtimeinfo")?;
            if info["data"]["reloadConfigSuccess"] == false { Ok(()) } else { Err(info.to_string()) }
        },
    );
    assert_eq!(values(&plane, expected[0].0, "pod"), Ok(vec!["shop-1".to_owned()]));
    let only_nodes = file.split("- job_name: endpoints").next().expect("the first part").to_owned();
    std::fs::write(&config, only_nodes).expect("the file is written");
    eventually(
        FOUND,
        "jobs that the file leaves out end",
        || server.state(),
        || {
            let (gone, stays) =
                (values(&plane, expected[2].0, "pod")?, values(&plane, expected[0].0, "pod")?);
            if gone.is_empty() && stays == ["shop-1"] { Ok(()) } else { Err(format!("{gone:?} {stays:?}")) }
        },
    );
    place.ok(&["delete", "apiservice", "v1.history.flyball.io"]);
    place.ok(&["delete", "node", "north-1"]);
    drop(server);
    plane.remove_namespace(PLACE);
}
