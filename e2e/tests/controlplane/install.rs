//! `deploy/` on a real API server: every overlay is accepted by the letter, runs under Pod Security `restricted`, and can
//! be applied again without changing anything.

use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{Kubectl, MINUTE, SHORT};
use serde_json::{Value, json};

use crate::shipped::{Overlay, SYSTEM, examples, installer, list, object, of_kind, pod_of, text};

/// All that the collector has beyond Pod Security `restricted`, as the API server words it.
const COLLECTOR_EXCEPTION: &str = "hostPath volumes (volume \"cgroup\")";

/// A change of a pod that undoes one hardening, and what the refusal names.
type Softening = (&'static str, fn(&mut Value), &'static str);

const SOFTENINGS: &[Softening] = &[
    ("may run as root", |pod| drop(pod["spec"]["securityContext"].take()), "runAsNonRoot != true"),
    ("is root", |pod| pod["spec"]["securityContext"]["runAsUser"] = json!(0), "runAsUser=0"),
    ("no seccomp", |pod| drop(pod["spec"]["securityContext"]["seccompProfile"].take()), "seccompProfile"),
    (
        "may gain privileges",
        |pod| drop(container(pod)["securityContext"]["allowPrivilegeEscalation"].take()),
        "allowPrivilegeEscalation != false",
    ),
    (
        "keeps capabilities",
        |pod| drop(container(pod)["securityContext"]["capabilities"].take()),
        "unrestricted capabilities",
    ),
    (
        "is privileged",
        |pod| {
            container(pod)["securityContext"] = json!({"privileged": true, "capabilities": {"drop": ["ALL"]}})
        },
        "privileged",
    ),
    ("has the host's network", |pod| pod["spec"]["hostNetwork"] = json!(true), "host namespaces"),
    ("sees the host's processes", |pod| pod["spec"]["hostPID"] = json!(true), "host namespaces"),
    (
        "mounts the host's files",
        |pod| {
            let mut volumes: Vec<Value> = list(pod, "/spec/volumes").cloned().collect();
            volumes.push(json!({"name": "root", "hostPath": {"path": "/"}}));
            pod["spec"]["volumes"] = json!(volumes);
        },
        "hostPath",
    ),
];

fn container(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

/// Makes the namespaces among `objects` that are not there: nothing else can be tried without them.
fn make_namespaces(kubectl: &Kubectl, objects: &[Value]) {
    for namespace in of_kind(objects, "Namespace") {
        let name = text(namespace, "/metadata/name");
        if !kubectl.run(&["get", "namespace", name]).success() {
            kubectl.ok_with_input(&["create", "--filename", "-"], &namespace.to_string());
        }
    }
}

/// Removes everything of `overlays` and waits until it is gone.
fn remove(kubectl: &Kubectl, overlays: &[Overlay]) {
    for overlay in overlays {
        overlay.uninstall(kubectl);
    }
}

/// Runs a command that must succeed; returns the warnings of the API server that came with it.
fn warnings(kubectl: &Kubectl, arguments: &[&str], input: &str) -> Vec<String> {
    let finished = kubectl.run_with_input(arguments, input);
    assert!(finished.success(), "must succeed: {finished}");
    // kubectl's annotation is what it warns of where tests made the namespace before.
    let lines = finished.stderr.lines().filter(|line| line.starts_with("Warning: "));
    lines.filter(|line| !line.contains("last-applied-configuration")).map(str::to_owned).collect()
}

/// The service account of a pod, without which it is refused for another reason.
fn make_account(kubectl: &Kubectl, pod: &Value, namespace: &str) {
    let name = text(pod, "/spec/serviceAccountName");
    kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace},
    }));
}

const TRY_POD: [&str; 4] = ["create", "--dry-run=server", "--filename", "-"];

#[test]
fn every_overlay_is_accepted_by_the_letter() {
    let Some(plane) = Plane::shared(Needs::light().no_hpa_loop().own_control_plane()) else { return };
    let kubectl = &installer(&plane);
    let overlays = Overlay::all();
    assert!(overlays.len() >= 6, "{overlays:?}");
    for overlay in &overlays {
        make_namespaces(kubectl, &overlay.objects(kubectl));
    }
    for overlay in &overlays {
        for way in [&["--dry-run=server"][..], &["--dry-run=server", "--server-side"]] {
            let arguments = [&["apply", "-k", overlay.folder(), "--validate=strict"], way].concat();
            let said = warnings(kubectl, &arguments, "");
            let others: Vec<_> = said.iter().filter(|line| !line.contains(COLLECTOR_EXCEPTION)).collect();
            assert!(others.is_empty(), "{} {way:?}: {others:#?}", overlay.name);
        }
    }
    let place = plane.namespace("install-examples");
    for example in examples() {
        let path = example.to_str().expect("a path in UTF-8");
        for way in [&["--dry-run=server"][..], &["--dry-run=server", "--server-side"]] {
            let said = warnings(&place, &[&["apply", "-f", path, "--validate=strict"], way].concat(), "");
            assert!(said.is_empty(), "{path}: {said:#?}");
        }
    }
    remove(kubectl, &overlays);
    plane.remove_namespace("install-examples");
}

