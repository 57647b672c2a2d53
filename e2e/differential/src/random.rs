//! Random cases. Everything follows from a case's seed.
//!
//! Uniform numbers would hardly ever meet an edge, so most values are drawn from short lists of edges and their neighbours:
//! windows and periods to the millisecond, usage around target and tolerance, counts around the bounds.

mod metrics;
mod pods;
mod spec;

use fastrand::Rng;

use crate::wire::{BEGIN_MS, Case, ControllerSettings, Step};

/// Steps of a case, at most.
const MOST_STEPS: usize = 10;

/// One of the values.
fn pick<T: Copy>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())]
}

/// True that often.
fn percent(rng: &mut Rng, chance: u32) -> bool {
    rng.u32(..100) < chance
}

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let rng = &mut Rng::with_seed(seed);
    let settings = ControllerSettings {
        tolerance: pick(rng, &[0.1, 0.1, 0.1, 0.0, 0.05, 0.3, 0.015]),
        cpu_initialization_ms: pick(rng, &[300_000, 300_000, 120_000, 0, 60_500]),
        readiness_delay_ms: pick(rng, &[30_000, 30_000, 10_000, 0]),
        downscale_ms: pick(rng, &[300_000, 300_000, 60_000, 0, 90_500]),
    };
    let hpa = spec::hpa(rng);
    let storm = percent(rng, 20).then(|| pick(rng, &[400, 290, 290, 20, 1]));
    let workload = pods::Workload::random(rng);
    let mut weather = Weather { now_ms: BEGIN_MS, replicas: 0, workload, storm };
    let count = 1 + rng.usize(..MOST_STEPS);
    let steps = (0..count).map(|index| weather.step(rng, &hpa, index)).collect();
    let (containers, init) = weather.workload.containers();
    Case { hpa, settings, scale_to_zero: percent(rng, 90), containers, init, steps }
}

/// What goes on from step to step.
struct Weather {
    now_ms: i64,
    /// What the scale was last set to by hand; what the controller makes of it is not known here.
    replicas: i32,
    workload: pods::Workload,
    /// A demand that stays, in percent of the target, with steps so dense that policies use up their budgets.
    storm: Option<i64>,
}

impl Weather {
    fn step(
        &mut self,
        rng: &mut Rng,
        hpa: &flyball_model::autoscaling::v2::HorizontalPodAutoscaler,
        index: usize,
    ) -> Step {
        let max = hpa.spec.max_replicas;
        let after_ms = match rng.u32(..10) {
            2.. if self.storm.is_some() => pick(rng, &[1_000, 5_000, 10_000, 15_000, 15_000, 20_000]),
            0 => rng.i64(0..700_000),
            1 => pick(rng, &[0, 1, 999]),
            _ => pick(
                rng,
                &[
                    1_000, 15_000, 15_000, 15_000, 30_000, 60_000, 59_999, 60_001, 120_000, 299_999, 300_000,
                    300_001,
                ],
            ),
        };
        self.now_ms += after_ms;
        let set_replicas =
            (index == 0 || percent(rng, if self.storm.is_some() { 2 } else { 15 })).then(|| {
                match rng.u32(..12) {
                    0 => 0,
                    1 => max,
                    2 => max + rng.i32(1..5),
                    3 => rng.i32(0..3),
                    4 => pick(rng, &[100, 1_000, 5_000]),
                    _ => rng.i32(1..=max.clamp(1, 12)),
                }
            });
        self.replicas = set_replicas.unwrap_or(self.replicas);
        let pods = self.workload.pods(rng, self.now_ms, self.replicas);
        let selector = match rng.u32(..200) {
            0 => "",
            1 => "app web",
            _ => "app=web",
        };
        let changes = index > 0 && percent(rng, 5);
        let min_replicas = changes.then(|| rng.i32(0..4));
        Step {
            after_ms,
            min_replicas,
            max_replicas: changes.then(|| min_replicas.unwrap_or(0).max(1) + rng.i32(0..12)),
            set_replicas,
            status_replicas: percent(rng, 15).then(|| pick(rng, &[0, 1, 2, 3, 5, 10, 17])),
            selector: selector.to_owned(),
            answers: metrics::answers(rng, hpa, &pods, self.storm, (self.now_ms, self.replicas)),
            pods,
            scale_error: error(rng, 2, "deployments.apps \"web\" not found"),
            update_error: error(rng, 4, "the server is currently unable to handle the request"),
        }
    }
}

fn error(rng: &mut Rng, chance: u32, text: &str) -> String {
    if percent(rng, chance) { text.to_owned() } else { String::new() }
}
