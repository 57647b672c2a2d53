//! Whole evaluations on the pure rung: decision, then status and events.

use super::*;
use crate::compile::compile;
use crate::decide::{
    History, Input, Reading, Recommendation, Scale, SelectorFailure, Snapshot, Trace, decide,
};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000_000;

struct Scenario {
    hpa: v2::HorizontalPodAutoscaler,
    rules: Rules,
    settings: Settings,
    current: i32,
    inputs: Vec<Input>,
    history: History,
    selector: Option<SelectorFailure>,
}

/// An HPA on External metrics (they need no pods), between 2 and 6 replicas.
fn scenario(current: i32, metrics: &[(&str, Input)]) -> Scenario {
    let specs: Vec<Value> = metrics
        .iter()
        .map(|(name, _)| {
            json!({ "type": "External", "external": {
                "metric": { "name": name }, "target": { "type": "AverageValue", "averageValue": "10" } } })
        })
        .collect();
    let object = json!({
        "metadata": { "name": "web", "namespace": "ns", "generation": 7 },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 2, "maxReplicas": 6, "metrics": specs,
        },
        "status": { "currentReplicas": 1, "desiredReplicas": 1, "lastScaleTime": "2020-01-01T00:00:00Z" },
    });
    let hpa: v2::HorizontalPodAutoscaler = serde_json::from_value(object).unwrap();
    Scenario {
        rules: compile(&hpa),
        hpa,
        settings: Settings::default(),
        current,
        inputs: metrics.iter().map(|(_, input)| input.clone()).collect(),
        history: History::default(),
        selector: None,
    }
}

fn value(units: i64) -> Input {
    Input::External(vec![Reading { value_milli: units * 1000, timestamp_ms: NOW }])
}

fn broken() -> Input {
    Input::Failed("broken".into())
}

impl Scenario {
    fn run(&self, rescale: impl Fn(&Decision) -> Rescale) -> (Decision, Report) {
        let scaled_to_zero =
            self.hpa.status.conditions.iter().any(|c| c.type_ == "ScaledToZero" && c.status == "True");
        let snapshot = Snapshot {
            rules: &self.rules,
            settings: &self.settings,
            scale: Scale { spec_replicas: self.current, status_replicas: self.current },
            selector: self.selector.as_ref().map_or(Ok(()), Err),
            pods: &[],
            inputs: &self.inputs,
            scaled_to_zero,
        };
        let decision = decide(&snapshot, NOW, &self.history, &mut Trace::off());
        let facts = Facts {
            hpa: &self.hpa,
            rules: &self.rules,
            settings: &self.settings,
            observed_generation: true,
            decision: &decision,
            selector: self.selector.as_ref(),
            now_ms: NOW,
        };
        let report = conclude(facts, &rescale(&decision));
        (decision, report)
    }

    fn succeed(&self) -> (Decision, Report) {
        self.run(|decision| if decision.rescales() { Rescale::Done } else { Rescale::NotNeeded })
    }
}

/// `Type=Status/Reason` of each condition.
fn conditions(report: &Report) -> Vec<String> {
    let text = |c: &v2::HorizontalPodAutoscalerCondition| format!("{}={}/{}", c.type_, c.status, c.reason);
    report.status.conditions.iter().map(text).collect()
}

fn events(report: &Report) -> Vec<String> {
    report.notes.iter().map(|note| format!("{}: {}", note.reason, note.message)).collect()
}

