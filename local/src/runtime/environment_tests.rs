//! Variables by source, and what is said when a reference leads nowhere.

use serde_json::json;

use super::*;

struct Fixed;

impl Objects for Fixed {
    fn config_map(&self, name: &str) -> Option<Value> {
        (name == "settings").then(|| json!({"data": {"COLOR": "blue", "SIZE": "2"}}))
    }

    fn secret(&self, name: &str) -> Option<Value> {
        (name == "keys").then(|| json!({"data": {"TOKEN": "c2VjcmV0"}}))
    }

    fn services(&self) -> Vec<Value> {
        vec![
            json!({"metadata": {"name": "my-web"}, "spec": {"clusterIP": "127.9.128.2",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}),
            json!({"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}),
        ]
    }
}

fn variables(container: Value) -> Result<BTreeMap<String, String>, String> {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u-1", "labels": {"app": "web"},
            "annotations": {"note/x": "hi"}},
        "spec": {"nodeName": "n", "serviceAccountName": "default", "containers": [container]},
    });
    let spec: PodSpec = serde_json::from_value(pod["spec"].clone()).unwrap();
    let source = Source {
        pod: &pod,
        spec: &spec,
        container: &spec.containers[0],
        pod_ip: IpAddr::from([127, 9, 0, 2]),
        host_ip: IpAddr::from([127, 0, 0, 1]),
        node_cpu_milli: 2000,
        node_memory_bytes: 1 << 30,
        api_server: std::net::SocketAddr::from(([127, 0, 0, 1], 6443)),
    };
    build(&source, &Fixed)
}

#[test]
fn downward_api() {
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let env = json!([
        field("NAME", "metadata.name"),
        field("NS", "metadata.namespace"),
        field("UID", "metadata.uid"),
        field("LABEL", "metadata.labels['app']"),
        field("NOTE", "metadata.annotations['note/x']"),
        field("NODE", "spec.nodeName"),
        field("ACCOUNT", "spec.serviceAccountName"),
        field("POD_IP", "status.podIP"),
        field("HOST_IP", "status.hostIP"),
        {"name": "URL", "value": "http://$(POD_IP):$(PORT)/$$(POD_IP)"},
    ]);
    let variables = variables(json!({"name": "c", "env": env})).unwrap();
    for (name, expected) in [
        ("NAME", "p"),
        ("NS", "ns"),
        ("UID", "u-1"),
        ("LABEL", "web"),
        ("NOTE", "hi"),
        ("NODE", "n"),
        ("ACCOUNT", "default"),
        ("POD_IP", "127.9.0.2"),
        ("HOST_IP", "127.0.0.1"),
        ("URL", "http://127.9.0.2:$(PORT)/$(POD_IP)"),
        ("MY_WEB_SERVICE_HOST", "127.9.128.2"),
        ("MY_WEB_SERVICE_PORT", "80"),
        ("MY_WEB_SERVICE_PORT_HTTP", "80"),
        ("MY_WEB_PORT_80_TCP_ADDR", "127.9.128.2"),
        ("KUBERNETES_SERVICE_PORT", "6443"),
    ] {
        assert_eq!(variables.get(name).map(String::as_str), Some(expected), "{name}");
    }
    assert!(!variables.contains_key("HEADLESS_SERVICE_HOST"));
}

#[test]
fn maps_secrets_and_resources() {
    let key = |name: &str, kind: &str, object: &str, key: &str| json!({"name": name, "valueFrom": {kind: {"name": object, "key": key}}});
    let resource = |name: &str, resource: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}});
    let container = json!({
        "name": "c",
        "resources": {"limits": {"cpu": "250m"}, "requests": {"memory": "10Mi"}},
        "envFrom": [{"prefix": "CFG_", "configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "absent", "optional": true}}],
        "env": [
            key("COLOR", "configMapKeyRef", "settings", "COLOR"),
            key("TOKEN", "secretKeyRef", "keys", "TOKEN"),
            resource("CPU", "limits.cpu", "0"),
            resource("CPU_MILLI", "limits.cpu", "1m"),
            resource("MEMORY_MI", "requests.memory", "1Mi"),
            resource("NODE_MEMORY", "limits.memory", "1Mi"),
        ],
    });
    let variables = variables(container).unwrap();
    for (name, expected) in [
        ("CFG_SIZE", "2"),
        ("COLOR", "blue"),
        ("TOKEN", "secret"),
        ("CPU", "1"),
        ("CPU_MILLI", "250"),
        ("MEMORY_MI", "10"),
        ("NODE_MEMORY", "1024"),
    ] {
        assert_eq!(variables.get(name).map(String::as_str), Some(expected), "{name}");
    }
}

#[test]
fn missing_references_are_named() {
    let with = |value_from: Value| json!({"name": "c", "env": [{"name": "X", "valueFrom": value_from}]});
    for (value_from, expected) in [
        (json!({"configMapKeyRef": {"name": "no", "key": "k"}}), "env \"X\": configmap \"no\" not found"),
        (
            json!({"configMapKeyRef": {"name": "settings", "key": "k"}}),
            "env \"X\": couldn't find key k in configmap \"settings\"",
        ),
        (json!({"fieldRef": {"fieldPath": "spec.x"}}), "env \"X\": fieldPath \"spec.x\" is not supported"),
    ] {
        assert_eq!(variables(with(value_from)).unwrap_err(), expected);
    }
    let optional = json!({"configMapKeyRef": {"name": "no", "key": "k", "optional": true}});
    assert!(!variables(with(optional)).unwrap().contains_key("X"));
    let from = json!({"name": "c", "envFrom": [{"configMapRef": {"name": "no"}}]});
    assert_eq!(variables(from).unwrap_err(), "configmap \"no\" not found");
}
