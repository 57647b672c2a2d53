//! What each grant is for: a function of the program that works with it and does not without.

use serde_json::Value;

use super::grants::Grant;
use super::history::METRIC;
use super::objects::OWNED;
use super::scene::{COLLECTED_NODE, COMMON, HOLLOW_NODE, Scene};
use super::subject::Subject;
use super::trial::{Situation, Trial};
use crate::shipped::list;

/// Whether a function works: `Err` says what is missing.
type Works = fn(&Scene<'_>, &Trial, &Grant) -> Result<(), String>;

/// One line of the table.
pub struct Check {
    part: &'static str,
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    /// What works, in words.
    pub what: &'static str,
    /// In which it shows.
    pub situation: Situation,
    /// Whether it shows by what comes after the start.
    pub late: bool,
    pub works: Works,
}

const fn check(
    [part, verb, group, resource]: [&'static str; 4],
    what: &'static str,
    situation: Situation,
    works: Works,
) -> Check {
    Check { part, verb, group, resource, what, situation, late: false, works }
}

const fn late(check: Check) -> Check {
    Check { late: true, ..check }
}

use Situation::{Asking, Ordinary, Remembering, Rivalry};

const HPAS: &str = "horizontalpodautoscalers";
/// Group of the kind that only ours acts on.
pub const OWN_GROUP: &str = "autoscaling.flyball.io";

/// Every grant that `deploy/` may hold. The first line that fits a grant counts.
pub static CHECKS: &[Check] = &[
    check(["hpa", "list", "autoscaling", HPAS], "HPAs are evaluated", Ordinary, decides),
    late(check(["hpa", "watch", "autoscaling", HPAS], "a new HPA is noticed", Ordinary, decides_late)),
    late(check(
        ["own-kind", "watch", "autoscaling", HPAS],
        "a new built-in owner of a target is noticed",
        Ordinary,
        leaves_owned,
    )),
    check(["own-kind", "list", OWN_GROUP, HPAS], "HPAs are evaluated", Ordinary, decides),
    late(check(["own-kind", "watch", OWN_GROUP, HPAS], "a new HPA is noticed", Ordinary, decides_late)),
    check(
        ["own-kind", "patch", OWN_GROUP, "horizontalpodautoscalers/status"],
        "status is shown",
        Ordinary,
        reports_own,
    ),
    check(["hpa", "get", "*", "*/scale"], "HPAs are evaluated", Ordinary, decides),
    check(
        ["hpa", "list", "apps", "deployments"],
        "Deployments are not read at rest",
        Ordinary,
        watches_targets,
    ),
    check(
        ["hpa", "watch", "apps", "deployments"],
        "Deployments are not read at rest",
        Ordinary,
        watches_targets,
    ),
    check(
        ["hpa", "list", "apps", "replicasets"],
        "ReplicaSets are not read at rest",
        Ordinary,
        watches_targets,
    ),
    check(
        ["hpa", "watch", "apps", "replicasets"],
        "ReplicaSets are not read at rest",
        Ordinary,
        watches_targets,
    ),
    check(
        ["hpa", "list", "apps", "statefulsets"],
        "StatefulSets are not read at rest",
        Ordinary,
        watches_targets,
    ),
    check(
        ["hpa", "watch", "apps", "statefulsets"],
        "StatefulSets are not read at rest",
        Ordinary,
        watches_targets,
    ),
    check(["hpa", "list", "", "pods"], "HPAs are evaluated", Ordinary, decides),
    late(check(["hpa", "watch", "", "pods"], "new pods are noticed", Ordinary, decides_by_late_pods)),
    check(["hpa", "list", "metrics.k8s.io", "pods"], "CPU is looked at", Ordinary, uses_resource),
    check(
        ["hpa", "watch", "metrics.k8s.io", "pods"],
        "CPU is not asked for each second",
        Ordinary,
        watches_samples,
    ),
    check(
        ["hpa", "get", "custom.metrics.k8s.io", "*"],
        "an Object metric is looked at",
        Ordinary,
        uses_object,
    ),
    check(
        ["hpa", "list", "external.metrics.k8s.io", "*"],
        "an External metric is looked at",
        Ordinary,
        uses_external,
    ),
    check(["hpa", "create", "coordination.k8s.io", "leases"], "a leader is elected", Ordinary, leads),
    check(["hpa", "get", "coordination.k8s.io", "leases"], "a leader is elected", Ordinary, leads),
    check(["hpa", "update", "coordination.k8s.io", "leases"], "the leader stays", Ordinary, renews),
    check(
        ["hpa", "list", "coordination.k8s.io", "leases"],
        "a second Flyball is noticed",
        Rivalry,
        notices_rival,
    ),
    check(["hpa", "update", "*", "*/scale"], "workloads are scaled", Ordinary, scales),
    check(
        ["hpa", "patch", "autoscaling", "horizontalpodautoscalers/status"],
        "status is shown",
        Ordinary,
        reports,
    ),
    check(["hpa", "create", "", "events"], "scaling is told by an event", Ordinary, tells),
    check(["hpa", "patch", "", "events"], "repeated events are counted", Ordinary, counts_events),
    check(["hpa", "create", "", "configmaps"], "history is begun", Ordinary, begins_history),
    check(["hpa", "get", "", "configmaps"], "stored history is known", Remembering, tends_history),
    check(["hpa", "patch", "", "configmaps"], "stored history is kept up", Remembering, tends_history),
    check(["hpa", "create", "autoscaling", HPAS], "mode auto decides to scale", Asking, decides_to_scale),
    check(["hpa", "delete", "autoscaling", HPAS], "mode auto leaves no probe", Asking, leaves_no_probe),
    check(
        ["hpa", "create", "authentication.k8s.io", "tokenreviews"],
        "tokens are taken",
        Ordinary,
        serves_metrics,
    ),
    check(
        ["hpa", "create", "authorization.k8s.io", "subjectaccessreviews"],
        "readers are let in",
        Ordinary,
        serves_metrics,
    ),
    check(["hpa", "get", "", "configmaps"], "client certificates are taken", Ordinary, takes_certificates),
    check(["metrics-server", "list", "", "nodes"], "nodes are measured", Ordinary, measures_nodes),
    late(check(
        ["metrics-server", "watch", "", "nodes"],
        "a new node is measured",
        Ordinary,
        measures_late_node,
    )),
    check(["metrics-server", "list", "", "pods"], "pods are measured", Ordinary, measures_pods),
    late(check(
        ["metrics-server", "watch", "", "pods"],
        "a new pod is measured",
        Ordinary,
        measures_late_pod,
    )),
    check(
        ["metrics-server", "get", "", "nodes/metrics"],
        "collectors let it in",
        Ordinary,
        measures_collected_node,
    ),
    check(
        ["metrics-server", "get", "apiregistration.k8s.io", "apiservices"],
        "another owner is told",
        Ordinary,
        names_owner,
    ),
    check(["metrics-server", "get", "", "secrets"], "collectors get a certificate", Ordinary, issues),
    check(["metrics-server", "update", "", "secrets"], "collectors get a certificate", Ordinary, issues),
    check(
        ["metrics-server", "watch", "", "secrets"],
        "the Secret is followed at once",
        Ordinary,
        follows_secret,
    ),
    check(
        ["metrics-server", "create", "authentication.k8s.io", "tokenreviews"],
        "tokens are taken",
        Ordinary,
        serves_metrics,
    ),
    check(
        ["metrics-server", "create", "authorization.k8s.io", "subjectaccessreviews"],
        "readers are let in",
        Ordinary,
        serves_metrics,
    ),
    check(["metrics-server", "get", "", "configmaps"], "the aggregator is known", Ordinary, knows_aggregator),
    check(["adapter", "list", "*", "*"], "objects are picked", Ordinary, picks_objects),
    late(check(["adapter", "watch", "", "pods"], "new pods are picked", Ordinary, picks_late_pod)),
    check(
        ["adapter", "create", "authentication.k8s.io", "tokenreviews"],
        "tokens are taken",
        Ordinary,
        serves_metrics,
    ),
    check(
        ["adapter", "create", "authorization.k8s.io", "subjectaccessreviews"],
        "readers are let in",
        Ordinary,
        serves_metrics,
    ),
    check(["adapter", "get", "", "configmaps"], "the aggregator is known", Ordinary, knows_aggregator),
    check(["collector", "list", "", "pods"], "pods have names", Ordinary, names_pods),
    late(check(["collector", "watch", "", "pods"], "new pods have names", Ordinary, names_late_pod)),
    check(
        ["collector", "create", "authentication.k8s.io", "tokenreviews"],
        "tokens are taken",
        Ordinary,
        serves_metrics,
    ),
    check(
        ["collector", "create", "authorization.k8s.io", "subjectaccessreviews"],
        "readers are let in",
        Ordinary,
        serves_metrics,
    ),
    check(
        ["collector", "get", "", "configmaps"],
        "client certificates are taken",
        Ordinary,
        takes_certificates,
    ),
];

/// The ConfigMap of Kubernetes' own that says who the API server is.
const AUTHENTICATION: &str = "extension-apiserver-authentication";

/// The check of a grant to a program. A server is a metrics server and an adapter.
pub fn of(subject: &Subject, grant: &Grant) -> Option<&'static Check> {
    match subject.part.as_str() {
        "server" => of_part("metrics-server", grant).or_else(|| of_part("adapter", grant)),
        "hpa" if subject.has_own_kind() => of_part("own-kind", grant).or_else(|| of_part("hpa", grant)),
        part => of_part(part, grant),
    }
}

fn of_part(part: &str, grant: &Grant) -> Option<&'static Check> {
    let fits = |check: &&Check| {
        let any = |wanted: &str, have: &str| wanted == have || (check.part == "adapter" && wanted == "*");
        let same = check.part == part
            && check.verb == grant.verb
            && any(check.group, &grant.group)
            && any(check.resource, &grant.resource);
        // Two ConfigMaps are for different things.
        let is_authentication = grant.name.as_deref() == Some(AUTHENTICATION);
        let is_history = matches!(check.situation, Remembering);
        same && !(is_authentication && is_history)
    };
    CHECKS.iter().find(fits)
}

