//! The registry's promises, without a disk and without HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use flyball_local::registry::kinds::{
    CONFIGMAPS, DEPLOYMENTS, EVENTS, HPAS, NAMESPACES, NODES, PODS, REPLICASETS, SECRETS, SERVICEACCOUNTS,
    SERVICES,
};
use flyball_local::registry::{
    DeleteOptions, MAX_EVENTS, Part, Propagation, RING_EVENTS, Registry, Resource, Status, WatchKind, json,
};
use serde_json::{Value, json};

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

fn pod(name: &str, node: &str) -> Value {
    let container = json!({"name": "main", "image": "flyball.io/host"});
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [container]}});
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

fn deployment(name: &str) -> Value {
    let container = json!({"name": "main", "image": "flyball.io/host"});
    json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, "template": {
        "metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}}})
}

fn delete(
    registry: &Registry,
    resource: &'static Resource,
    name: &str,
) -> Result<std::sync::Arc<Value>, Status> {
    let namespace = if resource.namespaced { "default" } else { "" };
    registry.delete(resource, namespace, name, DeleteOptions::default())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: u16, message: &str) {
    let status = result.unwrap_err();
    assert_eq!((status.code(), status.message.as_str()), (code, message));
}

#[test]
fn a_new_object_gets_what_only_the_server_gives() {
    let registry = Registry::in_memory();
    let created = registry.create(&DEPLOYMENTS, "default", deployment("web")).unwrap();
    assert_eq!(json::text(&created, "/apiVersion"), "apps/v1");
    assert_eq!(json::namespace(&created), "default");
    assert_eq!(json::uid(&created).len(), 36);
    assert_eq!(json::int(&created, "/metadata/generation"), Some(1));
    assert_eq!(json::int(&created, "/spec/replicas"), Some(1));
    refused(
        registry.create(&DEPLOYMENTS, "default", deployment("web")),
        409,
        "deployments.apps \"web\" already exists",
    );
    let mut invalid = deployment("web");
    invalid["spec"]["replicas"] = (-1).into();
    let status = registry.create(&DEPLOYMENTS, "default", invalid).unwrap_err();
    assert_eq!(status.code(), 422, "what is wrong comes before whose the name is: {}", status.message);
    refused(
        registry.create(&CONFIGMAPS, "nowhere", config_map("x")),
        404,
        "namespaces \"nowhere\" not found",
    );
}

#[test]
fn generated_names_are_free_and_valid() {
    let registry = Registry::in_memory();
    let base = json!({"metadata": {"generateName": "web-"}});
    let names: std::collections::HashSet<String> = (0..50)
        .map(|_| json::name(&registry.create(&CONFIGMAPS, "default", base.clone()).unwrap()).to_owned())
        .collect();
    assert_eq!(names.len(), 50);
    assert!(names.iter().all(|name| name.len() == "web-".len() + 5));
    let long = json!({"metadata": {"generateName": "a".repeat(100)}});
    assert_eq!(json::name(&registry.create(&CONFIGMAPS, "default", long).unwrap()).len(), 63);
    let status = registry.create(&CONFIGMAPS, "default", json!({})).unwrap_err();
    assert_eq!(status.code(), 422);
}

#[test]
fn only_the_current_version_can_be_updated() {
    let registry = Registry::in_memory();
    let first = registry.create(&CONFIGMAPS, "default", config_map("x")).unwrap();
    let mut changed = (*first).clone();
    changed["data"]["a"] = "2".into();
    let second = registry.update(&CONFIGMAPS, "default", "x", Part::Spec, changed.clone()).unwrap();
    assert_ne!(json::resource_version(&first), json::resource_version(&second));
    changed["data"]["a"] = "3".into();
    refused(
        registry.update(&CONFIGMAPS, "default", "x", Part::Spec, changed.clone()),
        409,
        "Operation cannot be fulfilled on configmaps \"x\": the object has been modified; please apply your changes to \
         the latest version and try again",
    );
    changed["metadata"]["resourceVersion"] = "".into();
    registry.update(&CONFIGMAPS, "default", "x", Part::Spec, changed).unwrap();
}

#[test]
fn a_write_that_changes_nothing_is_no_change() {
    let registry = Registry::in_memory();
    let before = registry.create(&DEPLOYMENTS, "default", deployment("web")).unwrap();
    let version = registry.resource_version();
    let same = registry.update(&DEPLOYMENTS, "default", "web", Part::Spec, deployment("web")).unwrap();
    assert_eq!((same, registry.resource_version()), (before, version));
}

#[test]
fn spec_and_status_are_written_apart_and_only_the_spec_counts() {
    let registry = Registry::in_memory();
    registry.create(&DEPLOYMENTS, "default", deployment("web")).unwrap();
    let write = |part| {
        registry
            .modify(&DEPLOYMENTS, "default", "web", part, |object| {
                let next = json::int(object, "/spec/replicas").unwrap() + 1;
                object["spec"]["replicas"] = next.into();
                object["status"]["replicas"] = next.into();
            })
            .unwrap()
    };
    let status = write(Part::Status);
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(1), &json!(2)));
    assert_eq!(json::int(&status, "/metadata/generation"), Some(1));
    let spec = write(Part::Spec);
    assert_eq!((&spec["spec"]["replicas"], &spec["status"]["replicas"]), (&json!(2), &json!(2)));
    assert_eq!(json::int(&spec, "/metadata/generation"), Some(2));
    let labelled = registry.modify(&DEPLOYMENTS, "default", "web", Part::Spec, |object| {
        object["metadata"]["labels"] = json!({"a": "b"});
    });
    assert_eq!(json::int(&labelled.unwrap(), "/metadata/generation"), Some(2));
}

