//! What pods use when they do not all use the same: a level with noise for each second, sampled each second, and turned into
//! usage by the metrics server's own window.

use flyball_metrics_server::window::{Point, Policy, SECOND_NS, Series};

use super::world::REQUEST_MILLI;
use crate::simulation::log_normal;

/// All pods have been running for so long.
const AGE_NS: i64 = 3_600 * SECOND_NS;

/// One pod.
struct Load {
    /// Usage without noise, percent of the request.
    percent: f64,
    noise_cv: f64,
    cpu_core_ns: f64,
    series: Series,
}

/// See the module.
pub struct Loads {
    loads: Vec<Load>,
    random: fastrand::Rng,
    began_ns: i64,
    now_ns: i64,
}

impl Loads {
    /// Pods with these levels and strengths of noise, of a server that has just started.
    #[must_use]
    pub fn new(levels: impl IntoIterator<Item = (f64, f64)>, seed: u64, now_ns: i64) -> Self {
        let load = |(percent, noise_cv)| Load {
            percent,
            noise_cv,
            cpu_core_ns: 1e12,
            series: Series::new(Policy::ChangeAware, point(now_ns, now_ns, 1e12)),
        };
        let loads = levels.into_iter().map(load).collect();
        Loads { loads, random: fastrand::Rng::with_seed(seed), began_ns: now_ns, now_ns }
    }

    /// From now on this pod uses so much; what it used since the last sample counts by the old level.
    pub fn set(&mut self, pod: usize, percent: f64, now_ns: i64) {
        let since_ns = now_ns - self.now_ns;
        let load = &mut self.loads[pod];
        load.burn(load.percent - percent, since_ns, 1.0);
        load.percent = percent;
    }

    /// A second is over: all pods are sampled.
    pub fn sample(&mut self, now_ns: i64) {
        let since_ns = now_ns - self.now_ns;
        self.now_ns = now_ns;
        for load in &mut self.loads {
            let factor = log_normal(load.noise_cv, &mut self.random);
            load.burn(load.percent, since_ns, factor);
            load.series.push(Policy::ChangeAware, point(self.began_ns, now_ns, load.cpu_core_ns));
        }
    }

    /// Usage in millicores and the window in seconds, if there is any yet.
    pub(super) fn usage(&self, pod: usize) -> Option<(u64, i64)> {
        let usage = self.loads[pod].series.usage().ok()?;
        Some((usage.cpu_nanocores.div_ceil(1_000_000), usage.window_ns / SECOND_NS))
    }
}

impl Load {
    fn burn(&mut self, percent: f64, for_ns: i64, factor: f64) {
        self.cpu_core_ns += f64::from(REQUEST_MILLI) / 1e3 * percent / 100.0 * factor * for_ns as f64;
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter of a few thousand seconds"
)]
fn point(began_ns: i64, now_ns: i64, cpu_core_ns: f64) -> Point {
    Point {
        timestamp_ns: now_ns,
        cpu_core_ns: cpu_core_ns as u64,
        working_set_bytes: 10 << 20,
        start_ns: Some(began_ns - AGE_NS),
    }
}
