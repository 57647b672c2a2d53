//! The decision table of upstream's behaviour, row by row. A row's id is the first word of its assertion message.

mod behavior;
mod floating;
mod grouping;
mod histories;
mod legacy;
mod per_pod;
mod properties;
mod switches;
mod whole_metrics;
mod zero;

use super::replicas::{Frame, Outcome};
use super::*;

/// Now, in every table.
pub(super) const NOW: i64 = 1_700_000_000_000;
pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60_000;

/// Settings of upstream's tests.
pub(super) fn settings() -> Settings {
    Settings {
        cpu_initialization_ms: 2 * MINUTE,
        initial_readiness_delay_ms: 10 * SECOND,
        ..Settings::default()
    }
}

/// A pod with its sample and request.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) pod: Pod,
    pub(super) sample: Option<PodSample>,
    pub(super) request: i64,
}

/// A ready pod, started an hour ago, requesting 1000 milli-units.
pub(super) fn pod(usage_milli: i64) -> Case {
    let ready = Some(Ready { status: Tristate::True, transition_ms: NOW - 60 * MINUTE });
    Case {
        pod: Pod {
            name: "p".into(),
            phase: Phase::Running,
            deleting: false,
            start_ms: Some(NOW - 60 * MINUTE),
            ready,
            owner: None,
        },
        sample: Some(PodSample { value_milli: usage_milli, timestamp_ms: NOW, window_ms: MINUTE }),
        request: 1000,
    }
}

impl Case {
    /// Looks as if it never became ready.
    pub(super) fn not_ready(mut self) -> Self {
        self.pod.ready = Some(Ready { status: Tristate::False, transition_ms: NOW - 60 * MINUTE });
        self
    }
    /// Started just now, so its CPU is that of its start.
    pub(super) fn hot(mut self) -> Self {
        self.pod.start_ms = Some(NOW);
        self.pod.ready = Some(Ready { status: Tristate::True, transition_ms: NOW });
        self
    }
    pub(super) fn phase(mut self, phase: Phase) -> Self {
        self.pod.phase = phase;
        self
    }
    pub(super) fn deleting(mut self) -> Self {
        self.pod.deleting = true;
        self
    }
    pub(super) fn missing(mut self) -> Self {
        self.sample = None;
        self
    }
    pub(super) fn request(mut self, milli: i64) -> Self {
        self.request = milli;
        self
    }
}

pub(super) fn pods(usages: &[i64]) -> Vec<Case> {
    usages.iter().map(|usage| pod(*usage)).collect()
}

/// Pods that all use the same share of one unit, in percent.
pub(super) fn at_percent(count: usize, percent: i64) -> Vec<Case> {
    vec![pod(percent * 10); count]
}

pub(super) fn samples_of(cases: &[Case], foreign: &[i64]) -> PodSamples {
    PodSamples {
        samples: cases.iter().map(|case| case.sample).collect(),
        foreign: foreign
            .iter()
            .map(|value_milli| PodSample { value_milli: *value_milli, timestamp_ms: NOW, window_ms: MINUTE })
            .collect(),
        requests: Ok(cases.iter().map(|case| case.request).collect()),
    }
}

pub(super) fn pods_of(cases: &[Case]) -> Vec<Pod> {
    cases.iter().map(|case| case.pod.clone()).collect()
}

pub(super) const TENTH: Tolerances = Tolerances { down: 0.1, up: 0.1 };

/// Utilisation of CPU with given tolerances.
pub(super) fn cpu_within(
    tolerances: Tolerances,
    current: i32,
    target: i32,
    cases: &[Case],
    foreign: &[i64],
) -> Result<Outcome, String> {
    let (pods, settings) = (pods_of(cases), settings());
    let scale_target = ScaleTarget::default();
    let frame = Frame {
        current,
        pods: &pods,
        tolerances,
        settings: &settings,
        scale_target: &scale_target,
        now_ms: NOW,
        cpu: true,
    };
    replicas::utilization(frame, &samples_of(cases, foreign), target, &mut Trace::on())
}

/// Utilisation of CPU with the default tolerance: replicas and reported percent.
pub(super) fn cpu(current: i32, target: i32, cases: &[Case]) -> (i32, i32) {
    let outcome = cpu_within(TENTH, current, target, cases, &[]).expect("the metric works");
    (outcome.replicas, outcome.utilization.expect("utilisation is reported"))
}

/// Rules with one CPU utilisation metric, 1 to 10 replicas.
pub(super) fn rules(target: i32) -> Rules {
    Rules {
        namespace: "ns".into(),
        name: "web".into(),
        min: 1,
        max: 10,
        metrics: vec![Metric {
            source: Source::Resource { name: "cpu".into() },
            target: Target::Utilization(target),
            text: "cpu resource utilization (percentage of request)".into(),
        }],
        behavior: None,
        scale_target: ScaleTarget { group: "apps".into(), kind: "Deployment".into(), name: "web".into() },
        overrides: Overrides::default(),
    }
}

pub(super) fn policy(kind: PolicyKind, value: i32, period_seconds: i32) -> Policy {
    Policy { kind, value, period_seconds }
}

pub(super) fn direction(policies: &[Policy]) -> Direction {
    Direction { window_seconds: Some(0), select: Select::Max, policies: policies.to_vec(), tolerance: None }
}

/// `behavior: {}` after defaulting, with no stabilisation in either direction.
pub(super) fn default_behavior() -> Behavior {
    Behavior {
        scale_up: direction(&[policy(PolicyKind::Pods, 4, 15), policy(PolicyKind::Percent, 100, 15)]),
        scale_down: direction(&[policy(PolicyKind::Percent, 100, 15)]),
    }
}

pub(super) fn readings(values: &[i64]) -> Vec<Reading> {
    values.iter().map(|value_milli| Reading { value_milli: *value_milli, timestamp_ms: NOW }).collect()
}
