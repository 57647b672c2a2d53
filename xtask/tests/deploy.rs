//! Holds what `deploy/` promises, over the overlays as kubectl builds them: nothing here needs a cluster.

#![allow(clippy::disallowed_methods, reason = "reads the manifests and starts kubectl")]
#![allow(clippy::unwrap_used, reason = "a test: what cannot be read fails it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// Every overlay, and how many objects of these kinds it has: Deployment, DaemonSet, APIService.
const OVERLAYS: [(&str, [usize; 3]); 10] = [
    ("adapter", [1, 0, 3]),
    ("collector", [0, 1, 0]),
    ("everything", [2, 1, 3]),
    ("high-availability", [2, 1, 3]),
    ("hpa-auto", [1, 0, 1]),
    ("hpa-own-kind", [1, 0, 1]),
    ("hpa-replace", [1, 0, 1]),
    ("hpa-shadow", [1, 0, 1]),
    ("metrics-server", [1, 0, 1]),
    ("server", [2, 1, 7]),
];
/// What may be written to: overlay, and name of the volume.
const WRITTEN: [(&str, &str); 2] = [("metrics-server", "tmp-dir"), ("server", "history")];
/// The host's folders that are mounted, all of them: workload and path.
const HOST_PATHS: [(&str, &str); 1] = [("flyball-collector", "/sys/fs/cgroup")];
/// The only rules that name resources by a wildcard: group, resource, verb. Kinds with a scale subresource and names of
/// metrics are the users' own, so no list can name them.
const WILDCARDS: [(&str, &str, &str); 4] = [
    ("*", "*/scale", "get"),
    ("*", "*/scale", "update"),
    ("custom.metrics.k8s.io", "*", "get"),
    ("external.metrics.k8s.io", "*", "list"),
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

type Built = BTreeMap<&'static str, Vec<Value>>;

/// The objects of each overlay; `None`, said aloud by each test, without kubectl.
fn overlays() -> Option<&'static Built> {
    static BUILT: LazyLock<Option<Built>> = LazyLock::new(build);
    if BUILT.is_none() {
        let thread = std::thread::current();
        // Written to the stream itself: what the print macros write is shown for failed tests only.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {}: no kubectl in PATH (Debian: apt-get install kubernetes-client)",
            thread.name().unwrap_or("test")
        );
    }
    BUILT.as_ref()
}

