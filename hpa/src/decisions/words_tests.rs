use super::*;
use serde_json::json;

#[test]
fn a_decision_for_people() {
    let object = json!({
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "web" }, "minReplicas": 1, "maxReplicas": 10 },
        "status": {
            "decidedAt": "2026-01-01T00:00:10.000000Z", "decidedBy": "pod-1", "mode": "auto", "acting": true,
            "currentReplicas": 3, "desiredReplicas": 6, "wantedReplicas": 6, "why": "MetricsDecide", "rescale": "Done",
            "reason": "cpu resource utilization (percentage of request) above target",
            "metrics": [{ "metric": "cpu resource utilization (percentage of request)", "target": { "Utilization": 50 },
                "utilization": 90, "valueMilli": 90, "proposal": 6 }, { "metric": "pods metric rps", "error": "no metrics" }],
        },
        "changes": [{ "at": "2026-01-01T00:00:10Z", "from": 3, "to": 6, "reason": "x above target", "rescale": "Done" }],
        "trace": {
            "metrics": [{ "toleranceEdges": [0.9, 1.1], "numbers": { "perPod": {
                "tally": { "ready": { "count": 3, "usageMilli": 270, "requestsMilli": 300 },
                    "unready": { "count": 1 }, "missing": { "count": 0 } },
                "ratio": 1.8, "filledRatio": 1.8,
                "excluded": [{ "pod": "web-4", "class": "Unready", "reason": "pending" }] } } }, {}],
            "stabilize": { "raw": 6, "result": 6, "downFloor": 6, "downWindowMs": 300_000 },
            "limit": { "result": 6, "limit": "DesiredWithinRange", "rateLimit": 6 },
        },
        "counterfactuals": {
            "metrics": [{ "metric": "cpu", "perPod": true, "scaleUpFromMilli": 56, "scaleDownToMilli": null }],
            "next": { "atMs": 1_767_225_722_000_i64, "replicas": 4 }, "stabilizerLetsGo": null,
            "policies": [{ "up": true, "kind": "Pods", "value": 4, "periodSeconds": 60, "allows": 7, "freesAtMs": 1_767_225_672_000_i64 }],
        },
    });
    let expected = "\
shop/web scales Deployment/web between 1 and 10 replicas.
Decided 2s ago by pod-1 (mode auto), which scales it.

Decision:   3 -> 6 replicas: cpu resource utilization (percentage of request) above target (MetricsDecide; written)

Metrics:
  cpu resource utilization (percentage of request)
    value:      90% of the request, target 50% (90m per pod)
    pods:       3 counted, 1 starting, 0 without a sample
    sum:        270m of 300m requested
    ratio:      1.800; nothing changes from 0.900 to 1.100
    left out:   web-4 (Unready: pending)
    asks for:   6 replicas
  pods metric rps
    failed:     no metrics

Window:     6 wanted, 6 after stabilisation (highest of the last 300 s: 6)
Limits:     6 after them (DesiredWithinRange); limit of speed: 6 replicas

Last changes:
  2s ago: 3 -> 6: x above target

What would change it:
  cpu: more from 56m per pod, none for fewer
  time alone changes it in 110s: 4 replicas, if usage stays
  policy up 4 Pods in 60 s: allows 7 now, more in 60s
";
    assert_eq!(words(&object, 1_767_225_612_000), expected);
}

#[test]
fn a_heading_has_something_below_it() {
    let object = json!({ "metadata": { "name": "web", "namespace": "shop" },
        "counterfactuals": { "metrics": [], "next": null, "stabilizerLetsGo": null, "policies": [] } });
    let told = words(&object, 0);
    assert!(!told.contains("What would change it"), "{told}");
}