#[test]
fn unknown_fields_survive() {
    let registry = Registry::in_memory();
    let mut object = deployment("web");
    object["spec"]["colour"] = "red".into();
    registry.create(&DEPLOYMENTS, "default", object).unwrap();
    let mut autoscaler = json!({"metadata": {"name": "web"}, "spec": {"maxReplicas": 3, "colour": "red",
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    autoscaler["spec"]["behavior"] = json!({"scaleDown": {"shade": 1}});
    let stored = registry.create(&HPAS, "default", autoscaler).unwrap();
    assert_eq!(registry.get(&DEPLOYMENTS, "default", "web").unwrap()["spec"]["colour"], "red");
    assert_eq!(stored["spec"]["colour"], "red");
    assert_eq!(stored["spec"]["behavior"]["scaleDown"]["shade"], 1);
    assert_eq!(stored["spec"]["minReplicas"], 1);
    assert_eq!(stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    assert_eq!(stored["spec"]["behavior"]["scaleUp"]["selectPolicy"], "Max");
}

#[test]
fn services_get_their_own_addresses_and_keep_them() {
    let registry = Registry::in_memory();
    registry.set_service_addresses("127.9.0.1".parse().unwrap()..="127.9.0.2".parse().unwrap());
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let first = registry.create(&SERVICES, "default", service("a")).unwrap();
    assert_eq!(json::text(&first, "/spec/clusterIP"), "127.9.0.1");
    assert_eq!(first["spec"]["ports"][0]["targetPort"], 80);
    registry.create(&SERVICES, "default", service("b")).unwrap();
    assert_eq!(registry.create(&SERVICES, "default", service("c")).unwrap_err().code(), 422);
    let same = registry.update(&SERVICES, "default", "a", Part::Spec, service("a")).unwrap();
    assert_eq!(json::text(&same, "/spec/clusterIP"), "127.9.0.1");
    delete(&registry, &SERVICES, "a").unwrap();
    let next = registry.create(&SERVICES, "default", service("c")).unwrap();
    assert_eq!(json::text(&next, "/spec/clusterIP"), "127.9.0.1");
    let mut headless = service("d");
    headless["spec"]["clusterIP"] = "None".into();
    registry.create(&SERVICES, "default", headless).unwrap();
}

#[test]
fn a_bound_pod_is_given_its_time() {
    let registry = Registry::in_memory();
    registry.create(&PODS, "default", pod("unbound", "")).unwrap();
    delete(&registry, &PODS, "unbound").unwrap();
    assert!(registry.get(&PODS, "default", "unbound").is_none());

    registry.create(&PODS, "default", pod("bound", "node")).unwrap();
    let marked = delete(&registry, &PODS, "bound").unwrap();
    assert_eq!(json::int(&marked, "/metadata/deletionGracePeriodSeconds"), Some(30));
    let longer = DeleteOptions { grace_seconds: Some(60), ..DeleteOptions::default() };
    let kept = registry.delete(&PODS, "default", "bound", longer).unwrap();
    assert_eq!(json::int(&kept, "/metadata/deletionGracePeriodSeconds"), Some(30));
    let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    registry.delete(&PODS, "default", "bound", now).unwrap();
    assert!(registry.get(&PODS, "default", "bound").is_none());
    refused(delete(&registry, &PODS, "bound"), 404, "pods \"bound\" not found");
}

#[test]
fn preconditions_and_finalizers_hold() {
    let registry = Registry::in_memory();
    let mut object = config_map("x");
    object["metadata"]["finalizers"] = json!(["example.org/wait"]);
    registry.create(&CONFIGMAPS, "default", object).unwrap();
    let other = DeleteOptions { uid: Some("other".to_owned()), ..DeleteOptions::default() };
    assert_eq!(registry.delete(&CONFIGMAPS, "default", "x", other).unwrap_err().code(), 409);
    delete(&registry, &CONFIGMAPS, "x").unwrap();
    let waiting = registry.get(&CONFIGMAPS, "default", "x").unwrap();
    assert!(waiting.pointer("/metadata/deletionTimestamp").is_some());
    refused(
        registry.create(&CONFIGMAPS, "default", config_map("x")),
        409,
        "object is being deleted: configmaps \"x\" already exists",
    );
    let delay = |object: &mut Value| {
        object["metadata"]["finalizers"] = json!(["example.org/wait", "example.org/more"]);
    };
    refused(
        registry.modify(&CONFIGMAPS, "default", "x", Part::Spec, delay),
        422,
        "ConfigMap \"x\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is \
         being deleted, found new finalizers []string{\"example.org/more\"}",
    );
    let free = |object: &mut Value| object["metadata"]["finalizers"] = json!([]);
    let freed = registry.modify(&CONFIGMAPS, "default", "x", Part::Spec, free).unwrap();
    assert!(json::items(&freed, "/metadata/finalizers").is_empty(), "the writer sees what it wrote");
    assert!(registry.get(&CONFIGMAPS, "default", "x").is_none());
}

#[test]
fn dependents_are_orphaned_when_asked() {
    let registry = Registry::in_memory();
    let owner = registry.create(&DEPLOYMENTS, "default", deployment("web")).unwrap();
    let mut owned = deployment("web-1");
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": json::uid(&owner)}]);
    registry.create(&REPLICASETS, "default", owned).unwrap();
    let orphan = DeleteOptions { propagation: Propagation::Orphan, ..DeleteOptions::default() };
    registry.delete(&DEPLOYMENTS, "default", "web", orphan).unwrap();
    let left = registry.get(&REPLICASETS, "default", "web-1").unwrap();
    assert!(json::items(&left, "/metadata/ownerReferences").is_empty());

    registry.create(&DEPLOYMENTS, "default", deployment("web")).unwrap();
    let foreground = DeleteOptions { propagation: Propagation::Foreground, ..DeleteOptions::default() };
    let marked = registry.delete(&DEPLOYMENTS, "default", "web", foreground).unwrap();
    assert_eq!(json::items(&marked, "/metadata/finalizers"), [json!("foregroundDeletion")]);
}

#[test]
fn a_namespace_goes_with_all_it_contains() {
    let registry = Registry::in_memory();
    registry.create(&NAMESPACES, "", json!({"metadata": {"name": "team"}})).unwrap();
    assert!(registry.get(&SERVICEACCOUNTS, "team", "default").is_some());
    registry.create(&SECRETS, "team", json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}})).unwrap();
    registry.create(&PODS, "team", pod("p", "node")).unwrap();
    delete(&registry, &NAMESPACES, "team").unwrap();
    let terminating = registry.get(&NAMESPACES, "", "team").unwrap();
    assert_eq!(json::text(&terminating, "/status/phase"), "Terminating");
    assert!(registry.get(&SECRETS, "team", "s").is_none());
    refused(
        registry.create(&CONFIGMAPS, "team", config_map("x")),
        403,
        "configmaps \"x\" is forbidden: unable to create new content in namespace team because it is being terminated",
    );
    let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    registry.delete(&PODS, "team", "p", now).unwrap();
    assert!(registry.get(&NAMESPACES, "", "team").is_none());
    refused(
        delete(&registry, &NAMESPACES, "default"),
        403,
        "namespaces \"default\" is forbidden: this namespace may not be deleted",
    );
}

#[tokio::test]
async fn a_watch_sees_each_change_in_order() {
    let registry = Registry::in_memory();
    let (listing, mut watch) = registry.list_and_watch(&CONFIGMAPS, Some("default"));
    assert!(listing.items.is_empty());
    registry.create(&CONFIGMAPS, "kube-system", config_map("elsewhere")).unwrap();
    registry.create(&CONFIGMAPS, "default", config_map("x")).unwrap();
    registry
        .modify(&CONFIGMAPS, "default", "x", Part::Spec, |object| object["data"]["a"] = "2".into())
        .unwrap();
    delete(&registry, &CONFIGMAPS, "x").unwrap();
    let mut last = listing.resource_version;
    for kind in [WatchKind::Added, WatchKind::Modified, WatchKind::Deleted] {
        let event = watch.next().await.unwrap().unwrap();
        assert_eq!((event.kind, json::name(&event.object)), (kind, "x"));
        assert!(event.resource_version > last);
        assert_eq!(json::resource_version(&event.object), Some(event.resource_version));
        last = event.resource_version;
    }
    watch.catch_up();
    assert_eq!(watch.position(), registry.resource_version());
}

#[tokio::test]
async fn a_watcher_that_falls_behind_is_cut_off() {
    let registry = Registry::in_memory();
    let since = registry.resource_version();
    let mut slow = registry.watch(&CONFIGMAPS, None, None).unwrap();
    registry.create(&CONFIGMAPS, "default", config_map("x")).unwrap();
    for count in 0..RING_EVENTS {
        let change = |object: &mut Value| object["data"]["a"] = count.to_string().into();
        registry.modify(&CONFIGMAPS, "default", "x", Part::Spec, change).unwrap();
    }
    assert_eq!(slow.next().await.unwrap().unwrap_err().code(), 410);
    assert_eq!(registry.watch(&CONFIGMAPS, None, Some(since)).err().unwrap().code(), 410);
    let ahead = registry.resource_version() + 1; // made by another life of the data folder
    assert_eq!(registry.watch(&CONFIGMAPS, None, Some(ahead)).err().unwrap().code(), 410);
    // Other kinds have their own memory.
    assert!(registry.watch(&PODS, None, Some(since)).is_ok());
}

#[test]
fn repeated_events_are_counted_and_old_ones_go() {
    let registry = Registry::in_memory();
    let node = registry.create(&NODES, "", json!({"metadata": {"name": "n"}})).unwrap();
    for _ in 0..3 {
        registry.record_event(&node, "Normal", "Ready", "it is", "test");
    }
    let events = registry.list(&EVENTS, Some("default")).items;
    assert_eq!((events.len(), json::int(&events[0], "/count")), (1, Some(3)));
    for number in 0..MAX_EVENTS + 10 {
        registry.record_event(&node, "Normal", "Counted", &number.to_string(), "test");
    }
    assert!(registry.list(&EVENTS, None).items.len() <= MAX_EVENTS + 1);
}

#[test]
fn a_dry_run_changes_nothing() {
    let registry = Registry::in_memory();
    let version = registry.resource_version();
    let shown = registry.create_with(&DEPLOYMENTS, "default", deployment("web"), true).unwrap();
    assert_eq!(json::int(&shown, "/spec/replicas"), Some(1));
    assert!(registry.get(&DEPLOYMENTS, "default", "web").is_none());
    assert_eq!(registry.resource_version(), version);
}
