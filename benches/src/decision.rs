//! Row 5: the cost of one decision, and of very many.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use flyball_hpa::decide::{
    History, Input, Metric, Overrides, Phase, Pod, PodSample, PodSamples, Ready, Rules, Scale, ScaleTarget,
    Settings, Snapshot, Source, Target, Trace, Tristate, decide,
};

use crate::Figure;

const NOW_MS: i64 = 1_800_000_000_000;

/// Everything one decision looks at, for `pods` pods in a steady state.
pub struct Case {
    rules: Rules,
    settings: Settings,
    pods: Vec<Pod>,
    inputs: [Input; 1],
    history: History,
}

impl Case {
    /// A workload of `pods` Ready pods a little below the target.
    #[must_use]
    pub fn new(pods: i32) -> Self {
        let metric = Metric {
            source: Source::Resource { name: "cpu".to_owned() },
            target: Target::Utilization(60),
            text: "cpu resource utilization (percentage of request)".to_owned(),
        };
        let count = usize::try_from(pods).unwrap_or(0);
        let ready = Ready { status: Tristate::True, transition_ms: NOW_MS - 3_000_000 };
        let pod = |index: usize| Pod {
            name: format!("workload-6d4cf56db6-{index:05}").into(),
            phase: Phase::Running,
            deleting: false,
            start_ms: Some(NOW_MS - 3_600_000),
            ready: Some(ready),
            owner: None,
        };
        let sample = |index: usize| {
            let value_milli = 55 + i64::try_from(index % 7).unwrap_or(0);
            Some(PodSample { value_milli, timestamp_ms: NOW_MS - 500, window_ms: 15_000 })
        };
        let samples = PodSamples {
            samples: (0..count).map(sample).collect(),
            foreign: Vec::new(),
            requests: Ok(vec![100; count]),
        };
        Self {
            rules: Rules {
                namespace: "default".to_owned(),
                name: "workload".to_owned(),
                min: 1,
                max: pods * 2,
                metrics: vec![metric],
                behavior: None,
                scale_target: ScaleTarget::default(),
                overrides: Overrides::default(),
            },
            settings: Settings::default(),
            pods: (0..count).map(pod).collect(),
            inputs: [Input::PerPod(samples)],
            history: History::default(),
        }
    }

    /// One decision with tracing off; the replicas it wants.
    #[must_use]
    pub fn decide(&self) -> i32 {
        let replicas = i32::try_from(self.pods.len()).unwrap_or(i32::MAX);
        let snapshot = Snapshot {
            rules: &self.rules,
            settings: &self.settings,
            scale: Scale { spec_replicas: replicas, status_replicas: replicas },
            selector: Ok(()),
            pods: &self.pods,
            inputs: &self.inputs,
            scaled_to_zero: false,
        };
        decide(black_box(&snapshot), NOW_MS, &self.history, &mut Trace::off()).desired
    }
}

/// Time of one decision, on average over that many.
fn each_us(case: &Case, rounds: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..rounds {
        black_box(case.decide());
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

/// The figures of the row. `allocations` counts those of this process so far.
#[must_use]
pub fn figures(allocations: fn() -> u64) -> Vec<Figure> {
    let case = Case::new(100);
    let before = allocations();
    black_box(case.decide());
    let allocated = allocations() - before;
    let small_us = each_us(&case, 20_000);
    let large_us = each_us(&Case::new(1_000), 2_000);
    let cases: Vec<Case> = (0..10_000).map(|_| Case::new(100)).collect();
    let started = Instant::now();
    for case in &cases {
        black_box(case.decide());
    }
    let all_ms = started.elapsed().as_secs_f64() * 1e3;
    vec![
        Figure::new("5", "one decision over 100 pods, tracing off", small_us, "µs").promise("≤ 2 µs"),
        Figure::new("5", "one decision over 1,000 pods, tracing off", large_us, "µs").promise("≤ 20 µs"),
        Figure::new("5", "allocations in it", allocated as f64, "allocations").promise("none"),
        Figure::new("5", "10,000 HPAs of 100 pods re-evaluated on one core (decisions only)", all_ms, "ms")
            .promise("≤ 250 ms")
            .beside("upstream, measured elsewhere: 5,000 stubbed reconciles in 26 s on one worker"),
    ]
}