#[test]
fn growing_with_a_broken_metric() {
    let (decision, report) = scenario(3, &[("cpu", value(40)), ("queue", broken())]).succeed();
    assert_eq!(decision.desired, 4, "C1");
    assert_eq!(report.error, ErrorClass::Internal, "C1");
    assert_eq!(
        conditions(&report),
        [
            "AbleToScale=True/SucceededRescale",
            "ScalingActive=True/ValidMetricFound",
            "ScalingLimited=False/DesiredWithinRange",
            "ScaledToZero=False/NotScaledToZero",
        ]
    );
    assert_eq!(
        events(&report),
        [
            "FailedGetExternalMetric: unable to get external metric ns/queue/nil: broken",
            "SuccessfulRescale: New size: 4; reason: external metric cpu(nil) above target",
        ]
    );
    let status = &report.status;
    assert_eq!((status.current_replicas, status.desired_replicas), (3, 4), "the count before the rescale");
    assert_eq!(status.last_scale_time.as_deref(), Some("2023-11-14T22:13:20Z"));
    assert_eq!(status.observed_generation, Some(7));
    assert_eq!(json!(status.current_metrics[1]), json!({ "type": "" }), "Q14");
    assert_eq!(
        status.current_metrics[0]
            .external
            .as_ref()
            .unwrap()
            .current
            .average_value
            .as_ref()
            .unwrap()
            .to_string(),
        "13334m"
    );
}

#[test]
fn shrinking_with_a_broken_metric() {
    let (decision, report) = scenario(5, &[("cpu", value(20)), ("queue", broken())]).succeed();
    assert_eq!(decision.desired, 5, "C2");
    assert_eq!(conditions(&report)[1], "ScalingActive=False/FailedGetExternalMetric", "C2");
    let message = &report.status.conditions[1].message;
    assert_eq!(
        message,
        "the HPA was unable to compute the replica count: unable to get external metric ns/queue/nil: broken"
    );
    assert_eq!(
        events(&report)[1],
        "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 2), first error is: failed to get queue \
         external metric value: failed to get queue external metric: unable to get external metric ns/queue/nil: broken"
    );
    assert_eq!((report.status.current_replicas, report.status.desired_replicas), (5, 1), "7.4: new, old");
    assert_eq!(report.status.last_scale_time.as_deref(), Some("2020-01-01T00:00:00Z"));
    assert_eq!(report.status.current_metrics.len(), 2);
}

#[test]
fn the_maximum_of_two_metrics_is_capped() {
    let (decision, report) = scenario(3, &[("cpu", value(40)), ("queue", value(900))]).succeed();
    assert_eq!(decision.desired, 6, "C3");
    assert_eq!(conditions(&report)[2], "ScalingLimited=True/TooManyReplicas", "C3");
}

#[test]
fn a_recent_recommendation_holds() {
    let mut held = scenario(4, &[("cpu", value(20))]);
    held.history.recommendations.push(Recommendation { replicas: 4, at_ms: NOW - 10_000 });
    let (decision, report) = held.succeed();
    assert_eq!(decision.desired, 4, "C4");
    assert_eq!(conditions(&report)[0], "AbleToScale=True/ScaleDownStabilized", "C4");
}

#[test]
fn branches_without_metrics() {
    let (_, report) = scenario(0, &[("cpu", value(40))]).succeed();
    assert_eq!(
        conditions(&report),
        ["AbleToScale=True/SucceededGetScale", "ScalingActive=False/ScalingDisabled"],
        "C5"
    );
    assert_eq!((report.status.current_replicas, report.status.desired_replicas), (0, 0), "C5");
    let (_, report) = scenario(1, &[("cpu", broken())]).succeed();
    assert_eq!(
        events(&report),
        ["SuccessfulRescale: New size: 2; reason: Current number of replicas below Spec.MinReplicas"],
        "C6"
    );
    let (_, report) = scenario(10, &[("cpu", broken())]).succeed();
    assert_eq!(
        events(&report),
        ["SuccessfulRescale: New size: 6; reason: Current number of replicas above Spec.MaxReplicas"],
        "C7"
    );
    assert_eq!(
        conditions(&report),
        ["AbleToScale=True/SucceededRescale", "ScaledToZero=False/NotScaledToZero"],
        "C7"
    );
    assert!(report.status.current_metrics.is_empty(), "C7");
}