fn needed(holds: bool, found: impl std::fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found.to_string()) }
}

/// Lines of the program's own metrics that start like this.
fn metric(scene: &Scene<'_>, trial: &Trial, start: &str) -> Result<Vec<String>, String> {
    let text = scene.read(trial.port, "/metrics")?;
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect();
    if lines.is_empty() { Err(format!("no {start}")) } else { Ok(lines) }
}

/// The decision about an HPA of the trial.
fn desired(scene: &Scene<'_>, trial: &Trial, hpa: &str) -> Result<u32, String> {
    let lines = metric(scene, trial, "horizontal_pod_autoscaler_controller_desired_replicas{")?;
    let labels = [format!("namespace=\"{}\"", trial.namespace), format!("hpa_name=\"{hpa}\"")];
    let line = lines.iter().find(|line| labels.iter().all(|label| line.contains(label)));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.ok_or_else(|| format!("no decision about {hpa}"))
}

fn decides(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let desired = desired(scene, trial, "web")?;
    needed(desired == 3, format!("{desired} wanted"))
}

fn decides_late(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    desired(scene, trial, "late").map(drop)
}

fn decides_by_late_pods(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let desired = desired(scene, trial, "late")?;
    needed(desired == 2, format!("{desired} wanted"))
}

fn watches_targets(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    let lines = metric(scene, trial, "flyball_hpa_target_watches{")?;
    let wanted = format!("{{resource=\"{}\"}} 1", grant.resource);
    needed(lines.iter().any(|line| line.ends_with(&wanted)), lines.join("\n"))
}

