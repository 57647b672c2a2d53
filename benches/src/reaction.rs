//! Rows 2 and 2b: how fast a load step is answered, and what steady noise costs for it.

use crate::Figure;
use crate::simulation::{Outcome, Scenario, TARGET_PERCENT, Timing, run};

/// Load before and after the step, percent of the request.
const BEFORE: [f64; 3] = [10.0, 40.0, 50.0];
const AFTER: [f64; 3] = [80.0, 100.0, 200.0];
/// Random phases and noise traces for each pair of loads.
const SEEDS: u64 = 40;
const STEP_AT_MS: i64 = 300_000;
const HOUR_MS: i64 = 3_600_000;
/// Hours of noise of each strength.
const HOURS: u64 = 32;

/// The figures of both rows.
#[must_use]
pub fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    let flyball = Reactions::of(Timing::Flyball);
    let upstream = Reactions::of(Timing::Upstream);
    let beside = |quantile: f64, of: fn(&Reactions) -> &[f64]| {
        format!("upstream's timing on the same traces: {:.1} s", at(of(&upstream), quantile))
    };
    for (what, quantile, promise) in [
        ("load step to first scale request, p50 (simulated time)", 0.5, "≤ 2 s"),
        ("load step to first scale request, p99 (simulated time)", 0.99, "≤ 4 s"),
    ] {
        figures.push(
            Figure::new("2", what, at(&flyball.first, quantile), "s")
                .promise(promise)
                .beside(beside(quantile, |r| &r.first)),
        );
    }
    figures.push(
        Figure::new(
            "2",
            "load step to the final count, p50 (simulated time, no behavior)",
            at(&flyball.last, 0.5),
            "s",
        )
        .promise("as fast as `behavior` allows")
        .beside(beside(0.5, |r| &r.last)),
    );
    for cv in [0.1, 0.2, 0.3] {
        figures.extend(price(cv));
    }
    figures
}

/// Times of many runs, in seconds, sorted.
struct Reactions {
    first: Vec<f64>,
    last: Vec<f64>,
}

impl Reactions {
    fn of(timing: Timing) -> Self {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for before_percent in BEFORE {
            for after_percent in AFTER {
                for seed in 0..SEEDS {
                    let scenario = step(before_percent, after_percent, seed);
                    let outcome = run(&scenario, timing);
                    let wanted = wanted_replicas(after_percent, scenario.replicas);
                    // A reaction that never came counts as the whole time left.
                    let never = scenario.end_ms - STEP_AT_MS;
                    let seconds = |ms: Option<i64>| ms.unwrap_or(never) as f64 / 1000.0;
                    first.push(seconds(outcome.first_request_ms(STEP_AT_MS, scenario.replicas)));
                    last.push(seconds(outcome.reached_ms(STEP_AT_MS, wanted)));
                }
            }
        }
        first.sort_by(f64::total_cmp);
        last.sort_by(f64::total_cmp);
        Self { first, last }
    }
}

fn step(before_percent: f64, after_percent: f64, seed: u64) -> Scenario {
    Scenario {
        replicas: 4,
        hold_minimum: true,
        before_percent,
        after_percent,
        step_at_ms: STEP_AT_MS,
        end_ms: STEP_AT_MS + 180_000,
        noise_cv: 0.03,
        start_delay_ms: 2_000,
        seed,
    }
}

/// The smallest count at which the demand lies within the tolerance of the target.
fn wanted_replicas(after_percent: f64, replicas: i32) -> i32 {
    let demand = f64::from(replicas) * after_percent;
    #[allow(clippy::cast_possible_truncation, reason = "a handful of replicas")]
    let wanted = (demand / (f64::from(TARGET_PERCENT) * 1.1)).ceil() as i32;
    wanted
}

/// Row 2b for one strength of noise: an hour at the target.
fn price(noise_cv: f64) -> [Figure; 2] {
    let sum = |timing| {
        let outcomes: Vec<Outcome> = (0..HOURS).map(|seed| run(&steady(noise_cv, seed), timing)).collect();
        let hours: f64 = outcomes.iter().map(|outcome| outcome.pod_hours).sum();
        let rescales: usize = outcomes.iter().map(|outcome| outcome.rescales.len()).sum();
        (hours, rescales)
    };
    let ((hours, rescales), (upstream_hours, upstream_rescales)) =
        (sum(Timing::Flyball), sum(Timing::Upstream));
    let percent = (hours / upstream_hours - 1.0) * 100.0;
    let noise = format!("steady noise of CV {:.0} %, {HOURS} hours", noise_cv * 100.0);
    [
        Figure::new("2b", format!("{noise}: pod-hours against upstream's timing"), percent, "%")
            .promise("≤ +2 %")
            .beside(format!("{hours:.2} against {upstream_hours:.2} pod-hours")),
        Figure::new("2b", format!("{noise}: rescales"), rescales as f64, "rescales")
            .promise("≤ upstream's timing")
            .beside(format!("upstream's timing: {upstream_rescales}")),
    ]
}

fn steady(noise_cv: f64, seed: u64) -> Scenario {
    Scenario {
        replicas: 10,
        hold_minimum: false,
        before_percent: f64::from(TARGET_PERCENT),
        after_percent: f64::from(TARGET_PERCENT),
        step_at_ms: 0,
        end_ms: HOUR_MS,
        noise_cv,
        start_delay_ms: 2_000,
        seed,
    }
}

/// The value at `quantile` of sorted values.
fn at(sorted: &[f64], quantile: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the slice")]
    let index = ((sorted.len().max(1) - 1) as f64 * quantile).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
