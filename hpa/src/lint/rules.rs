//! The rules, one function each. Pure.

use super::scene::{Autoscaler, Scene, Workload, labels};
use super::{Finding, Rule, Severity};
use flyball_model::autoscaling::{Gates, policy_type, select_policy, v2, validate_create};
use flyball_model::selector::LabelSelector;
use flyball_model::time::parse_rfc3339_ms;
use serde_json::Value;

/// The controller's tolerance where none is set.
const DEFAULT_TOLERANCE: f64 = 0.1;
/// The controller's window where none is set, seconds.
const DEFAULT_DOWN_WINDOW_SECONDS: i64 = 300;
/// Where kubectl keeps what was applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn found(
    of: &Autoscaler,
    severity: Severity,
    rule: Rule,
    field: impl Into<String>,
    message: String,
) -> Finding {
    let (namespace, name) = (of.namespace.clone(), of.name.clone());
    Finding { namespace, name, severity, rule, field: field.into(), message }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What the API server would refuse.
pub(super) fn invalid(of: &Autoscaler, findings: &mut Vec<Finding>) {
    if let Some((field, error)) = &of.unreadable {
        findings.push(found(of, Severity::Warning, Rule::Invalid, field, error.clone()));
    }
    for field in &of.unknown {
        // kubectl has these refused unless it is told not to; else they are dropped.
        findings.push(found(of, Severity::Warning, Rule::Invalid, field, "unknown field".into()));
    }
    let Some(hpa) = &of.hpa else { return };
    for fault in validate_create(hpa, Gates { scale_to_zero: true, metric_selectors: true }) {
        let path = fault.path.clone();
        let whole = fault.to_string();
        let message = whole.strip_prefix(&format!("{path}: ")).unwrap_or(&whole).to_owned();
        findings.push(found(of, Severity::Warning, Rule::Invalid, path, message));
    }
}

/// Autoscalers with the same target. What KEDA made for a ScaledObject is no second one.
pub(super) fn two_autoscalers(scene: &Scene, of: &Autoscaler, findings: &mut Vec<Finding>) {
    for other in &scene.autoscalers {
        let made =
            |one: &Autoscaler, by: &Autoscaler| by.hpa.is_none() && one.made_by.as_ref() == Some(&by.name);
        let is_same = std::ptr::eq(other, of) || made(of, other) || made(other, of);
        if is_same || other.target != of.target || of.target.3.is_empty() {
            continue;
        }
        let (_, kind, _, name) = &of.target;
        let message = format!("{kind} {name} is scaled by {} as well; keep one of the two", other.title);
        findings.push(found(of, Severity::Warning, Rule::TwoAutoscalers, "spec.scaleTargetRef", message));
    }
}

/// From zero a percentage allows nothing.
pub(super) fn percent_only(of: &Autoscaler, findings: &mut Vec<Finding>) {
    let Some(hpa) = &of.hpa else { return };
    let up = hpa.spec.behavior.as_ref().and_then(|behavior| behavior.scale_up.as_ref());
    let policies = up.and_then(|up| up.policies.as_deref()).unwrap_or_default();
    let is_percent = |policy: &v2::HPAScalingPolicy| policy.type_ == policy_type::PERCENT;
    if hpa.spec.min_replicas != Some(0) || !policies.iter().any(is_percent) {
        return;
    }
    let takes_least =
        up.and_then(|up| up.select_policy.as_deref()).is_some_and(|select| select == select_policy::MIN);
    let (field, mend) = if policies.iter().all(is_percent) {
        ("spec.behavior.scaleUp.policies", "add a policy of type Pods")
    } else if takes_least {
        (
            "spec.behavior.scaleUp.selectPolicy",
            "with Min the least of the policies counts, so leave it at Max",
        )
    } else {
        return;
    };
    let message = format!("a percentage of zero replicas is zero, so the target never leaves zero: {mend}");
    findings.push(found(of, Severity::Warning, Rule::PercentOnlyFromZero, field, message));
}

/// The tolerance is a share: with many replicas it covers more than one pod.
pub(super) fn dead_band(of: &Autoscaler, findings: &mut Vec<Finding>) {
    let Some(hpa) = &of.hpa else { return };
    let behavior = hpa.spec.behavior.as_ref();
    let own = |rules: Option<&v2::HPAScalingRules>| {
        rules.and_then(|rules| Some(rules.tolerance.as_ref()?.as_f64()))
    };
    let directions = [
        ("scaleUp", own(behavior.and_then(|b| b.scale_up.as_ref()))),
        ("scaleDown", own(behavior.and_then(|b| b.scale_down.as_ref()))),
    ];
    let (min, max) = (f64::from(hpa.spec.min_replicas.unwrap_or(1)), f64::from(hpa.spec.max_replicas));
    for (direction, own) in directions {
        let tolerance = own.unwrap_or(DEFAULT_TOLERANCE);
        // A share as decimal text has an error in its last bit, which must not make a pod of it.
        let covers = |replicas: f64| replicas * tolerance > 1.0 + 1e-9;
        if !covers(max) {
            continue;
        }
        let severity = if covers(min) { Severity::Warning } else { Severity::Note };
        let from = ((1.0 + 1e-9) / tolerance).floor() + 1.0;
        let message = format!(
            "usage may be off by {:.0}% without any scaling, which is more than one pod from {from} replicas on; set a \
             smaller tolerance if that matters",
            tolerance * 100.0
        );
        let field = format!("spec.behavior.{direction}.tolerance");
        findings.push(found(of, severity, Rule::WideDeadBand, field, message));
    }
}

/// Utilisation is a share of the request.
pub(super) fn no_requests(scene: &Scene, of: &Autoscaler, workload: &Workload, findings: &mut Vec<Finding>) {
    let Some(hpa) = &of.hpa else { return };
    let pod = &workload.template()["spec"];
    for (index, metric) in hpa.spec.metrics.iter().enumerate() {
        let (resource, container, target) = match (&metric.resource, &metric.container_resource) {
            (Some(source), _) => (&source.name, None, &source.target),
            (None, Some(source)) => (&source.name, Some(&source.container), &source.target),
            _ => continue,
        };
        if target.average_utilization.is_none() || target.average_value.is_some() {
            continue;
        }
        // What stays beside the containers counts as they do.
        let sidecars = list(&pod["initContainers"]).iter().filter(|c| c["restartPolicy"] == "Always");
        let all: Vec<&Value> = list(&pod["containers"]).iter().chain(sidecars).collect();
        let field = format!("spec.metrics[{index}]");
        match pod_request(pod, &all, resource).filter(|_| container.is_none()) {
            None => {}
            Some(true) => continue,
            Some(false) => {
                let message = format!(
                    "neither the pods of {} nor their containers request {resource}, so its utilisation cannot be computed \
                     and nothing is scaled",
                    workload.title()
                );
                findings.push(found(of, Severity::Warning, Rule::NoRequests, &field, message));
                continue;
            }
        }
        if let Some(container) = container.filter(|name| !all.iter().any(|c| c["name"] == name.as_str())) {
            let message = format!("{} has no container {container}", workload.title());
            findings.push(found(of, Severity::Warning, Rule::NoRequests, &field, message));
        }
        for one in all.iter().filter(|c| container.is_none_or(|name| c["name"] == name.as_str())) {
            let resources = &one["resources"];
            // A limit alone becomes the request when the pod is made.
            let says = !resources["requests"][resource].is_null() || !resources["limits"][resource].is_null();
            if !says && !scene.gives_request(workload.namespace, resource) {
                let message = format!(
                    "container {} of {} has no {resource} request, so its utilisation cannot be computed and nothing is \
                     scaled: set resources.requests.{resource}",
                    text(&one["name"]),
                    workload.title()
                );
                findings.push(found(of, Severity::Warning, Rule::NoRequests, &field, message));
            }
        }
    }
}

/// Whether a pod with resources of its own requests this one; `None`: it has none of its own, so that each container decides.
/// What it does not say itself is the sum of what containers say; a limit alone becomes the request when the pod is made.
fn pod_request(pod: &Value, containers: &[&Value], resource: &str) -> Option<bool> {
    let is_set = |value: &Value| value.as_object().is_some_and(|members| !members.is_empty());
    let says = |resources: &Value| {
        !resources["requests"][resource].is_null() || !resources["limits"][resource].is_null()
    };
    let own = &pod["resources"];
    let has_own = is_set(&own["requests"]) || is_set(&own["limits"]);
    has_own.then(|| says(own) || containers.iter().any(|container| says(&container["resources"])))
}

/// Labels decide which pods count; ownership does not.
pub(super) fn foreign_pods(scene: &Scene, of: &Autoscaler, workload: &Workload, findings: &mut Vec<Finding>) {
    let Some(selector) = workload.selector() else { return };
    let mut whose: Vec<String> = Vec::new();
    for other in &scene.workloads {
        let is_same = std::ptr::eq(other, workload) || is_part_of(other.object, workload);
        if !is_same
            && other.namespace == workload.namespace
            && catches(&selector, &other.template()["metadata"])
        {
            // A ReplicaSet is named by its Deployment.
            whose.push(owner_title(other.object).unwrap_or_else(|| other.title()));
        }
    }
    for pod in &scene.pods {
        let metadata = &pod["metadata"];
        if text(&metadata["namespace"]) != workload.namespace || !catches(&selector, metadata) {
            continue;
        }
        let owner = list(&metadata["ownerReferences"]).iter().find(|owner| owner["controller"] == true);
        match owner {
            None => whose.push(format!("Pod {} (of nobody)", text(&metadata["name"]))),
            Some(owner) if belongs(scene, owner, workload) => {}
            Some(owner) => {
                let title = format!("{} {}", text(&owner["kind"]), text(&owner["name"]));
                let of_known = scene.workloads.iter().find(|w| {
                    w.kind == text(&owner["kind"])
                        && w.name == text(&owner["name"])
                        && w.namespace == workload.namespace
                });
                whose.push(of_known.and_then(|known| owner_title(known.object)).unwrap_or(title));
            }
        }
    }
    whose.sort();
    whose.dedup();
    if !whose.is_empty() {
        let message = format!(
            "the selector of {} ({selector}) catches pods of {} too, and they count as if they were its own: give each \
             workload a label of its own",
            workload.title(),
            whose.join(", ")
        );
        findings.push(found(of, Severity::Warning, Rule::ForeignPods, "spec.scaleTargetRef", message));
    }
}

fn catches(selector: &LabelSelector, metadata: &Value) -> bool {
    let labels = labels(metadata);
    !labels.is_empty() && selector.matches_map(&labels)
}

fn owner_title(object: &Value) -> Option<String> {
    let owner =
        list(&object["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true)?;
    Some(format!("{} {}", text(&owner["kind"]), text(&owner["name"])))
}

/// Whether an object is controlled by the workload.
fn is_part_of(object: &Value, workload: &Workload) -> bool {
    owner_title(object).is_some_and(|owner| owner == workload.title())
        && object["metadata"]["namespace"] == workload.namespace
}

/// Whether an owner is the workload, or something of it.
fn belongs(scene: &Scene, owner: &Value, workload: &Workload) -> bool {
    let (kind, name) = (text(&owner["kind"]), text(&owner["name"]));
    if kind == workload.kind && name == workload.name {
        return true;
    }
    let set = scene
        .workloads
        .iter()
        .find(|w| w.kind == kind && w.name == name && w.namespace == workload.namespace);
    match set {
        Some(set) => is_part_of(set.object, workload),
        // A ReplicaSet that is not known bears its Deployment's name.
        None => {
            kind == "ReplicaSet"
                && workload.kind == "Deployment"
                && name.starts_with(&format!("{}-", workload.name))
        }
    }
}

/// Whoever applies the manifest again resets what the autoscaler did.
pub(super) fn replicas_in_manifest(of: &Autoscaler, workload: &Workload, findings: &mut Vec<Finding>) {
    let object = workload.object;
    let metadata = &object["metadata"];
    // What the API server stores always has a count; what people wrote is in the last applied manifest, or applied by a manager.
    let says = if metadata["uid"].is_null() {
        !object["spec"]["replicas"].is_null()
    } else {
        let applied = metadata["annotations"][LAST_APPLIED].as_str();
        let applied: Option<Value> = applied.and_then(|text| serde_json::from_str(text).ok());
        let by_manager = list(&metadata["managedFields"]).iter().any(|entry| {
            entry["operation"] == "Apply" && !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null()
        });
        by_manager || applied.is_some_and(|applied| !applied["spec"]["replicas"].is_null())
    };
    if says {
        let message = format!(
            "the manifest of {} sets spec.replicas, so applying it again undoes what the autoscaler did: leave it out",
            workload.title()
        );
        findings.push(found(of, Severity::Warning, Rule::ReplicasInManifest, "spec.replicas", message));
    }
}

/// A pod that is removed before it was ready helped nobody.
pub(super) fn windows(scene: &Scene, of: &Autoscaler, workload: &Workload, findings: &mut Vec<Finding>) {
    let Some(hpa) = &of.hpa else { return };
    let down = hpa.spec.behavior.as_ref().and_then(|behavior| behavior.scale_down.as_ref());
    let own = down.and_then(|down| down.stabilization_window_seconds).map(i64::from);
    let window_seconds = own.unwrap_or(DEFAULT_DOWN_WINDOW_SECONDS);
    let declared = declared_start_seconds(workload);
    let observed = observed_start_seconds(scene, workload).unwrap_or(0);
    let start_seconds = declared.max(observed);
    if window_seconds < start_seconds {
        let message = format!(
            "the window of {window_seconds} s is shorter than the {start_seconds} s that pods of {} may take to become \
             ready: they may be removed before they helped",
            workload.title()
        );
        let field = "spec.behavior.scaleDown.stabilizationWindowSeconds";
        findings.push(found(of, Severity::Warning, Rule::WindowShorterThanStart, field, message));
    }
}

/// The time that probes grant a start, and `minReadySeconds`.
fn declared_start_seconds(workload: &Workload) -> i64 {
    let seconds = |value: &Value, default: i64| value.as_i64().unwrap_or(default);
    let of_container = |container: &Value| {
        let (startup, readiness) = (&container["startupProbe"], &container["readinessProbe"]);
        let granted = match startup.is_object() {
            true => {
                let attempts =
                    seconds(&startup["failureThreshold"], 3) * seconds(&startup["periodSeconds"], 10);
                seconds(&startup["initialDelaySeconds"], 0) + attempts
            }
            false => 0,
        };
        granted + seconds(&readiness["initialDelaySeconds"], 0)
    };
    let containers = list(&workload.template()["spec"]["containers"]).iter().map(of_container);
    containers.max().unwrap_or(0) + seconds(&workload.object["spec"]["minReadySeconds"], 0)
}

/// The fastest start among the pods there are: what all of them needed at least.
fn observed_start_seconds(scene: &Scene, workload: &Workload) -> Option<i64> {
    let selector = workload.selector()?;
    let starts = scene.pods.iter().filter_map(|pod| {
        let (metadata, status) = (&pod["metadata"], &pod["status"]);
        if text(&metadata["namespace"]) != workload.namespace || !catches(&selector, metadata) {
            return None;
        }
        // A container that was restarted, or became unready, has a later time.
        let restarted =
            list(&status["containerStatuses"]).iter().any(|c| c["restartCount"].as_i64() != Some(0));
        let ready =
            list(&status["conditions"]).iter().find(|c| c["type"] == "Ready" && c["status"] == "True")?;
        let ready_ms = parse_rfc3339_ms(ready["lastTransitionTime"].as_str()?)?;
        let start_ms = parse_rfc3339_ms(status["startTime"].as_str()?)?;
        (!restarted).then_some((ready_ms - start_ms) / 1000)
    });
    starts.min()
}