fn build() -> Option<Built> {
    let mut built = BTreeMap::new();
    for (name, _) in OVERLAYS {
        let folder = deploy().join("overlays").join(name);
        let output = Command::new("kubectl").arg("kustomize").arg(&folder).output().ok()?;
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let objects = text.split("\n---\n").map(|one| serde_saphyr::from_str(one).unwrap()).collect();
        built.insert(name, objects);
    }
    Some(built)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Kind and name, for messages.
fn title(object: &Value) -> String {
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// Workloads with their pod template.
fn workloads(objects: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    let has_pods = |object: &&Value| ["Deployment", "DaemonSet"].contains(&text(&object["kind"]));
    objects.iter().filter(has_pods).map(|object| (object, &object["spec"]["template"]))
}

/// Rules of the roles, one for each combination of group, resource and verb.
fn rules(objects: &[Value]) -> Vec<(String, String, String, String)> {
    let mut rules = Vec::new();
    for role in objects.iter().filter(|object| ["Role", "ClusterRole"].contains(&text(&object["kind"]))) {
        for rule in list(&role["rules"]) {
            for verb in list(&rule["verbs"]) {
                for group in list(&rule["apiGroups"]) {
                    for resource in list(&rule["resources"]) {
                        let words = [group, resource, verb].map(|word| text(word).to_owned());
                        let [group, resource, verb] = words;
                        rules.push((title(role), group, resource, verb));
                    }
                }
            }
        }
    }
    rules
}

#[test]
fn every_overlay_builds_and_has_its_parts() {
    let folders: BTreeSet<String> = fs::read_dir(deploy().join("overlays"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, OVERLAYS.map(|(name, _)| name.to_owned()).into(), "an overlay without a test");
    let Some(built) = overlays() else { return };
    for (name, expected) in OVERLAYS {
        let count = |kind: &str| built[name].iter().filter(|object| object["kind"] == kind).count();
        assert_eq!(["Deployment", "DaemonSet", "APIService"].map(count), expected, "{name}");
    }
}

#[test]
fn one_image_of_this_version() {
    let Some(built) = overlays() else { return };
    let image = concat!("flyball.io/flyball:", env!("CARGO_PKG_VERSION"));
    for (overlay, objects) in built {
        for (object, template) in workloads(objects) {
            for container in list(&template["spec"]["containers"]) {
                assert_eq!(container["image"], image, "{overlay}: {}", title(object));
            }
            assert!(template["spec"]["initContainers"].is_null(), "{overlay}: {}", title(object));
        }
    }
}

#[test]
fn every_container_is_restricted_and_the_collector_differs_by_its_host_path_alone() {
    let Some(built) = overlays() else { return };
    for (overlay, objects) in built {
        let mut host_paths = Vec::new();
        for (object, template) in workloads(objects) {
            let (name, pod) = (text(&object["metadata"]["name"]), &template["spec"]);
            let at = format!("{overlay}: {name}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{at}");
            assert_eq!(pod["securityContext"]["runAsUser"], 65534, "{at}");
            assert_eq!(pod["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}), "{at}");
            for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
                assert!(pod[field].is_null(), "{at}: {field}");
            }
            for volume in list(&pod["volumes"]) {
                if let Some(path) = volume["hostPath"]["path"].as_str() {
                    host_paths.push((name, path));
                }
                let kinds = ["hostPath", "secret", "emptyDir", "projected", "persistentVolumeClaim"];
                assert!(kinds.iter().any(|kind| !volume[kind].is_null()), "{at}: {volume}");
                for source in list(&volume["projected"]["sources"]) {
                    // A token for the API server is where pods have it anyway.
                    assert!(source["serviceAccountToken"]["audience"].is_string(), "{at}: {volume}");
                }
            }
            for container in list(&pod["containers"]) {
                let security = json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                });
                assert_eq!(container["securityContext"], security, "{at}");
                for mount in list(&container["volumeMounts"]) {
                    let written = mount["readOnly"] != true;
                    let known = WRITTEN.contains(&(*overlay, text(&mount["name"])));
                    assert!(!written || known, "{at}: {mount} can be written to");
                }
            }
        }
        let expected: Vec<_> = HOST_PATHS
            .into_iter()
            .filter(|(name, _)| workloads(objects).any(|(object, _)| object["metadata"]["name"] == *name))
            .collect();
        assert_eq!(host_paths, expected, "{overlay}");
        // A host port is the one thing that overlay `collector` adds.
        let host_ports = objects.iter().filter(|object| object.to_string().contains("hostPort")).count();
        assert_eq!(host_ports, usize::from(*overlay == "collector"), "{overlay}");
    }
}

#[test]
fn every_container_has_requests_and_probes_and_every_pod_its_priority() {
    let Some(built) = overlays() else { return };
    for (overlay, objects) in built {
        for (object, template) in workloads(objects) {
            let at = format!("{overlay}: {}", title(object));
            let node_agent = object["kind"] == "DaemonSet";
            let priority = if node_agent { "system-node-critical" } else { "system-cluster-critical" };
            assert_eq!(template["spec"]["priorityClassName"], priority, "{at}");
            assert!(template["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap() >= 15, "{at}");
            let update =
                if node_agent { &object["spec"]["updateStrategy"] } else { &object["spec"]["strategy"] };
            if *overlay != "collector" {
                assert_eq!(update["rollingUpdate"]["maxUnavailable"], 0, "{at}: an update leaves a gap");
            }
            for container in list(&template["spec"]["containers"]) {
                for resource in ["cpu", "memory"] {
                    assert!(container["resources"]["requests"][resource].is_string(), "{at}: {resource}");
                }
                for (probe, path) in
                    [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
                {
                    let get = json!({"path": path, "port": "https", "scheme": "HTTPS"});
                    assert_eq!(container[probe]["httpGet"], get, "{at}: {probe}");
                }
                let ports: Vec<_> =
                    list(&container["ports"]).iter().map(|port| text(&port["name"])).collect();
                assert_eq!(ports, ["https"], "{at}");
            }
        }
    }
}

#[test]
fn tokens_are_mounted_where_they_are_used_only() {
    let Some(built) = overlays() else { return };
    for (overlay, objects) in built.iter().filter(|(overlay, _)| **overlay != "metrics-server") {
        for object in objects.iter().filter(|object| object["kind"] == "ServiceAccount") {
            assert_eq!(object["automountServiceAccountToken"], false, "{overlay}: {}", title(object));
        }
        for (object, template) in workloads(objects) {
            assert_eq!(
                template["spec"]["automountServiceAccountToken"],
                true,
                "{overlay}: {}",
                title(object)
            );
        }
    }
}

#[test]
fn no_wildcard_beyond_the_four_that_no_list_can_replace() {
    let Some(built) = overlays() else { return };
    for (overlay, objects) in built {
        for (role, group, resource, verb) in rules(objects) {
            let known = WILDCARDS.contains(&(group.as_str(), resource.as_str(), verb.as_str()));
            let has_wildcard = [&group, &resource, &verb].iter().any(|word| word.contains('*'));
            assert!(!has_wildcard || known, "{overlay}: {role}: {verb} {resource} in group {group:?}");
            assert!(
                !["escalate", "bind", "impersonate", "deletecollection"].contains(&verb.as_str()),
                "{role}"
            );
        }
    }
}

#[test]
fn shadow_cannot_write_anything_of_the_users() {
    let Some(built) = overlays() else { return };
    for (role, group, resource, verb) in rules(&built["hpa-shadow"]) {
        let reads = ["get", "list", "watch"].contains(&verb.as_str());
        let own = role == "Role flyball-hpa" && ["leases", "configmaps"].contains(&resource.as_str());
        assert!(reads || own, "{role}: {verb} {resource} in group {group:?}");
    }
    let scales = |overlay: &str| {
        rules(&built[overlay]).iter().any(|(_, _, resource, verb)| resource == "*/scale" && verb == "update")
    };
    assert!(scales("hpa-auto") && scales("hpa-replace") && scales("everything"));
}

#[test]
fn secrets_and_other_objects_of_one_name_are_granted_by_name() {
    let Some(built) = overlays() else { return };
    for (overlay, objects) in built {
        for role in objects.iter().filter(|object| ["Role", "ClusterRole"].contains(&text(&object["kind"]))) {
            for rule in list(&role["rules"]) {
                let by_name = ["secrets", "apiservices", "leases", "configmaps"];
                let needs_name =
                    list(&rule["resources"]).iter().any(|resource| by_name.contains(&text(resource)));
                let creates = rule["verbs"] == json!(["create"]);
                let named = !list(&rule["resourceNames"]).is_empty();
                assert!(!needs_name || creates || named, "{overlay}: {}: {rule}", title(role));
                let of_cluster = role["kind"] == "ClusterRole" && text(&rule["resources"][0]) == "secrets";
                assert!(!of_cluster, "{overlay}: {} reads Secrets of every namespace", title(role));
            }
        }
    }
}

#[test]
fn names_agree() {
    let Some(built) = overlays() else { return };
    for (overlay, objects) in built {
        let has = |kind: &str, namespace: &Value, name: &Value| {
            objects.iter().any(|object| {
                let metadata = &object["metadata"];
                object["kind"] == kind && metadata["name"] == *name && metadata["namespace"] == *namespace
            })
        };
        for object in objects {
            let at = format!("{overlay}: {}", title(object));
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/part-of"], "flyball", "{at}");
            let namespace = &object["metadata"]["namespace"];
            if !namespace.is_null() && namespace != "kube-system" {
                assert!(has("Namespace", &Value::Null, namespace), "{at}: nobody makes its namespace");
            }
            for subject in list(&object["subjects"]) {
                assert!(
                    has(text(&subject["kind"]), &subject["namespace"], &subject["name"]),
                    "{at}: {subject}"
                );
            }
            let role = &object["roleRef"];
            if !role.is_null() {
                let ours = has(text(&role["kind"]), namespace, &role["name"])
                    || has(text(&role["kind"]), &Value::Null, &role["name"]);
                let theirs = ["system:auth-delegator", "extension-apiserver-authentication-reader"];
                assert!(ours || theirs.contains(&text(&role["name"])), "{at}: {role}");
            }
            for volume in list(&object["spec"]["template"]["spec"]["volumes"]) {
                let claim = &volume["persistentVolumeClaim"]["claimName"];
                assert!(claim.is_null() || has("PersistentVolumeClaim", namespace, claim), "{at}: {volume}");
            }
            if object["kind"] == "APIService" {
                let service = &object["spec"]["service"];
                assert!(has("Service", &service["namespace"], &service["name"]), "{at}");
            }
            let selector = match text(&object["kind"]) {
                "Service" => &object["spec"]["selector"],
                "PodDisruptionBudget" => &object["spec"]["selector"]["matchLabels"],
                "NetworkPolicy" => &object["spec"]["podSelector"]["matchLabels"],
                _ => &Value::Null,
            };
            if let Some(selector) = selector.as_object() {
                let chosen = workloads(objects).filter(|(workload, template)| {
                    let labels = &template["metadata"]["labels"];
                    workload["metadata"]["namespace"] == *namespace
                        && selector.iter().all(|(label, value)| labels[label] == *value)
                });
                assert_eq!(chosen.count(), 1, "{at} is about one workload");
            }
        }
        for (object, template) in workloads(objects) {
            let at = format!("{overlay}: {}", title(object));
            let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
            assert!(has("ServiceAccount", namespace, &template["spec"]["serviceAccountName"]), "{at}");
            if *overlay != "metrics-server" {
                assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/name"], *name, "{at}");
            }
            for (label, value) in object["spec"]["selector"]["matchLabels"].as_object().unwrap() {
                assert_eq!(template["metadata"]["labels"][label], *value, "{at}");
            }
        }
    }
}

#[test]
fn pod_security_is_restricted_where_nothing_of_the_host_is_mounted() {
    let Some(built) = overlays() else { return };
    for (overlay, objects) in built {
        for namespace in objects.iter().filter(|object| object["kind"] == "Namespace") {
            let name = text(&namespace["metadata"]["name"]);
            let level = if name == "flyball-collector" { "privileged" } else { "restricted" };
            let labels = &namespace["metadata"]["labels"];
            assert_eq!(labels["pod-security.kubernetes.io/enforce"], level, "{overlay}: {name}");
        }
    }
}

#[test]
fn high_availability_has_two_of_each_and_keeps_one() {
    let Some(built) = overlays() else { return };
    let objects = &built["high-availability"];
    for (deployment, template) in workloads(objects).filter(|(object, _)| object["kind"] == "Deployment") {
        assert_eq!(deployment["spec"]["replicas"], 2, "{}", title(deployment));
        assert_eq!(list(&template["spec"]["topologySpreadConstraints"]).len(), 2, "{}", title(deployment));
        let budget = objects.iter().find(|object| {
            object["kind"] == "PodDisruptionBudget"
                && object["metadata"]["name"] == deployment["metadata"]["name"]
        });
        assert_eq!(budget.unwrap()["spec"]["minAvailable"], 1);
    }
}

#[test]
fn history_is_read_by_those_who_may_view_and_copied_by_nobody() {
    let Some(built) = overlays() else { return };
    let objects = &built["server"];
    let of = |name: &str| -> BTreeSet<(String, String)> {
        let role = format!("ClusterRole {name}");
        let all = rules(objects).into_iter().filter(|rule| rule.0 == role);
        all.map(|(_, _, resource, verb)| (verb, resource)).collect()
    };
    let (viewers, readers) = (of("flyball:aggregated-history-reader"), of("flyball:history-reader"));
    let may = |verb: &str, resource: &str| (verb.to_owned(), resource.to_owned());
    for needed in [may("list", "query"), may("create", "query_range"), may("get", "label/values")] {
        assert!(viewers.contains(&needed) && readers.contains(&needed), "{needed:?}");
    }
    // What says something of all namespaces is not for those who see one.
    assert!(
        !viewers.iter().any(|(_, resource)| ["targets", "metadata", "status"].contains(&resource.as_str()))
    );
    assert!(readers.contains(&may("get", "status")) && readers.contains(&may("list", "targets")));
    assert!(!rules(objects).iter().any(|(_, _, resource, _)| resource.starts_with("admin")));
    assert!(!objects.iter().any(|object| object["roleRef"]["name"] == "flyball:history-reader"));
    let args = workloads(objects).find_map(|(object, template)| {
        (object["metadata"]["name"] == "flyball-metrics-server")
            .then(|| template["spec"]["containers"][0]["args"].clone())
    });
    assert_eq!(args.unwrap()[0], "server");
}

#[test]
fn the_adapter_reads_names_and_labels_only() {
    let Some(built) = overlays() else { return };
    for (_, group, resource, verb) in rules(&built["adapter"]) {
        let of_metrics = group.ends_with("metrics.k8s.io");
        let reads = ["get", "list", "watch"].contains(&verb.as_str());
        assert!(reads, "{verb} {resource} in group {group:?}");
        // Of what holds more than names, a list would show too much: these are asked for metadata only, and no Secret is here.
        assert!(of_metrics || !["secrets", "configmaps"].contains(&resource.as_str()), "{verb} {resource}");
    }
    let registered = |overlay: &str| -> BTreeSet<String> {
        let of = built[overlay].iter().filter(|object| object["kind"] == "APIService");
        of.map(|object| text(&object["metadata"]["name"]).to_owned()).collect()
    };
    for overlay in ["adapter", "server"] {
        for name in [
            "v1beta1.custom.metrics.k8s.io",
            "v1beta2.custom.metrics.k8s.io",
            "v1beta1.external.metrics.k8s.io",
        ] {
            assert!(registered(overlay).contains(name), "{overlay}: {name}");
        }
    }
}

/// Files below a folder, manifests only.
fn manifests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            manifests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_rule_and_every_grant_of_a_foreign_role_says_why() {
    let mut files = Vec::new();
    manifests(&deploy().join("base"), &mut files);
    manifests(&deploy().join("overlays"), &mut files);
    let mut rules = 0;
    for file in files {
        let content = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = content.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let at = format!("{}:{}", file.display(), index + 1);
            let before = index.checked_sub(1).map_or("", |before| lines[before].trim());
            if line.starts_with("  - apiGroups:") || line.starts_with("  - nonResourceURLs:") {
                rules += 1;
                assert!(before.starts_with("# "), "{at}: a rule without its reason");
            }
        }
        for document in content.split("\n---\n") {
            let foreign = ["name: system:auth-delegator", "name: extension-apiserver-authentication-reader"];
            if foreign.iter().any(|role| document.lines().any(|line| line.trim() == *role)) {
                assert!(document.starts_with("# Kubernetes' own role:"), "{}: {document}", file.display());
            }
        }
    }
    assert!(rules > 15, "rules are no longer written as this test looks for them");
}