fn watches_samples(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let lines = metric(scene, trial, "flyball_hpa_sample_watches ")?;
    needed(lines.iter().any(|line| !line.ends_with(" 0")), lines.join("\n"))
}

fn uses(scene: &Scene<'_>, trial: &Trial, kind: &str) -> Result<(), String> {
    let lines = metric(scene, trial, "horizontal_pod_autoscaler_controller_metric_computation_total{")?;
    let labels = ["error=\"none\"".to_owned(), format!("metric_type=\"{kind}\"")];
    let used = lines.iter().any(|line| labels.iter().all(|label| line.contains(label)));
    needed(used, lines.join("\n"))
}

fn uses_resource(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    uses(scene, trial, "Resource")
}

fn uses_object(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    uses(scene, trial, "Object")
}

fn uses_external(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    uses(scene, trial, "External")
}

fn lease(scene: &Scene<'_>, trial: &Trial) -> Result<Value, String> {
    let of = &trial.namespace;
    scene.object(&format!("/apis/coordination.k8s.io/v1/namespaces/{of}/leases/{of}"))
}

fn leads(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let lease = lease(scene, trial)?;
    needed(lease["spec"]["holderIdentity"].as_str().is_some_and(|holder| !holder.is_empty()), &lease["spec"])
}

fn renews(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    leads(scene, trial, grant)?;
    let spec = lease(scene, trial)?["spec"].take();
    needed(spec["renewTime"] != spec["acquireTime"], spec)
}

