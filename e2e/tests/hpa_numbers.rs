//! Hand-written HPAs on hand-written Deployments behave by the numbers.

use std::sync::Mutex;
use std::time::Duration;

use flyball_e2e::manifests::{
    IDLE, burn_arguments, burn_deployment, cpu_average_value, hpa, script_deployment,
};
use flyball_e2e::{MINUTE, Place, SHORT, Setup, Shared, alone, full, is_root, skipped, steady};
use serde_json::{Value, json};

static CLUSTER: Shared = Shared::new(Setup::default);

/// Keeps apart the tests whose pods need the CPU they are limited to.
static HEAVY: Mutex<()> = Mutex::new(());

/// Longest way of a load step to the scale: start of pods, measuring, scaling up to its limit of rate.
const SCALE_LIMIT: Duration = Duration::from_secs(120);

fn replicas(place: &Place, deployment: &str) -> i64 {
    place.json(&["get", "deployment", deployment])["spec"]["replicas"].as_i64().unwrap_or(-1)
}

fn condition(hpa: &Value, kind: &str) -> Value {
    let conditions = hpa["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// Waits until the HPA has decided from a metric.
fn eventually_active(place: &Place, name: &str) {
    place.eventually(SCALE_LIMIT, &format!("hpa {name} has a valid metric"), || {
        let hpa = place.json(&["get", "hpa", name]);
        let active = condition(&hpa, "ScalingActive");
        if active["status"] == "True" { Ok(()) } else { Err(hpa["status"].to_string()) }
    });
}

fn eventually_replicas(place: &Place, deployment: &str, what: &str, good: impl Fn(i64) -> bool) {
    place.eventually(SCALE_LIMIT, &format!("deployment {deployment}: {what}"), || {
        let count = replicas(place, deployment);
        if good(count) { Ok(()) } else { Err(format!("{count} replicas")) }
    });
}

/// CPU per pod by the HPA's status, in millicores.
fn current_millicores(place: &Place, name: &str) -> Result<u64, String> {
    let hpa = place.json(&["get", "hpa", name]);
    let value = &hpa["status"]["currentMetrics"][0]["resource"]["current"]["averageValue"];
    let millicores = value.as_str().and_then(|text| text.strip_suffix('m')?.parse().ok());
    millicores.ok_or_else(|| hpa["status"].to_string())
}

#[test]
fn two_full_pods_hold_at_95m_grow_at_80m_and_shrink_without_load() {
    if !is_root() {
        return skipped("needs root: without control groups of its own the limit of 100m is not enforced");
    }
    let Some(place) = CLUSTER.namespace("numbers") else { return };
    let _alone = alone(&HEAVY);
    place.apply(&burn_deployment("burn", 2, 1));
    place.apply(&hpa("burn", "burn", 2, 4, &cpu_average_value("95m")));
    place.eventually_available(MINUTE, "burn", 2);
    eventually_active(&place, "burn");
    place.eventually(MINUTE, "both pods use their 100m", || {
        let millicores = current_millicores(&place, "burn")?;
        if (90..=110).contains(&millicores) { Ok(()) } else { Err(format!("{millicores}m")) }
    });

    // 100/95 is within the tolerance of a tenth.
    let watch = Duration::from_secs(if full() { 180 } else { 60 });
    steady(
        watch,
        "two replicas at a target of 95m",
        || place.state(),
        || {
            let count = replicas(&place, "burn");
            if count == 2 { Ok(()) } else { Err(format!("{count} replicas")) }
        },
    );

    // 100/80 is not: three pods, which again use more than the target.
    place.apply(&hpa("burn", "burn", 2, 4, &cpu_average_value("80m")));
    eventually_replicas(&place, "burn", "grows to three or four at a target of 80m", |count| count >= 3);
    place.eventually_prints(SHORT, &["describe", "hpa", "burn"], "SuccessfulRescale");

    let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": burn_arguments(0)}]);
    place.ok(&["patch", "deployment", "burn", "--type", "json", "-p", &patch.to_string()]);
    eventually_replicas(&place, "burn", "shrinks to its minimum of two without load", |count| count == 2);
    place.eventually_available(MINUTE, "burn", 2);
}

#[test]
fn a_container_resource_scales() {
    let Some(place) = CLUSTER.namespace("container") else { return };
    let _alone = alone(&HEAVY);
    let target = json!({"type": "Utilization", "averageUtilization": 50});
    let metric = json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "app", "target": target}});
    place.apply(&burn_deployment("burn", 1, 1));
    place.apply(&hpa("burn", "burn", 1, 2, &metric));
    eventually_replicas(&place, "burn", "grows to two at 100 % of a target of 50 %", |count| count == 2);
    place.eventually(MINUTE, "the HPA shows the container's usage", || {
        let hpa = place.json(&["get", "hpa", "burn"]);
        let current =
            &hpa["status"]["currentMetrics"][0]["containerResource"]["current"]["averageUtilization"];
        if current.as_i64().is_some_and(|percent| percent > 75) {
            Ok(())
        } else {
            Err(hpa["status"].to_string())
        }
    });
}

#[test]
fn an_hpa_that_targets_nothing_says_so() {
    let Some(place) = CLUSTER.namespace("nothing") else { return };
    place.apply(&hpa("lost", "nowhere", 1, 2, &cpu_average_value("50m")));
    let text = place.eventually_prints(MINUTE, &["describe", "hpa", "lost"], "FailedGetScale");
    assert!(text.contains("\"nowhere\" not found"), "{text}");
    // It goes on by itself once the target is there.
    place.apply(&script_deployment("nowhere", 1, IDLE));
    place.eventually(MINUTE, "the HPA finds its target", || {
        let hpa = place.json(&["get", "hpa", "lost"]);
        if condition(&hpa, "AbleToScale")["status"] == "True" {
            Ok(())
        } else {
            Err(hpa["status"].to_string())
        }
    });
}

#[test]
fn two_hpas_on_one_target_say_so_and_do_nothing() {
    let Some(place) = CLUSTER.namespace("ambiguous") else { return };
    place.apply(&script_deployment("web", 1, IDLE));
    for name in ["first", "second"] {
        place.apply(&hpa(name, "web", 2, 4, &cpu_average_value("50m")));
    }
    // The first may have been alone for a moment and raised the count to its minimum; the last to come is refused.
    let text = place.eventually_prints(MINUTE, &["describe", "hpa", "second"], "AmbiguousSelector");
    assert!(text.contains("first"), "{text}");
    place.eventually_prints(MINUTE, &["describe", "hpa", "first"], "AmbiguousSelector");
    // With one of them gone the other works.
    place.ok(&["delete", "hpa", "first"]);
    eventually_active(&place, "second");
    eventually_replicas(&place, "web", "has the minimum of the HPA that is left", |count| count == 2);
}

#[test]
fn a_wrong_hpa_is_refused_by_field() {
    let Some(place) = CLUSTER.namespace("refused") else { return };
    for (min, max, metric, expected) in [
        (1, 0, cpu_average_value("50m"), "spec.maxReplicas: Required value"),
        (3, 2, cpu_average_value("50m"), "spec.maxReplicas"),
        (1, 2, cpu_average_value("0"), "must be positive"),
        (1, 2, json!({"type": "Resource"}), "spec.metrics[0].resource: Required value"),
    ] {
        let object = hpa("wrong", "web", min, max, &metric).to_string();
        let error = place.fails_with_input(&["apply", "-f", "-"], &object);
        assert!(error.contains(expected) && error.contains("wrong"), "wanted {expected:?} in:\n{error}");
    }
}
