use super::*;
use serde_json::json;

fn hpa(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 5,
            "metrics": [{ "type": "Resource", "resource": { "name": "cpu",
                "target": { "type": "Utilization", "averageUtilization": 50 } } }],
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

fn deployment(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "selector": { "matchLabels": { "app": app } },
            "template": {
                "metadata": { "labels": { "app": app } },
                "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "100m" } } }] },
            },
        },
    })
}

/// `severity rule field` of each finding about `web`.
fn findings(objects: &[Value]) -> Vec<String> {
    let found = lint(objects);
    let of_web = found.iter().filter(|finding| finding.name == "web");
    of_web.map(|f| format!("{:?} {:?} {}", f.severity, f.rule, f.field)).collect()
}

#[test]
fn nothing_is_wrong_with_a_plain_pair() {
    assert_eq!(findings(&[hpa("web", json!({})), deployment("web", "web")]), Vec::<String>::new());
}

#[test]
fn requests_that_are_missing() {
    let without = |edit: fn(&mut Value)| {
        let mut target = deployment("web", "web");
        edit(&mut target["spec"]["template"]["spec"]);
        findings(&[hpa("web", json!({})), target])
    };
    let missing = ["Warning NoRequests spec.metrics[0]"];
    assert_eq!(without(|pod| pod["containers"][0]["resources"] = json!({})), missing);
    assert_eq!(
        without(|pod| pod["containers"][0]["resources"] = json!({ "requests": { "memory": "1Gi" } })),
        missing
    );
    assert_eq!(
        without(|pod| pod["initContainers"] = json!([{ "name": "side", "restartPolicy": "Always" }])),
        missing
    );
    let none: [&str; 0] = [];
    assert_eq!(without(|pod| pod["initContainers"] = json!([{ "name": "init" }])), none);
    assert_eq!(without(|pod| pod["containers"][0]["resources"] = json!({ "limits": { "cpu": "1" } })), none);
    assert_eq!(
        without(|pod| {
            pod["containers"][0]["resources"] = json!({});
            pod["resources"] = json!({ "requests": { "cpu": "1" } });
        }),
        none,
        "pod-level requests"
    );
    let own = |resources: Value, container: Value| {
        let mut target = deployment("web", "web");
        let pod = &mut target["spec"]["template"]["spec"];
        pod["resources"] = resources;
        pod["containers"].as_array_mut().unwrap().push(json!({ "name": "second" }));
        pod["containers"][0]["resources"] = container;
        findings(&[hpa("web", json!({})), target])
    };
    let (memory, cpu) = (json!({ "requests": { "memory": "1Gi" } }), json!({ "requests": { "cpu": "1" } }));
    assert_eq!(own(memory.clone(), cpu.clone()), none, "one container's request stands for the pod then");
    assert_eq!(own(memory, json!({})), missing);
    assert_eq!(own(json!({}), cpu), missing, "without any of its own each container counts");
    // An average value needs no request.
    let value = json!([{ "type": "Resource", "resource": { "name": "cpu",
        "target": { "type": "AverageValue", "averageValue": "100m" } } }]);
    let mut target = deployment("web", "web");
    target["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({});
    assert_eq!(findings(&[hpa("web", json!({ "metrics": value })), target]), none);
}

#[test]
fn a_container_that_is_not_there() {
    let metrics = json!([{ "type": "ContainerResource", "containerResource": { "name": "cpu", "container": "app",
        "target": { "type": "Utilization", "averageUtilization": 50 } } }]);
    let found = lint(&[hpa("web", json!({ "metrics": metrics })), deployment("web", "web")]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "Deployment web has no container app");
}

#[test]
fn percentages_from_zero() {
    let external = json!([{ "type": "External", "external": { "metric": { "name": "queue" },
        "target": { "type": "AverageValue", "averageValue": "10" } } }]);
    let of = |policies: Value| {
        let behavior = json!({ "scaleUp": { "policies": policies } });
        findings(&[hpa("web", json!({ "minReplicas": 0, "metrics": external, "behavior": behavior }))])
    };
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    assert_eq!(of(json!([percent])), ["Warning PercentOnlyFromZero spec.behavior.scaleUp.policies"]);
    assert!(of(json!([percent, pods])).is_empty());
    let least = json!({ "scaleUp": { "policies": [percent, pods], "selectPolicy": "Min" } });
    assert_eq!(
        findings(&[hpa("web", json!({ "minReplicas": 0, "metrics": external, "behavior": least }))]),
        ["Warning PercentOnlyFromZero spec.behavior.scaleUp.selectPolicy"]
    );
    let from_one = json!({ "scaleUp": { "policies": [percent] } });
    assert!(findings(&[hpa("web", json!({ "metrics": external, "behavior": from_one }))]).is_empty());
}

#[test]
fn pods_of_others() {
    let found = lint(&[hpa("web", json!({})), deployment("web", "web"), deployment("canary", "web")]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].message.contains("(app=web) catches pods of Deployment canary too"),
        "{}",
        found[0].message
    );
    let pod = |owner: Value| {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "shop",
            "labels": { "app": "web" }, "ownerReferences": owner } })
    };
    let owner = |kind: &str, name: &str| json!([{ "kind": kind, "name": name, "controller": true }]);
    for (owner, expected) in [
        (owner("ReplicaSet", "web-5f"), None),
        (owner("Job", "migrate"), Some("Job migrate")),
        (json!([]), Some("Pod p (of nobody)")),
    ] {
        let found = lint(&[hpa("web", json!({})), deployment("web", "web"), pod(owner)]);
        let message = found.first().map(|finding| finding.message.clone());
        assert_eq!(message.is_some(), expected.is_some(), "{message:?}");
        assert!(expected.is_none_or(|text| message.unwrap().contains(text)));
    }
    let mut elsewhere = deployment("canary", "web");
    elsewhere["metadata"]["namespace"] = "other".into();
    assert!(findings(&[hpa("web", json!({})), deployment("web", "web"), elsewhere]).is_empty());
}