fn notices_rival(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let events = events(scene, trial)?;
    needed(list(&events, "/items").any(|event| event["reason"] == "AnotherFlyball"), reasons(&events))
}

fn scales(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", trial.namespace);
    let replicas = scene.object(&path)?["spec"]["replicas"].take();
    needed(replicas == 3, format!("{replicas} replicas"))
}

fn reports(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let path = format!("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers/web", trial.namespace);
    let status = scene.object(&path)?["status"].take();
    needed(status["currentMetrics"].is_array(), status)
}

/// An HPA of our own kind.
fn own(scene: &Scene<'_>, trial: &Trial, name: &str) -> Result<Value, String> {
    scene.object(&format!("/apis/{OWN_GROUP}/v1/namespaces/{}/{HPAS}/{name}", trial.namespace))
}

fn reports_own(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let status = own(scene, trial, "web")?["status"].take();
    needed(status["currentMetrics"].is_array(), status)
}

fn leaves_owned(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let hpa = own(scene, trial, OWNED)?;
    let left = list(&hpa, "/status/conditions").any(|condition| condition["reason"] == "TargetOwned");
    needed(left, &hpa["status"])
}

fn events(scene: &Scene<'_>, trial: &Trial) -> Result<Value, String> {
    scene.object(&format!("/api/v1/namespaces/{}/events", trial.namespace))
}

fn reasons(events: &Value) -> String {
    list(events, "/items")
        .map(|event| format!("{} {}", event["reason"], event["message"]))
        .collect::<Vec<_>>()
        .join("\n")
}

fn tells(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let events = events(scene, trial)?;
    needed(list(&events, "/items").any(|event| event["reason"] == "SuccessfulRescale"), reasons(&events))
}

fn counts_events(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let events = events(scene, trial)?;
    let counted = |event: &Value| {
        event["involvedObject"]["kind"] == "HorizontalPodAutoscaler" && event["count"].as_u64() > Some(1)
    };
    needed(list(&events, "/items").any(counted), reasons(&events))
}

fn begins_history(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let maps = scene.object(&format!("/api/v1/namespaces/{}/configmaps", trial.namespace))?;
    let names = || list(&maps, "/items").filter_map(|map| map["metadata"]["name"].as_str());
    needed(
        names().any(|name| name.starts_with("flyball-hpa-history-")),
        names().collect::<Vec<_>>().join(" "),
    )
}

/// Entries of HPAs that are gone are removed from the ConfigMap that the grant names.
fn tends_history(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    let name = grant.name.as_deref().unwrap_or("flyball-hpa-history-0");
    let map = scene.object(&format!("/api/v1/namespaces/{}/configmaps/{name}", trial.namespace))?;
    let left = map["data"].as_object().map_or(0, serde_json::Map::len);
    needed(left < Trial::STALE_ENTRIES, format!("{left} stale entries of {}", Trial::STALE_ENTRIES))
}

fn probe(scene: &Scene<'_>, trial: &Trial) -> Result<bool, String> {
    let hpas = scene
        .object(&format!("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers", trial.namespace))?;
    Ok(list(&hpas, "/items").any(|hpa| hpa["metadata"]["name"] == "flyball-hpa-probe"))
}

fn decides_to_scale(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    scales(scene, trial, grant)
}

