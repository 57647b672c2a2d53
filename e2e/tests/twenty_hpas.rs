//! Twenty hand-written autoscalers, each in a situation of its own, behave as the reference says, and `kubectl describe
//! hpa` reads as it does with upstream's controller. The pods are idle, so that every outcome is certain.
#![allow(clippy::disallowed_methods, reason = "edge: starts the program")]

use std::time::Duration;

use flyball_e2e::manifests::{IDLE, hpa, script_deployment};
use flyball_e2e::{Place, Setup, Shared};
use serde_json::{Value, json};

static CLUSTER: Shared = Shared::new(Setup::default);

/// Longest way from a manifest to the outcome: start of pods, measuring, and a policy's period where one is waited for.
const LIMIT: Duration = Duration::from_secs(180);

/// One autoscaler.
struct Row {
    name: &'static str,
    /// Replicas of the target before; `None`: there is no target.
    start: Option<u32>,
    bounds: [u32; 2],
    metrics: Vec<Value>,
    behavior: Value,
    /// Replicas in the end.
    end: i64,
    /// `Type=Status/Reason`, those that must be there.
    conditions: &'static [&'static str],
    /// Lines that `kubectl describe hpa` shows.
    says: &'static [&'static str],
}

fn resource(name: &str, value: &str) -> Value {
    json!({"type": "Resource", "resource": {"name": name, "target": {"type": "AverageValue", "averageValue": value}}})
}

fn utilization(name: &str) -> Value {
    json!({"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": 50}}})
}

fn external() -> Value {
    json!({"type": "External", "external": {"metric": {"name": "queue"},
        "target": {"type": "AverageValue", "averageValue": "10"}}})
}

/// A byte of memory a pod: every pod uses more.
fn hungry() -> Vec<Value> {
    vec![resource("memory", "1")]
}

/// More memory than any pod uses.
fn content() -> Vec<Value> {
    vec![resource("memory", "100Gi")]
}

fn policy(kind: &str, value: u32, seconds: u32) -> Value {
    json!([{"type": kind, "value": value, "periodSeconds": seconds}])
}

fn row(name: &'static str, start: u32, bounds: [u32; 2], metrics: Vec<Value>, end: i64) -> Row {
    Row { name, start: Some(start), bounds, metrics, behavior: Value::Null, end, conditions: &[], says: &[] }
}

impl Row {
    fn behaves(self, behavior: Value) -> Self {
        Self { behavior, ..self }
    }

