//! From counts and sums of pods to replicas (reference: `GetResourceReplicas`, `calcPlainMetricReplicas`).
//!
//! A [`Tally`] holds all that the result depends on besides target, tolerance and the current count, so a trace that
//! holds it can be replayed.

use super::go;
use super::rules::{Target, Tolerances};
use super::switches::Switches;
use super::trace::Filled;
use serde::{Deserialize, Serialize};

/// Sums over one class of pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// Pods, or samples.
    pub count: i64,
    /// Usage in milli-units; for missing pods what a falling load assumes.
    pub usage_milli: i64,
    /// Requests in milli-units; 0 for a plain target.
    pub requests_milli: i64,
}

impl Sums {
    pub(super) fn add(&mut self, usage: i64, request: i64) {
        self.count += 1;
        self.usage_milli = self.usage_milli.wrapping_add(usage);
        self.requests_milli = self.requests_milli.wrapping_add(request);
    }

    fn join(self, other: Sums) -> Sums {
        Sums {
            count: self.count + other.count,
            usage_milli: self.usage_milli.wrapping_add(other.usage_milli),
            requests_milli: self.requests_milli.wrapping_add(other.requests_milli),
        }
    }
}

/// What the pass over the pods finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Pods that count. For a plain target the usage of foreign samples is in it, as upstream adds it.
    pub ready: Sums,
    /// Pods without a sample.
    pub missing: Sums,
    /// Pods that start; their usage is zero.
    pub unready: Sums,
    /// Samples of pods that the list does not hold.
    pub foreign: i64,
}

/// What the calculation compares with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aim {
    pub(super) target: Target,
    pub(super) current: i32,
    pub(super) tolerances: Tolerances,
    pub(super) switches: Switches,
}

/// A result with the numbers on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calculated {
    pub(super) ratio: f64,
    pub(super) filled: Filled,
    pub(super) filled_ratio: f64,
    pub(super) filled_samples: i64,
    pub(super) replicas: i32,
}

impl Tally {
    /// Whole percent of the request, or the cut average, of these sums: the number that is compared with the target.
    pub(super) fn level(&self, target: Target, sums: Sums) -> i64 {
        match target {
            Target::Utilization(_) => i64::from(go::percent_i32(sums.usage_milli, sums.requests_milli)),
            _ => sums.usage_milli.wrapping_div(sums.count + self.foreign),
        }
    }

    /// From the ratio to replicas: fill-ins, tolerance and the checks of direction.
    pub(super) fn replicas(&self, aim: &Aim) -> Calculated {
        let goal = match aim.target {
            Target::Utilization(percent) => i64::from(percent),
            Target::AverageValue(milli) | Target::Value(milli) => milli,
            Target::Absent => 0,
        };
        let level = self.level(aim.target, self.ready);
        let ratio = level as f64 / goal as f64;
        let hot_unready = self.unready.count > 0 && ratio > 1.0;
        let mut calculated = Calculated {
            ratio,
            filled: Filled::default(),
            filled_ratio: ratio,
            filled_samples: self.ready.count + self.foreign,
            replicas: aim.current,
        };
        if !hot_unready && self.missing.count == 0 {
            if !aim.tolerances.contain(ratio) {
                calculated.replicas = aim.times(level, goal, self.ready.count);
            }
            return calculated;
        }
        let mut sums = self.ready;
        if ratio < 1.0 {
            sums = sums.join(self.missing);
        } else if ratio > 1.0 {
            sums = sums.join(Sums { usage_milli: 0, ..self.missing });
        }
        if hot_unready {
            sums = sums.join(self.unready);
        }
        let level = self.level(aim.target, sums);
        calculated.filled = Filled { missing: self.missing.count > 0 && ratio != 1.0, unready: hot_unready };
        calculated.filled_ratio = level as f64 / goal as f64;
        calculated.filled_samples = sums.count + self.foreign;
        calculated.replicas =
            aim.after_fill(ratio, calculated.filled_ratio, level, goal, calculated.filled_samples);
        calculated
    }
}

impl Aim {
    fn after_fill(&self, ratio: f64, filled_ratio: f64, level: i64, goal: i64, samples: i64) -> i32 {
        let flips = (ratio < 1.0 && filled_ratio > 1.0) || (ratio > 1.0 && filled_ratio < 1.0);
        if self.tolerances.contain(filled_ratio) || flips {
            return self.current;
        }
        let wanted = self.times(level, goal, samples);
        let contradicts =
            (filled_ratio < 1.0 && wanted > self.current) || (filled_ratio > 1.0 && wanted < self.current);
        if contradicts { self.current } else { wanted }
    }

    /// `ceil(level / goal × pods)`.
    fn times(&self, level: i64, goal: i64, pods: i64) -> i32 {
        let current = i64::from(self.current);
        let is_surge = self.switches.surge_aware && pods > current && current > 0;
        // Growing: the pods beyond the count asked for go away with the rollout. Shrinking: they carry load now, which the
        // others will get back, so the sum counts; but it is no reason to grow.
        let pods = if is_surge && level > goal { current } else { pods };
        let wanted = if self.switches.exact_ceiling {
            go::exact_ceil_i32(level, pods, goal)
        } else {
            go::ceil_i32(level as f64 / goal as f64 * pods as f64)
        };
        if is_surge { if level > goal { wanted } else { wanted.min(self.current) } } else { wanted }
    }
}
