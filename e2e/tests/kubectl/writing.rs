//! apply, create, patch, replace, label, annotate.

use flyball_e2e::manifests::{IDLE, script_deployment};
use serde_json::json;

use crate::{CLUSTER, holds};

#[test]
fn apply_creates_changes_and_removes() {
    let Some(kubectl) = CLUSTER.namespace("apply") else { return };
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"keep": "1", "drop": "1"}},
        "data": {"a": "1", "b": "2"},
    });
    holds(&kubectl.apply(&object), &["configmap/settings created"]);
    holds(&kubectl.apply(&object), &["configmap/settings unchanged"]);
    // Someone else's field: apply must leave it alone.
    kubectl.ok(&["patch", "configmap", "settings", "-p", r#"{"data":{"other":"3"}}"#]);
    object["metadata"]["labels"] = json!({"keep": "1"});
    object["data"] = json!({"a": "one"});
    holds(&kubectl.apply(&object), &["configmap/settings configured"]);
    let stored = kubectl.json(&["get", "configmap", "settings"]);
    assert_eq!(stored["data"], json!({"a": "one", "other": "3"}));
    assert_eq!(stored["metadata"]["labels"], json!({"keep": "1"}));
}

#[test]
fn apply_removes_a_field_of_a_list_element() {
    let Some(kubectl) = CLUSTER.namespace("three-way") else { return };
    let mut object = script_deployment("web", 0, IDLE);
    object["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    object["spec"]["minReadySeconds"] = json!(1);
    kubectl.apply(&object);
    object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "B", "value": "3"}]);
    object["spec"].as_object_mut().expect("a spec").remove("minReadySeconds");
    kubectl.apply(&object);
    let spec = &kubectl.json(&["get", "deployment", "web"])["spec"];
    assert_eq!(spec["template"]["spec"]["containers"][0]["env"], json!([{"name": "B", "value": "3"}]));
    assert_eq!(spec["minReadySeconds"].as_i64().unwrap_or(0), 0, "{spec}");
}

#[test]
fn apply_names_an_unknown_field() {
    let Some(kubectl) = CLUSTER.namespace("unknown-field") else { return };
    let mut object = script_deployment("web", 0, IDLE);
    object["spec"]["replicaz"] = json!(1);
    let error = kubectl.fails_with_input(&["apply", "-f", "-"], &object.to_string());
    holds(&error, &["unknown field", "replicaz"]);
    holds(&kubectl.fails(&["get", "deployment", "web"]), &["NotFound"]);
}

#[test]
fn create_in_every_form() {
    let Some(kubectl) = CLUSTER.namespace("create") else { return };
    kubectl.ok(&[
        "create",
        "deployment",
        "web",
        "--image",
        "flyball.io/host",
        "--replicas",
        "0",
        "--",
        "sleep",
        "1000",
    ]);
    let container =
        kubectl.json(&["get", "deployment", "web"])["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["command"], json!(["sleep", "1000"]));
    kubectl.ok(&["create", "configmap", "settings", "--from-literal", "colour=blue"]);
    assert_eq!(kubectl.ok(&["get", "configmap", "settings", "-o", "jsonpath={.data.colour}"]), "blue");
    kubectl.ok(&["create", "secret", "generic", "password", "--from-literal", "word=abc"]);
    assert_eq!(kubectl.ok(&["get", "secret", "password", "-o", "jsonpath={.data.word}"]), "YWJj");
    kubectl.ok(&["create", "serviceaccount", "robot"]);
    kubectl.ok(&["create", "namespace", "create-another"]);
    assert_eq!(
        kubectl.ok(&["get", "namespace", "create-another", "-o", "jsonpath={.status.phase}"]),
        "Active"
    );
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "some-"}});
    holds(
        &kubectl.ok_with_input(&["create", "-f", "-"], &object.to_string()),
        &["configmap/some-", "created"],
    );
    let error = kubectl.fails(&["create", "configmap", "settings"]);
    holds(&error, &["failed to create configmap", "configmaps \"settings\" already exists"]);
    let mut again = object.clone();
    again["metadata"] = json!({"name": "settings"});
    let error = kubectl.fails_with_input(&["create", "-f", "-"], &again.to_string());
    holds(&error, &["AlreadyExists", "configmaps \"settings\" already exists"]);
    let error = kubectl.fails(&["create", "configmap", "Not_A_Name"]);
    holds(&error, &["metadata.name", "Invalid value", "Not_A_Name"]);
    let mut elsewhere = object;
    elsewhere["metadata"] = json!({"name": "x"});
    let error =
        kubectl.in_namespace("nowhere").fails_with_input(&["create", "-f", "-"], &elsewhere.to_string());
    holds(&error, &["namespaces \"nowhere\" not found"]);
}