    fn shows(self, conditions: &'static [&'static str], says: &'static [&'static str]) -> Self {
        Self { conditions, says, ..self }
    }
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    let pods = json!({"type": "Pods", "pods": {"metric": {"name": "requests"},
        "target": {"type": "AverageValue", "averageValue": "10"}}});
    let object = json!({"type": "Object", "object": {"metric": {"name": "hits"},
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "web"},
        "target": {"type": "Value", "value": "10"}}});
    let container = json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "none",
        "target": {"type": "AverageValue", "averageValue": "10m"}}});
    let down = |rules: Value| json!({"scaleDown": rules});
    let up = |rules: Value| json!({"scaleUp": rules});
    vec![
        row("below-min", 1, [3, 5], content(), 3).shows(
            &["AbleToScale=True/", "ScalingActive=True/ValidMetricFound"],
            &["New size: 3; reason: Current number of replicas below Spec.MinReplicas"],
        ),
        row("above-max", 3, [1, 2], hungry(), 2).shows(
            &["ScalingActive=True/ValidMetricFound", "ScalingLimited=True/TooManyReplicas"],
            &["New size: 2; reason: Current number of replicas above Spec.MaxReplicas"],
        ),
        row("at-max", 2, [1, 2], hungry(), 2).shows(
            &["AbleToScale=True/ReadyForNewScale", "ScalingLimited=True/TooManyReplicas"],
            &["the desired replica count is more than the maximum replica count"],
        ),
        row("to-max", 1, [1, 4], hungry(), 4).shows(
            &["ScalingLimited=True/TooManyReplicas"],
            &["New size: 4; reason: memory resource above target"],
        ),
        row("step-by-step", 1, [1, 6], hungry(), 3)
            .behaves(up(json!({"policies": policy("Pods", 2, 1800)})))
            .shows(
                &["ScalingLimited=True/ScaleUpLimit"],
                &["New size: 3; reason: memory resource above target",
                  "the desired replica count is increasing faster than the maximum scale rate"],
            ),
        row("never-up", 1, [1, 6], hungry(), 1)
            .behaves(up(json!({"selectPolicy": "Disabled"})))
            .shows(&["ScalingLimited=True/ScaleUpLimit"], &["ScaleUpLimit"]),
        row("slowly-up", 1, [1, 6], hungry(), 1)
            .behaves(up(json!({"stabilizationWindowSeconds": 3600})))
            .shows(
                &["AbleToScale=True/ScaleUpStabilized"],
                &["recent recommendations were lower than current one, applying the lowest recent recommendation"],
            ),
        row("held-up", 2, [1, 4], content(), 2)
            .behaves(down(json!({"stabilizationWindowSeconds": 300})))
            .shows(
                &["AbleToScale=True/ScaleDownStabilized", "ScalingLimited=False/DesiredWithinRange"],
                &["recent recommendations were higher than current one, applying the highest recent recommendation"],
            ),
        row("down-at-once", 3, [1, 4], content(), 1)
            .behaves(down(json!({"stabilizationWindowSeconds": 0})))
            .shows(&["AbleToScale=True/"], &["New size: 1; reason: All metrics below target"]),
        row("down-slowly", 4, [1, 4], content(), 3)
            .behaves(down(json!({"stabilizationWindowSeconds": 0, "policies": policy("Pods", 1, 1800)})))
            .shows(
                &["ScalingLimited=True/ScaleDownLimit"],
                &["the desired replica count is decreasing faster than the maximum scale rate"],
            ),
        row("never-down", 2, [1, 4], content(), 2)
            .behaves(down(json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"})))
            .shows(&["ScalingLimited=True/ScaleDownLimit"], &["ScaleDownLimit"]),
        row("no-request", 1, [1, 4], vec![utilization("memory")], 1).shows(
            &["ScalingActive=False/FailedGetResourceMetric"],
            &["missing request for memory in container app of Pod no-request-"],
        ),
        row("no-container", 1, [1, 4], vec![container], 1).shows(
            &["ScalingActive=False/FailedGetContainerResourceMetric"],
            &["FailedGetContainerResourceMetric"],
        ),
        row("no-external", 1, [1, 4], vec![external()], 1).shows(
            &["ScalingActive=False/FailedGetExternalMetric"],
            &["unable to get external metric", "FailedComputeMetricsReplicas"],
        ),
        row("no-pods-metric", 1, [1, 4], vec![pods], 1).shows(
            &["ScalingActive=False/FailedGetPodsMetric"],
            &["unable to get metric requests"],
        ),
        row("no-object-metric", 1, [1, 4], vec![object], 1).shows(
            &["ScalingActive=False/FailedGetObjectMetric"],
            &["unable to get metric hits"],
        ),
        row("half-blind-down", 2, [1, 4], vec![content().remove(0), external()], 2)
            .behaves(down(json!({"stabilizationWindowSeconds": 0})))
            .shows(
                &["ScalingActive=False/FailedGetExternalMetric"],
                &["invalid metrics (1 invalid out of 2), first error is:"],
            ),
        row("half-blind-up", 1, [1, 2], vec![external(), hungry().remove(0)], 2).shows(
            &["ScalingActive=True/ValidMetricFound", "ScalingLimited=True/TooManyReplicas"],
            &["New size: 2; reason: memory resource above target"],
        ),
        row("switched-off", 0, [1, 4], hungry(), 0).shows(
            &["ScalingActive=False/ScalingDisabled"],
            &["scaling is disabled since the replica count of the target is zero"],
        ),
        Row { start: None, ..row("no-target", 0, [1, 4], hungry(), -1) }.shows(
            &["AbleToScale=False/FailedGetScale"],
            &["the HPA controller was unable to get the target's current scale", "\"no-target\" not found"],
        ),
    ]
}

fn replicas(place: &Place, name: &str) -> i64 {
    let object = place.json(&["get", "deployment", name, "--ignore-not-found"]);
    object["spec"]["replicas"].as_i64().unwrap_or(-1)
}

/// What is not as the row says.
fn missing(place: &Place, row: &Row) -> Result<(), String> {
    if row.start.is_some() {
        let count = replicas(place, row.name);
        if count != row.end {
            return Err(format!("{count} replicas, {} wanted", row.end));
        }
    }
    let status = place.json(&["get", "hpa", row.name])["status"].take();
    let conditions: Vec<String> = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|condition| {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            format!("{}={}/{}", text("type"), text("status"), text("reason"))
        })
        .collect();
    let lacks = |wanted: &&&str| !conditions.iter().any(|condition| condition.starts_with(**wanted));
    if let Some(wanted) = row.conditions.iter().find(lacks) {
        return Err(format!("no {wanted} among {conditions:?}"));
    }
    let told = place.ok(&["describe", "hpa", row.name]);
    match row.says.iter().find(|wanted| !told.contains(**wanted)) {
        Some(wanted) => Err(format!("{wanted:?} is not in:\n{told}")),
        None => Ok(()),
    }
}