#[test]
fn pods_are_admitted_under_restricted_and_would_not_be_otherwise() {
    let Some(plane) = Plane::shared(Needs::light().no_hpa_loop().own_control_plane()) else { return };
    let kubectl = &installer(&plane);
    let everything = Overlay::named("everything").objects(kubectl);
    make_namespaces(kubectl, &everything);
    let drop_in = Overlay::named("metrics-server").objects(kubectl);
    let server = Overlay::named("server").objects(kubectl);
    let place = kubectl.in_namespace(SYSTEM);
    let deployments = [&everything, &drop_in, &server].map(|objects| of_kind(objects, "Deployment"));
    for workload in deployments.into_iter().flatten() {
        let pod = pod_of(workload, SYSTEM);
        make_account(kubectl, &pod, SYSTEM);
        let said = warnings(&place, &TRY_POD, &pod.to_string());
        assert!(said.is_empty(), "{said:#?}");
        for (what, soften, named) in SOFTENINGS {
            let mut softer = pod.clone();
            soften(&mut softer);
            let refusal = place.fails_with_input(&TRY_POD, &softer.to_string());
            let violation = refusal.contains("violates PodSecurity \"restricted:latest\"");
            assert!(
                violation && refusal.contains(named),
                "{} that {what}: {refusal}",
                pod["metadata"]["name"]
            );
        }
    }
    // The collector lacks `restricted` by one volume only, and its own namespace admits it.
    let collector = object(&everything, "DaemonSet", "flyball-collector");
    let pod = pod_of(collector, SYSTEM);
    make_account(kubectl, &pod, SYSTEM);
    let refusal = place.fails_with_input(&TRY_POD, &pod.to_string());
    let violations = refusal.split("\"restricted:latest\": ").nth(1).unwrap_or_default();
    assert_eq!(violations.matches('(').count(), 1, "one violation: {refusal}");
    assert!(violations.contains("(volume \"cgroup\" uses"), "{refusal}");
    let own = text(collector, "/metadata/namespace");
    let pod = pod_of(collector, own);
    make_account(kubectl, &pod, own);
    let said = warnings(&kubectl.in_namespace(own), &TRY_POD, &pod.to_string());
    assert!(said.iter().all(|line| line.contains(COLLECTOR_EXCEPTION)), "{said:#?}");
    remove(kubectl, &[Overlay::named("everything")]);
}

#[test]
fn what_is_installed_works_and_applying_again_changes_nothing() {
    let Some(plane) = Plane::shared(Needs::light().no_hpa_loop().own_control_plane()) else { return };
    let kubectl = &installer(&plane);
    let overlays = ["everything", "high-availability", "server"].map(Overlay::named);
    for overlay in &overlays {
        // Without nodes no pod becomes ready, so a Deployment that changed would keep its old ones: each starts afresh.
        let _installed = Installed(kubectl, overlay);
        overlay.install(kubectl);
        let deployments: Vec<Value> = overlay.objects(kubectl);
        for deployment in of_kind(&deployments, "Deployment") {
            all_pods_are_made(kubectl, deployment);
        }
        let again = overlay.install(kubectl);
        // kubectl sends the selector of a budget each time, for its patch strategy is to replace it; the diff below sees that
        // nothing changes.
        let changed: Vec<_> = again
            .lines()
            .filter(|line| !line.ends_with(" unchanged") && !line.starts_with("poddisruptionbudget.policy/"))
            .collect();
        assert!(changed.is_empty(), "{}: {changed:#?}", overlay.name);
        let diff = kubectl.run(&["diff", "-k", overlay.folder()]);
        assert!(diff.success() && diff.stdout.is_empty(), "{}: {diff}", overlay.name);
        budgets_count_two_pods(kubectl, overlay);
    }
}

/// An overlay that is removed when its test is done with it, however that ends: other tests share the control plane.
struct Installed<'a>(&'a Kubectl, &'a Overlay);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        // Not `uninstall`, which panics: the test may be doing so already.
        let _ = self.0.run(&["delete", "-k", self.1.folder(), "--ignore-not-found"]);
    }
}

fn budgets_count_two_pods(kubectl: &Kubectl, overlay: &Overlay) {
    let place = kubectl.in_namespace(SYSTEM);
    for budget in of_kind(&overlay.objects(kubectl), "PodDisruptionBudget") {
        let name = text(budget, "/metadata/name");
        place.eventually(MINUTE, &format!("the budget {name} counts two pods"), || {
            let status = place.json(&["get", "poddisruptionbudget", name])["status"].clone();
            if status["expectedPods"] == 2 && status["desiredHealthy"] == 1 {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
    }
}

/// Waits until a Deployment has all its pods, which shows that quota, priority, accounts and Pod Security let them in.
fn all_pods_are_made(kubectl: &Kubectl, deployment: &Value) {
    let (name, namespace) = (text(deployment, "/metadata/name"), text(deployment, "/metadata/namespace"));
    let place = kubectl.in_namespace(namespace);
    let selector: Vec<_> = list_of_labels(&deployment["spec"]["selector"]["matchLabels"]);
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    place.eventually(SHORT, &format!("{name} has {wanted} pods"), || {
        let pods = place.json(&["get", "pods", "--selector", &selector.join(",")]);
        let priorities: Vec<_> = list(&pods, "/items").map(|pod| pod["spec"]["priority"].as_i64()).collect();
        let known = priorities.iter().all(|priority| *priority == Some(2_000_000_000));
        let enough = u64::try_from(priorities.len()) == Ok(wanted);
        if enough && known { Ok(()) } else { Err(format!("priorities of pods: {priorities:?}")) }
    });
}

fn list_of_labels(labels: &Value) -> Vec<String> {
    let labels = labels.as_object().into_iter().flatten();
    labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect()
}