/// In a cluster the ReplicaSets of others stand beside their Deployments, and jobs come from a template of a template.
#[test]
fn whose_the_pods_of_others_are() {
    let mut set = deployment("canary-7c", "web");
    set["kind"] = "ReplicaSet".into();
    set["metadata"]["ownerReferences"] =
        json!([{ "kind": "Deployment", "name": "canary", "controller": true }]);
    let template = set["spec"]["template"].clone();
    let cron = json!({ "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": { "name": "report", "namespace": "shop" },
        "spec": { "jobTemplate": { "spec": { "template": template } } } });
    let objects = [hpa("web", json!({})), deployment("web", "web"), deployment("canary", "web"), set, cron];
    let found = lint(&objects);
    assert_eq!(found.len(), 1);
    let whose = "catches pods of CronJob report, Deployment canary too";
    assert!(found[0].message.contains(whose), "{}", found[0].message);
}

#[test]
fn a_namespace_that_gives_requests() {
    let mut target = deployment("web", "web");
    target["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({});
    let range = |namespace: &str, kind: &str, resource: &str| {
        json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "r", "namespace": namespace },
            "spec": { "limits": [{ "type": kind, "defaultRequest": { resource: "100m" } }] } })
    };
    let with = |range: Value| findings(&[hpa("web", json!({})), target.clone(), range]).len();
    assert_eq!(with(range("shop", "Container", "cpu")), 0);
    let others = [
        range("other", "Container", "cpu"),
        range("shop", "Container", "memory"),
        range("shop", "PersistentVolumeClaim", "cpu"),
    ];
    for other in others {
        assert_eq!(with(other.clone()), 1, "{other}");
    }
}

#[test]
fn a_target_of_another_group_is_another() {
    let mut other = deployment("web", "web");
    other["apiVersion"] = "example.com/v1".into();
    other["spec"]["replicas"] = 3.into();
    assert!(findings(&[hpa("web", json!({})), other]).is_empty());
}

#[test]
fn a_wide_dead_band() {
    let of = |min: i32, max: i32, behavior: Value| {
        findings(&[hpa("web", json!({ "minReplicas": min, "maxReplicas": max, "behavior": behavior }))])
    };
    assert!(of(1, 10, Value::Null).is_empty(), "ten percent of ten is one pod");
    let both = |severity: &str| {
        ["scaleDown", "scaleUp"].map(|d| format!("{severity} WideDeadBand spec.behavior.{d}.tolerance"))
    };
    assert_eq!(of(1, 11, Value::Null), both("Note"));
    assert_eq!(of(20, 100, Value::Null), both("Warning"));
    let narrow = json!({ "tolerance": "10m" });
    assert!(of(1, 100, json!({ "scaleUp": narrow, "scaleDown": narrow })).is_empty());
}