fn leaves_no_probe(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    scales(scene, trial, grant)?;
    needed(!probe(scene, trial)?, "the probe is there")
}

fn serves_metrics(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    scene.read(trial.port, "/metrics").map(drop)
}

fn takes_certificates(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    scene.read_by_certificate(trial.port, "/metrics").map(drop)
}

fn knows_aggregator(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    scene.read_by_proxy(trial.port, "/metrics").map(drop)
}

/// Whether the metrics API of the trial's program names an object.
fn measures(scene: &Scene<'_>, trial: &Trial, resource: &str, name: &str) -> Result<(), String> {
    let text = scene.read(trial.port, &format!("/apis/metrics.k8s.io/v1beta1/{resource}"))?;
    let answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let names = || list(&answer, "/items").filter_map(|item| item["metadata"]["name"].as_str());
    needed(names().any(|known| known.starts_with(name)), names().collect::<Vec<_>>().join(" "))
}

fn measures_nodes(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    measures(scene, trial, "nodes", HOLLOW_NODE)
}

fn measures_late_node(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    measures(scene, trial, "nodes", &trial.late_name())
}

fn measures_pods(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    measures(scene, trial, "pods", "early")
}

fn measures_late_pod(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    measures(scene, trial, "pods", &trial.late_name())
}

fn measures_collected_node(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    measures(scene, trial, "nodes", COLLECTED_NODE)
}

fn names_owner(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    let text = scene.read(trial.port, "/readyz?verbose").or_else(|text| {
        // Not ready for another reason is told by the same text.
        if text.contains("[!]") { Ok(text) } else { Err(text) }
    })?;
    let wanted = format!("[!]api-service {}: ", grant.name.as_deref().unwrap_or_default());
    needed(text.contains(&wanted), text)
}

fn issues(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    let path = format!("/api/v1/namespaces/{}/secrets/flyball-collector-tls", trial.nodes_namespace());
    let secret = scene.object(&path)?;
    let keys = secret["data"].as_object().map(|data| data.keys().cloned().collect::<Vec<_>>().join(" "));
    let keys = keys.unwrap_or_default();
    needed(keys.contains("tls.crt"), format!("the Secret holds: {keys}"))
}

/// Without a watch the Secret is read every half minute only, and the program says what that means.
fn follows_secret(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    issues(scene, trial, grant)?;
    let text = scene.read(trial.port, "/readyz?verbose").unwrap_or_else(|text| text);
    needed(!text.contains("[!]collector-certificate: ") && text.contains("[!]api-service"), text)
}

/// Values of all objects of the grant's kind.
fn picked(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<Vec<Value>, String> {
    let kind = match grant.group.as_str() {
        "" => grant.resource.clone(),
        group => format!("{}.{group}", grant.resource),
    };
    let place = match kind.as_str() {
        "namespaces" => "namespaces/*/metrics".to_owned(),
        "nodes" | "persistentvolumes" => format!("{kind}/*"),
        kind => format!("namespaces/{COMMON}/{kind}/*"),
    };
    let path = format!("/apis/custom.metrics.k8s.io/v1beta2/{place}/{METRIC}");
    let text = scene.read(trial.port, &path)?;
    let answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(list(&answer, "/items").cloned().collect())
}

fn picks_objects(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    let picked = picked(scene, trial, grant)?;
    needed(!picked.is_empty(), "none is picked")
}

fn picks_late_pod(scene: &Scene<'_>, trial: &Trial, grant: &Grant) -> Result<(), String> {
    let picked = picked(scene, trial, grant)?;
    let late = trial.late_name();
    let found = picked.iter().any(|item| item["describedObject"]["name"] == late.as_str());
    needed(found, format!("{picked:?}"))
}

fn names(scene: &Scene<'_>, trial: &Trial, pod: &str) -> Result<(), String> {
    let text = scene.read(trial.port, "/metrics/resource")?;
    needed(text.contains(&format!("pod=\"{pod}\"")), text)
}

fn names_pods(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    names(scene, trial, "early")
}

fn names_late_pod(scene: &Scene<'_>, trial: &Trial, _: &Grant) -> Result<(), String> {
    names(scene, trial, &trial.late_name())
}