#[test]
fn memory_is_told_in_mebibytes_and_one_replica_alone() {
    let object = json!({
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "web" }, "minReplicas": 1, "maxReplicas": 10 },
        "status": {
            "decidedAt": "2026-01-01T00:00:10.000000Z", "decidedBy": "pod-1", "mode": "auto", "acting": true,
            "currentReplicas": 1, "desiredReplicas": 1, "why": "MetricsDecide", "rescale": "NotNeeded",
            "metrics": [{ "metric": "memory resource", "target": { "AverageValue": 209_715_200_000_i64 },
                "valueMilli": 157_286_400_500_i64, "proposal": 1 }],
        },
        "trace": { "metrics": [{}] },
        "counterfactuals": { "metrics": [{ "metric": "memory resource", "perPod": true,
            "scaleUpFromMilli": 230_686_720_000_i64, "scaleDownToMilli": null }], "policies": [] },
    });
    let told = words(&object, 1_767_225_612_000);
    for line in [
        "Decision:   stays at 1 replica (MetricsDecide)",
        "    value:      150.0Mi per pod, target 200.0Mi",
        "    asks for:   1 replica\n",
        "  memory resource: more from 220.0Mi per pod, none for fewer",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

#[test]
fn at_its_bounds_it_is_told_that_nothing_goes_beyond() {
    let told = |current: i32, edges: Value| {
        words(
            &json!({
                "metadata": { "name": "web", "namespace": "shop" },
                "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "web" }, "minReplicas": 1, "maxReplicas": 5 },
                "status": { "currentReplicas": current },
                "counterfactuals": { "metrics": [edges], "policies": [] },
            }),
            0,
        )
    };
    let edges = |up: Value, down: Value| json!({ "metric": "cpu", "perPod": true, "scaleUpFromMilli": up, "scaleDownToMilli": down });
    let at_least = told(1, edges(json!(56), Value::Null));
    assert!(
        at_least.contains("  cpu: more from 56m per pod, none for fewer, it is at its minimum\n"),
        "{at_least}"
    );
    let at_most = told(5, edges(Value::Null, json!(30)));
    assert!(
        at_most.contains("  cpu: none for more, it is at its maximum, fewer at 30m per pod or less\n"),
        "{at_most}"
    );
    let mut odd = edges(json!(90), json!(40));
    odd["alsoUpMilli"] = json!([62, 71]);
    let odd = told(3, odd);
    assert!(
        odd.contains("\n    also more from 62m to 71m per pod: more pods count than it has replicas\n"),
        "{odd}"
    );
}

#[test]
fn what_a_hold_lets_through_is_told() {
    for (allows, heading) in [
        ("none", "What would change it: nothing, while it is held; without that\n"),
        ("up", "What would change it: only what asks for more, while it is held\n"),
        ("all", "What would change it:\n"),
    ] {
        let object = json!({ "metadata": { "name": "web", "namespace": "shop" },
            "status": { "held": { "reason": "R", "message": "m", "allows": allows } },
            "counterfactuals": { "metrics": [{ "metric": "cpu", "scaleUpFromMilli": 5 }], "policies": [] } });
        let told = words(&object, 0);
        assert!(told.contains(heading), "{allows}: {told}");
    }
}

#[test]
fn windows_and_policies_are_told_with_what_decides() {
    let stabilize = json!({ "raw": 3, "result": 5, "downFloor": 5, "downWindowMs": 300_000, "deciding": { "n": 5, "t": 60_000 },
        "upWindowMs": 30_000, "upCeiling": 3, "decidingUp": null });
    let object = json!({ "metadata": { "name": "web", "namespace": "shop" },
        "trace": { "atMs": 100_000, "stabilize": stabilize },
        "counterfactuals": { "metrics": [], "policies": [
            { "up": false, "select": "Disabled", "kind": "Pods", "value": 4, "periodSeconds": 60, "allows": 7 }] } });
    let told = words(&object, 100_000);
    for line in [
        "Window:     3 wanted, 5 after stabilisation (highest of the last 300 s: 5, of 40s before; lowest of the last 30 s: 3)\n",
        "  policy down 4 Pods in 60 s: allows nothing, selectPolicy is Disabled\n",
    ] {
        assert!(told.contains(line), "{line}{told}");
    }
}