#[test]
fn twenty_autoscalers_behave_as_the_reference_says() {
    let Some(place) = CLUSTER.namespace("twenty") else { return };
    let rows = rows();
    assert_eq!(rows.len(), 20);
    for row in &rows {
        if let Some(start) = row.start {
            place.apply(&script_deployment(row.name, start, IDLE));
        }
        let mut object = hpa(row.name, row.name, row.bounds[0], row.bounds[1], &row.metrics[0]);
        object["spec"]["metrics"] = json!(row.metrics);
        if !row.behavior.is_null() {
            object["spec"]["behavior"] = row.behavior.clone();
        }
        place.apply(&object);
    }
    for row in &rows {
        place.eventually(LIMIT, &format!("hpa {}", row.name), || missing(&place, row));
    }
    // As upstream's: the columns and headings that people and scripts look for.
    let told = place.ok(&["describe", "hpa", "to-max"]);
    for part in [
        "Metrics:",
        "resource memory on pods:",
        "Min replicas:",
        "Max replicas:",
        "Deployment pods:",
        "Conditions:",
        "Type",
        "Status",
        "Reason",
        "Message",
        "Events:",
        "horizontal-pod-autoscaler",
    ] {
        assert!(told.contains(part), "no {part:?} in:\n{told}");
    }
    the_decisions_are_told(&place);
    the_mistakes_are_found(&place);
}

/// `flyball` with the cluster's kubeconfig and this namespace.
fn flyball(place: &Place, arguments: &[&str]) -> flyball_e2e::Finished {
    let mut command = std::process::Command::new(flyball_e2e::flyball_binary());
    command.args(arguments).arg("--kubeconfig").arg(place.kubeconfig()).args(["-n", place.namespace()]);
    flyball_e2e::run(command, "", LIMIT)
}

/// What `flyball lint` says about these autoscalers in the cluster.
fn the_mistakes_are_found(place: &Place) {
    let finished = flyball(place, &["lint"]);
    assert!(!finished.success(), "{finished}");
    let about = |name: &str, rule: &str| {
        let is_it = |line: &&str| line.contains(&format!("/{name}:")) && line.ends_with(&format!("({rule})"));
        finished.stdout.lines().filter(is_it).count()
    };
    let wanted = "no-request: spec.metrics[0]: container app of Deployment no-request has no memory request";
    assert!(finished.stdout.contains(wanted), "{finished}");
    assert_eq!((about("no-request", "NoRequests"), about("to-max", "NoRequests")), (1, 0), "{finished}");
    // The manifests of this test say how many there are, and kubectl keeps what was applied.
    assert_eq!(about("to-max", "ReplicasInManifest"), 1, "{finished}");
}

/// The same decisions as `kubectl get decisions` and `flyball explain` show them.
fn the_decisions_are_told(place: &Place) {
    let table = place.eventually_prints(LIMIT, &["get", "decisions"], "step-by-step");
    let head = table.lines().next().unwrap_or_default();
    for column in ["NAME", "REFERENCE", "METRICS", "CURRENT", "WANTED", "DESIRED", "WHY", "AGE"] {
        assert!(head.contains(column), "{table}");
    }
    for (name, why) in [
        ("step-by-step", "ScaleUpLimit"),
        ("no-target", "FailedGetScale"),
        ("held-up", "ScaleDownStabilized"),
    ] {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line.contains(why), "{name}: {why} wanted in:\n{table}");
    }
    let decision = place.json(&["get", "decision", "step-by-step"]);
    assert!(
        decision["trace"].is_object() && decision["counterfactuals"]["policies"].is_array(),
        "{decision}"
    );
    let explain = |form: &str| {
        let finished = flyball(place, &["explain", "hpa/step-by-step", "-o", form]);
        assert!(finished.success(), "{finished}");
        finished.stdout
    };
    let words = explain("table");
    for part in [
        "step-by-step scales Deployment/step-by-step between 1 and 6 replicas.",
        "Last changes:",
        "1 -> 3: memory resource above target",
        "What would change it:",
        "policy up 2 Pods in 1800 s: allows 3 now",
    ] {
        assert!(words.contains(part), "no {part:?} in:\n{words}");
    }
    let trace: Value = serde_json::from_str(&explain("json")).expect("JSON");
    assert_eq!(trace["trace"]["current"], 3, "{trace}");
}
