//! Rows 2 and 2b in real time: load steps of some workloads and noise of 500 others, through the metrics server's window, a
//! watch of samples, the real autoscaler process and its scale request.
//!
//! Every step has its own workload of ten pods; all pods are sampled once a second, and each step falls anywhere between two
//! samples. The rounds of the watch are a second and a little apart, so that they drift over the samples. What is left out:
//! the collector, the scrape and the metrics server's own process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::loads::Loads;
use super::world::World;
use super::{Running, SETTLE, at};
use crate::Figure;
use crate::simulation::TARGET_PERCENT;

/// Load before and after a step, percent of the request.
const BEFORE: [f64; 3] = [10.0, 40.0, 50.0];
const AFTER: [f64; 3] = [80.0, 100.0, 200.0];
/// Steps of each pair.
const ROUNDS: usize = 20;
/// Workloads that only bring noise, and pods of each workload.
const STEADY: usize = 500;
const PODS: usize = 10;
/// Noise of those that step, and of those that do not.
const STEP_CV: f64 = 0.03;
const STEADY_CV: f64 = 0.3;
/// Time in which the steps come, and that an answer may take.
const SPREAD: Duration = Duration::from_secs(90);
const LIMIT: Duration = Duration::from_secs(20);
const SEED: u64 = 7;

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) async fn figures(program: &Path) -> anyhow::Result<Vec<Figure>> {
    let pairs: Vec<(f64, f64)> =
        BEFORE.iter().flat_map(|before| AFTER.iter().map(|after| (*before, *after))).collect();
    let steps: Vec<(f64, f64)> = pairs.iter().copied().cycle().take(pairs.len() * ROUNDS).collect();
    let steady = (f64::from(TARGET_PERCENT), STEADY_CV);
    let levels = steps.iter().map(|(before, _)| (*before, STEP_CV)).chain([steady; STEADY]);
    let loads = Loads::new(levels.flat_map(|level| [level; PODS]), SEED, now_ns());
    let running =
        Running::start_with(program, World::loaded(steps.len() + STEADY, PODS, loads).watched(), sampling)
            .await?;
    let world = running.world.clone();
    let mut random = fastrand::Rng::with_seed(SEED);
    let began = Instant::now();
    let mut order: Vec<(Duration, usize)> =
        (0..steps.len()).map(|index| (SPREAD.mul_f64(random.f64()), index)).collect();
    order.sort_unstable();
    let mut stepped = Vec::new();
    for (after, index) in order {
        tokio::time::sleep_until((began + after).into()).await;
        world.step(index);
        if let Some(mut loads) = world.loads() {
            let pods = index * PODS..(index + 1) * PODS;
            pods.for_each(|pod| loads.set(pod, steps[index].1, now_ns()));
        }
        stepped.push((index, Instant::now()));
    }
    tokio::time::sleep(LIMIT).await;
    let answer = |(index, at): (usize, Instant)| {
        world.scaled(index).map_or(LIMIT, |scaled| scaled.saturating_duration_since(at))
    };
    let mut took: Vec<Duration> = stepped.into_iter().map(answer).collect();
    took.sort_unstable();
    let late = took.iter().filter(|took| **took >= LIMIT).count();
    let hours = (SETTLE + began.elapsed()).as_secs_f64() / 3_600.0 * STEADY as f64;
    let mut figures = Vec::new();
    for (share, name, promise) in [(0.5, "p50", "≤ 2 s"), (0.99, "p99", "≤ 4 s")] {
        let what = format!(
            "load step to first scale request, {name}, real time, {STEADY} HPAs and {} pods beside",
            STEADY * PODS
        );
        let took = at(&took, share).unwrap_or(LIMIT);
        figures.push(Figure::new("2", what, took.as_secs_f64(), "s").promise(promise).beside(format!(
            "{} steps, {late} not answered within {} s",
            steps.len(),
            LIMIT.as_secs()
        )));
    }
    let rescales = world.rescales(steps.len()..steps.len() + STEADY);
    let what = format!("steady noise of CV {:.0} %, real time, {STEADY} HPAs: rescales", STEADY_CV * 100.0);
    figures.push(
        Figure::new("2b", what, rescales as f64, "rescales")
            .promise("≤ upstream's timing")
            .beside(format!("{hours:.1} hours of HPAs of {PODS} pods")),
    );
    Ok(figures)
}

/// Samples all pods each second.
async fn sampling(world: Arc<World>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        if let Some(mut loads) = world.loads() {
            loads.sample(now_ns());
        }
    }
}