#[test]
fn patch_in_every_form() {
    let Some(kubectl) = CLUSTER.namespace("patch") else { return };
    let mut object = script_deployment("web", 0, IDLE);
    object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]);
    kubectl.apply(&object);
    let spec = || kubectl.json(&["get", "deployment", "web"])["spec"].clone();

    // Strategic: elements of `containers` and `env` are merged by name.
    let patch =
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"B","value":"2"}]}]}}}}"#;
    kubectl.ok(&["patch", "deployment", "web", "-p", patch]);
    let container = spec()["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["image"], "flyball.io/host");
    let env = container["env"].as_array().cloned().unwrap_or_default();
    assert_eq!(env.len(), 2, "{container}");

    // Merge: lists are replaced, null removes.
    let patch =
        r#"{"metadata":{"labels":{"app":null,"colour":"blue"}},"spec":{"replicas":0,"minReadySeconds":2}}"#;
    kubectl.ok(&["patch", "deployment", "web", "--type", "merge", "-p", patch]);
    assert_eq!(kubectl.json(&["get", "deployment", "web"])["metadata"]["labels"], json!({"colour": "blue"}));
    assert_eq!(spec()["minReadySeconds"], 2);

    // JSON: operations, of which a failed test refuses the whole.
    let patch = r#"[{"op":"test","path":"/spec/minReadySeconds","value":2},{"op":"replace","path":"/spec/minReadySeconds","value":3}]"#;
    kubectl.ok(&["patch", "deployment", "web", "--type", "json", "-p", patch]);
    assert_eq!(spec()["minReadySeconds"], 3);
    kubectl.fails(&["patch", "deployment", "web", "--type", "json", "-p", patch]);
    assert_eq!(spec()["minReadySeconds"], 3);

    let error = kubectl.fails(&["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":-1}}"#]);
    holds(&error, &["spec.replicas", "Invalid value", "-1"]);
    let error = kubectl.fails(&[
        "patch",
        "deployment",
        "web",
        "-p",
        r#"{"spec":{"selector":{"matchLabels":{"app":"x"}}}}"#,
    ]);
    holds(&error, &["spec.selector"]);
}

#[test]
fn replace_refuses_a_stale_version() {
    let Some(kubectl) = CLUSTER.namespace("conflict") else { return };
    kubectl.ok(&["create", "configmap", "settings", "--from-literal", "a=1"]);
    let mut stale = kubectl.json(&["get", "configmap", "settings"]);
    kubectl.ok(&["patch", "configmap", "settings", "-p", r#"{"data":{"a":"2"}}"#]);
    stale["data"]["a"] = json!("3");
    let error = kubectl.fails_with_input(&["replace", "-f", "-"], &stale.to_string());
    holds(&error, &["Conflict", "the object has been modified"]);
    assert_eq!(kubectl.ok(&["get", "configmap", "settings", "-o", "jsonpath={.data.a}"]), "2");
}

#[test]
fn label_and_annotate() {
    let Some(kubectl) = CLUSTER.namespace("label") else { return };
    kubectl.ok(&["create", "configmap", "settings"]);
    kubectl.ok(&["label", "configmap", "settings", "tier=front"]);
    kubectl.fails(&["label", "configmap", "settings", "tier=back"]);
    kubectl.ok(&["label", "--overwrite", "configmap", "settings", "tier=back"]);
    assert_eq!(
        kubectl.ok(&["get", "configmap", "settings", "-o", "jsonpath={.metadata.labels.tier}"]),
        "back"
    );
    kubectl.ok(&["label", "configmap", "settings", "tier-"]);
    kubectl.ok(&["annotate", "configmap", "settings", "note=any text at all"]);
    let metadata = kubectl.json(&["get", "configmap", "settings"])["metadata"].clone();
    assert!(metadata["labels"].get("tier").is_none(), "{metadata}");
    assert_eq!(metadata["annotations"]["note"], "any text at all");
    holds(&kubectl.fails(&["label", "configmap", "settings", "tier=not/good"]), &["not/good"]);
}
