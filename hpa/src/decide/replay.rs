//! A decision found again from the numbers of its trace alone, by the same arithmetic.
//!
//! So a trace is complete: nothing that the result depends on is missing from it.

use super::decision::Branch;
use super::normalize::{self, Bounds};
use super::rules::Select;
use super::tally::Aim;
use super::trace::{LimitTrace, MetricTrace, Numbers, StabilizeTrace, Trace};

impl Trace {
    /// The replicas that these numbers lead to; `None` for a trace that recorded no decision.
    pub fn replay(&self) -> Option<i32> {
        let replicas = match self.branch? {
            Branch::Disabled | Branch::SelectorFailed | Branch::MetricsFailed => self.current,
            Branch::AboveMax => self.max,
            Branch::BelowMin => self.min,
            Branch::Evaluated => self.normalized(self.largest())?,
            Branch::Fallback => self.normalized(self.switches.fallback?.replicas.max(self.current))?,
        };
        Some(if self.leaves_zero { replicas.max(self.min) } else { replicas })
    }

    fn largest(&self) -> i32 {
        let proposals = self.metrics.iter().filter_map(|metric| self.proposal(metric));
        proposals.fold(0, |largest, each| if largest == 0 || each > largest { each } else { largest }).max(0)
    }

    fn proposal(&self, metric: &MetricTrace) -> Option<i32> {
        let MetricTrace { target, tolerances, .. } = *metric;
        let aim = Aim { target, current: self.current, tolerances, switches: self.switches };
        match metric.numbers.as_ref().filter(|_| metric.error.is_none())? {
            Numbers::PerPod(numbers) => Some(numbers.tally.replicas(&aim).replicas),
            Numbers::Whole(numbers) => Some(numbers.whole.replicas(&aim)),
        }
    }

    fn normalized(&self, raw: i32) -> Option<i32> {
        let (stabilize, limit) = (self.stabilize.as_ref()?, self.limit.as_ref()?);
        let stabilized = self.stabilized(stabilize, raw);
        let bounds = Bounds { current: self.current, min: self.min, max: self.max };
        Some(match &limit.growth {
            Some(growth) => normalize::clamp_without_behavior(bounds, stabilized, growth.limit()).0,
            None if stabilized == self.current => stabilized,
            None => normalize::clamp(bounds, stabilized, self.rate_limit(limit, stabilized)).0,
        })
    }

    fn stabilized(&self, numbers: &StabilizeTrace, raw: i32) -> i32 {
        let floor = raw.max(numbers.down_floor);
        match numbers.up_ceiling {
            None => floor,
            Some(ceiling) => normalize::stabilize(self.current, raw.min(ceiling), floor),
        }
    }

    fn rate_limit(&self, numbers: &LimitTrace, stabilized: i32) -> i32 {
        let (up, exact) = (stabilized > self.current, self.switches.exact_ceiling);
        let allowed =
            numbers.policies.iter().map(|p| normalize::allowed(up, exact, p.period_start, p.kind, p.value));
        normalize::rate_limit(up, self.current, numbers.select.unwrap_or(Select::Max), allowed)
    }
}