#[test]
fn two_on_one_target() {
    let two = [hpa("web", json!({})), hpa("other", json!({}))];
    assert_eq!(findings(&two), ["Warning TwoAutoscalers spec.scaleTargetRef"]);
    let scaled = json!({ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": { "name": "so", "namespace": "shop" }, "spec": { "scaleTargetRef": { "name": "web" } } });
    assert_eq!(
        findings(&[hpa("web", json!({})), scaled.clone()]),
        ["Warning TwoAutoscalers spec.scaleTargetRef"]
    );
    let mut kedas = hpa("web", json!({}));
    kedas["metadata"]["ownerReferences"] = json!([{ "kind": "ScaledObject", "name": "so" }]);
    assert!(findings(&[kedas, scaled]).is_empty(), "KEDA's own");
}

#[test]
fn a_count_in_the_manifest() {
    let mut written = deployment("web", "web");
    written["spec"]["replicas"] = 3.into();
    assert_eq!(
        findings(&[hpa("web", json!({})), written.clone()]),
        ["Warning ReplicasInManifest spec.replicas"]
    );
    written["metadata"]["uid"] = "stored".into();
    assert!(
        findings(&[hpa("web", json!({})), written.clone()]).is_empty(),
        "the API server always stores one"
    );
    written["metadata"]["annotations"] =
        json!({ "kubectl.kubernetes.io/last-applied-configuration": r#"{"spec":{"replicas":3}}"# });
    assert_eq!(findings(&[hpa("web", json!({})), written]), ["Warning ReplicasInManifest spec.replicas"]);
}

#[test]
fn windows_and_starts() {
    let mut slow = deployment("web", "web");
    slow["spec"]["template"]["spec"]["containers"][0]["startupProbe"] =
        json!({ "failureThreshold": 30, "periodSeconds": 10 });
    let behavior =
        |seconds: i32| json!({ "behavior": { "scaleDown": { "stabilizationWindowSeconds": seconds } } });
    let field = "spec.behavior.scaleDown.stabilizationWindowSeconds";
    assert_eq!(
        findings(&[hpa("web", behavior(60)), slow.clone()]),
        [format!("Warning WindowShorterThanStart {field}")]
    );
    assert!(findings(&[hpa("web", behavior(300)), slow.clone()]).is_empty());
    assert!(findings(&[hpa("web", json!({})), slow]).is_empty(), "the default is 300 s");
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web-1", "namespace": "shop",
        "labels": { "app": "web" }, "ownerReferences": [{ "kind": "ReplicaSet", "name": "web-1", "controller": true }] },
        "status": { "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:02:00Z" }] } });
    let found = findings(&[hpa("web", behavior(60)), deployment("web", "web"), pod]);
    assert_eq!(found, [format!("Warning WindowShorterThanStart {field}")], "seen on a pod");
}

#[test]
fn what_the_api_server_refuses() {
    assert_eq!(
        findings(&[hpa("web", json!({ "maxReplicas": 0 }))]).len(),
        2,
        "too low, and below the minimum"
    );
    let found = lint(&[hpa("web", json!({ "maxReplicas": "many" }))]);
    assert_eq!((found[0].rule, found[0].field.as_str()), (Rule::Invalid, "spec.maxReplicas"));
    for (spec, field) in [
        (json!({ "minReplica": 2 }), "spec.minReplica"),
        (
            json!({ "behavior": { "scaleDown": { "stabilisationWindowSeconds": 0 } } }),
            "spec.behavior.scaleDown.stabilisationWindowSeconds",
        ),
        (
            json!({ "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "container": "app",
            "target": { "type": "Utilization", "averageUtilization": 50 } } }] }),
            "spec.metrics[0].resource.container",
        ),
        (json!({ "behavior": { "scaleUp": { "tolerance": "much" } } }), "spec.behavior.scaleUp.tolerance"),
    ] {
        let found = lint(&[hpa("web", spec)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].rule, found[0].field.as_str()), (Rule::Invalid, field), "{}", found[0].message);
    }
    for version in ["autoscaling/v2beta2", ""] {
        let mut old = hpa("web", json!({}));
        old["apiVersion"] = json!(version);
        let found = lint(&[old]);
        assert_eq!((found[0].rule, found[0].field.as_str()), (Rule::Invalid, "apiVersion"), "{version:?}");
    }
}