#[test]
fn an_equal_count_goes_on_beside_a_broken_metric() {
    let (decision, report) = scenario(3, &[("cpu", value(30)), ("queue", broken())]).succeed();
    assert_eq!((decision.desired, report.error), (3, ErrorClass::Internal), "C21");
    assert_eq!(conditions(&report)[1], "ScalingActive=True/ValidMetricFound", "C21");
    assert_eq!(report.status.desired_replicas, 3);
}

#[test]
fn a_failed_write_is_told() {
    let (_, report) = scenario(3, &[("cpu", value(40))]).run(|_| Rescale::Failed("forbidden".into()));
    assert_eq!(conditions(&report)[0], "AbleToScale=False/FailedUpdateScale", "C15");
    assert_eq!(
        events(&report),
        ["FailedRescale: New size: 4; reason: external metric cpu(nil) above target; error: forbidden"]
    );
    assert_eq!(report.status.desired_replicas, 1, "7.4: old");
}

#[test]
fn scale_errors_leave_the_rest_alone() {
    let hpa = scenario(3, &[]).hpa;
    let report = scale_unreadable(&hpa, "deployments.apps \"web\" not found", ErrorClass::Internal, NOW);
    assert_eq!(conditions(&report), ["AbleToScale=False/FailedGetScale"], "C14");
    assert_eq!(events(&report), ["FailedGetScale: deployments.apps \"web\" not found"], "C14");
    assert_eq!((report.status.current_replicas, report.status.desired_replicas), (1, 1), "7.4: old");
}

#[test]
fn selector_failures_empty_the_metrics() {
    let mut selectorless = scenario(3, &[("cpu", value(40))]);
    selectorless.selector = Some(SelectorFailure {
        event_reason: Some("SelectorRequired"),
        text: "selector is required".into(),
        condition: Some(("InvalidSelector", "the HPA target's scale is missing a selector".into())),
    });
    let (_, report) = selectorless.succeed();
    assert_eq!(conditions(&report)[1], "ScalingActive=False/InvalidSelector", "C12");
    assert_eq!(
        events(&report),
        ["SelectorRequired: selector is required", "FailedComputeMetricsReplicas: selector is required"]
    );
    assert!(report.status.current_metrics.is_empty());
    assert_eq!((report.status.current_replicas, report.status.desired_replicas), (3, 1));
}

#[test]
fn zero_is_remembered_in_a_condition() {
    let mut idle = scenario(3, &[("queue", value(0))]);
    idle.rules.min = 0;
    idle.history.recommendations.push(Recommendation { replicas: 0, at_ms: NOW - 3_600_000 });
    let (decision, report) = idle.succeed();
    assert_eq!(decision.desired, 0);
    assert_eq!(conditions(&report)[3], "ScaledToZero=True/ScaledToZero");
    let mut raised = scenario(0, &[("queue", value(0))]);
    raised.hpa.status = report.status;
    let (decision, report) = raised.succeed();
    assert_eq!(decision.desired, 2, "Z2");
    assert_eq!(conditions(&report)[3], "ScaledToZero=False/NotScaledToZero", "Z2, Z5");
    raised.settings.scale_to_zero = false;
    let (_, report) = raised.succeed();
    assert!(!conditions(&report).iter().any(|c| c.starts_with("ScaledToZero")), "Z2 gate off");
}

#[test]
fn transition_times_move_with_the_status_only() {
    let mut steady = scenario(3, &[("cpu", value(30))]);
    let (_, first) = steady.succeed();
    steady.hpa.status = first.status.clone();
    for condition in &mut steady.hpa.status.conditions {
        condition.last_transition_time = Some("2001-01-01T00:00:00Z".into());
    }
    let (_, second) = steady.succeed();
    let times = second.status.conditions.iter().map(|c| c.last_transition_time.as_deref());
    assert!(times.into_iter().all(|time| time == Some("2001-01-01T00:00:00Z")));
    assert_eq!(second.status, steady.hpa.status, "C17: an unchanged world gives an unchanged status");
}
