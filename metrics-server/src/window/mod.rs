//! Points in, usage out: over which window usage is computed. Pure; all times are nanoseconds of the node's own clock.
//!
//! Two sources, two rules:
//!
//! * **Kubelet** ([`Policy::TwoPoints`]): exactly upstream metrics-server's rules. Two points are kept; a repeated
//!   sample changes nothing; a container aged between 10 s and the resolution gets its start as first point; a
//!   restarted one waits for its second sample.
//! * **Flyball collector** ([`Policy::ChangeAware`]), which samples each second: the average over a window that is
//!   long enough for the noise the series has shown ([`STEADY_WINDOWS`]: 15 s for a quiet one) while its level stays,
//!   and that holds only the samples after a level shift when there was one ([`shift`]). [`Policy::Fixed`]
//!   (`--usage-window`) switches the detector off.
//!
//! A window covers (timestamp - window, timestamp]; memory is the value at the timestamp.

use std::collections::VecDeque;

pub mod shift;

#[cfg(test)]
mod tests;

/// One nanosecond-second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Length of the window by the noise of the series: up to this coefficient of variation, this many seconds. Longer
/// averages keep the worst of many evaluations within what one evaluation each 15 s would have seen.
pub const STEADY_WINDOWS: [(f64, i64); 4] = [(0.06, 15), (0.15, 30), (0.25, 60), (f64::INFINITY, 90)];
/// A window longer than the shortest leaves out this much after a container's start: an autoscaler does not count a pod
/// whose window reaches back to before it was ready, and must not be blind to a pod for as long as its noise is averaged.
pub const START_LEFT_OUT_NS: i64 = 15 * SECOND_NS;
/// Points kept of one series at most.
pub const MAX_POINTS: usize = 92;
/// A sample may come this much early or late and still belong to the window.
const SAMPLE_JITTER_NS: i64 = SECOND_NS / 2;
/// Points this old are kept for the detector even when the window is shorter.
const DETECTOR_MEMORY_NS: i64 = 32 * SECOND_NS;
/// After a gap this long the old points say nothing about now, and the window starts again.
const MAX_GAP_NS: i64 = 300 * SECOND_NS;
/// A container's start stands in for a first point only if the window is at least this long.
const MIN_START_WINDOW_NS: i64 = SECOND_NS;
/// Upstream: a container younger than this gets no usage from one sample.
const KUBELET_FRESH_MIN_NS: i64 = 10 * SECOND_NS;

/// One complete sample of a node or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When the node took the sample, nanoseconds since the Unix epoch.
    pub timestamp_ns: i64,
    /// CPU time used since the start, core-nanoseconds.
    pub cpu_core_ns: u64,
    /// Working set at that time, bytes.
    pub working_set_bytes: u64,
    /// When the container started, nanoseconds since the Unix epoch; `None` for nodes and where the source is silent.
    pub start_ns: Option<i64>,
}

/// Which rule a new point is taken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Upstream's two points.
    TwoPoints {
        /// Scrape interval, nanoseconds; the upper age bound of the fresh container rule.
        resolution_ns: i64,
    },
    /// The window that follows level shifts.
    ChangeAware,
    /// A window of this many nanoseconds, whatever happens.
    Fixed {
        /// Length of the window.
        window_ns: i64,
    },
}

/// What a window says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Average CPU use over the window, nanocores.
    pub cpu_nanocores: u64,
    /// Working set at the timestamp, bytes.
    pub working_set_bytes: u64,
    /// End of the window, nanoseconds since the Unix epoch.
    pub timestamp_ns: i64,
    /// Length of the window.
    pub window_ns: i64,
}

/// Why a series has no usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoUsage {
    /// A rate needs two samples.
    OneSample,
    /// The CPU counter went back without a newer start time.
    CounterWentBack,
    /// The start time went back.
    StartWentBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counter {
    timestamp_ns: i64,
    cpu_core_ns: u64,
}

impl From<Point> for Counter {
    fn from(point: Point) -> Counter {
        Counter { timestamp_ns: point.timestamp_ns, cpu_core_ns: point.cpu_core_ns }
    }
}

/// The points of one node or container.
#[derive(Debug, Clone)]
pub struct Series {
    last: Point,
    /// Points before `last`, oldest first.
    earlier: VecDeque<Counter>,
    earlier_start_ns: Option<i64>,
    /// First point of the current level; the window never begins before it.
    level_from_ns: i64,
    window_ns: i64,
    noise: shift::Noise,
}

impl Series {
    /// A series with its first point.
    pub fn new(policy: Policy, point: Point) -> Series {
        let mut series = Series {
            last: point,
            earlier: VecDeque::new(),
            earlier_start_ns: point.start_ns,
            level_from_ns: i64::MIN,
            window_ns: steady_window_ns(0.0),
            noise: shift::Noise::default(),
        };
        series.begin_at_start(policy);
        series
    }

    /// The newest point.
    pub fn last(&self) -> &Point {
        &self.last
    }

    /// All points kept, oldest first. Of the earlier ones the working set is not known any more; they show the last one.
    pub fn points(&self) -> Vec<Point> {
        let earlier = self.earlier.iter().map(|counter| Point {
            timestamp_ns: counter.timestamp_ns,
            cpu_core_ns: counter.cpu_core_ns,
            working_set_bytes: self.last.working_set_bytes,
            start_ns: self.earlier_start_ns.filter(|_| self.last.start_ns.is_some()),
        });
        earlier.chain([self.last]).collect()
    }

    /// Takes the point of a new scrape.
    pub fn push(&mut self, policy: Policy, point: Point) {
        match policy {
            Policy::TwoPoints { resolution_ns } => self.push_two_points(resolution_ns, point),
            Policy::ChangeAware | Policy::Fixed { .. } => self.push_window(policy, point),
        }
    }

    /// Usage over the window that ends at the newest point.
    pub fn usage(&self) -> Result<Usage, NoUsage> {
        let from = self.window_start().ok_or(NoUsage::OneSample)?;
        if let (Some(old), Some(new)) = (self.earlier_start_ns, self.last.start_ns)
            && new < old
        {
            return Err(NoUsage::StartWentBack);
        }
        let used = self.last.cpu_core_ns.checked_sub(from.cpu_core_ns).ok_or(NoUsage::CounterWentBack)?;
        let window_ns = self.last.timestamp_ns - from.timestamp_ns;
        Ok(Usage {
            cpu_nanocores: (used as f64 / seconds(window_ns)) as u64,
            working_set_bytes: self.last.working_set_bytes,
            timestamp_ns: self.last.timestamp_ns,
            window_ns,
        })
    }

    fn window_start(&self) -> Option<Counter> {
        let oldest = self.level_from_ns.max(self.last.timestamp_ns - self.window_ns - SAMPLE_JITTER_NS);
        self.earlier.iter().find(|point| point.timestamp_ns >= oldest).or(self.earlier.back()).copied()
    }

    /// A container's start is a point too: it had used nothing then.
    fn begin_at_start(&mut self, policy: Policy) {
        let Some(start_ns) = self.last.start_ns else { return };
        let age_ns = self.last.timestamp_ns - start_ns;
        let fresh = match policy {
            Policy::TwoPoints { resolution_ns } => (KUBELET_FRESH_MIN_NS..resolution_ns).contains(&age_ns),
            Policy::ChangeAware => (MIN_START_WINDOW_NS..=steady_window_ns(0.0)).contains(&age_ns),
            Policy::Fixed { window_ns } => (MIN_START_WINDOW_NS..=window_ns).contains(&age_ns),
        };
        if fresh {
            self.earlier.clear();
            self.earlier.push_back(Counter { timestamp_ns: start_ns, cpu_core_ns: 0 });
            self.earlier_start_ns = Some(start_ns);
            self.level_from_ns = i64::MIN;
        }
    }

    fn push_two_points(&mut self, resolution_ns: i64, point: Point) {
        let old = std::mem::replace(&mut self.last, point);
        self.level_from_ns = i64::MIN;
        self.window_ns = 0;
        let restarted = point.start_ns.is_some_and(|start| start >= old.timestamp_ns);
        if restarted {
            self.earlier.clear();
        } else if point.timestamp_ns > old.timestamp_ns {
            self.earlier.clear();
            self.earlier.push_back(old.into());
            self.earlier_start_ns = old.start_ns;
        } else {
            self.earlier.retain(|earlier| earlier.timestamp_ns < point.timestamp_ns);
        }
        self.begin_at_start(Policy::TwoPoints { resolution_ns });
    }

    fn push_window(&mut self, policy: Policy, point: Point) {
        let old = self.last;
        let gap_ns = point.timestamp_ns - old.timestamp_ns;
        if gap_ns == 0 {
            return;
        }
        let restarted = point.start_ns != old.start_ns;
        if restarted || !(0..=MAX_GAP_NS).contains(&gap_ns) || point.cpu_core_ns < old.cpu_core_ns {
            *self = Series { noise: self.noise, ..Series::new(policy, point) };
            return;
        }
        self.earlier.push_back(old.into());
        self.last = point;
        match policy {
            Policy::Fixed { window_ns } => {
                self.window_ns = window_ns;
                self.level_from_ns = i64::MIN;
            }
            _ => self.follow_level(),
        }
        self.forget_old_points();
    }

    fn follow_level(&mut self) {
        let mut buffer = [0.0; MAX_POINTS];
        let count = self.rates(&mut buffer);
        let rates = &buffer[..count];
        let in_level = self.points_in_level();
        let Some((newest, before)) = rates.split_last() else { return };
        self.noise.learn(&before[before.len() - (in_level - 1)..], *newest);
        if let Some(new_level) = shift::detect(rates, in_level, self.noise) {
            let first = self.earlier.len() - new_level;
            self.level_from_ns = self.earlier[first].timestamp_ns;
        }
        self.window_ns = steady_window_ns(self.noise.cv()).min(self.longest_window_ns());
    }

    /// What the container's age allows.
    fn longest_window_ns(&self) -> i64 {
        let after_start = |start_ns| self.last.timestamp_ns - start_ns - START_LEFT_OUT_NS;
        self.last.start_ns.map_or(i64::MAX, after_start).max(steady_window_ns(0.0))
    }

    /// Rates in cores between neighbouring points, oldest first; how many there are.
    fn rates(&self, buffer: &mut [f64; MAX_POINTS]) -> usize {
        let newer = self.earlier.iter().skip(1).copied().chain([Counter::from(self.last)]);
        let mut count = 0;
        for (slot, (old, new)) in buffer.iter_mut().zip(self.earlier.iter().zip(newer)) {
            let used = new.cpu_core_ns.saturating_sub(old.cpu_core_ns);
            *slot = used as f64 / (new.timestamp_ns - old.timestamp_ns).max(1) as f64;
            count += 1;
        }
        count
    }

    /// How many rates belong to the current level, the newest included: at least one.
    fn points_in_level(&self) -> usize {
        let from = self.level_from_ns;
        self.earlier.iter().rev().take_while(|point| point.timestamp_ns >= from).count().max(1)
    }

    fn forget_old_points(&mut self) {
        let oldest = self.last.timestamp_ns - self.window_ns.max(DETECTOR_MEMORY_NS) - SAMPLE_JITTER_NS;
        while self.earlier.len() > 1
            && (self.earlier.len() >= MAX_POINTS || self.earlier[0].timestamp_ns < oldest)
        {
            self.earlier.pop_front();
        }
    }
}

/// The window for a series of this noise.
fn steady_window_ns(cv: f64) -> i64 {
    let [.., (_, longest)] = STEADY_WINDOWS;
    STEADY_WINDOWS.iter().find(|(up_to, _)| cv <= *up_to).map_or(longest, |(_, seconds)| *seconds) * SECOND_NS
}

/// Go's `Duration.Seconds`, so that quotients round as upstream's do.
fn seconds(ns: i64) -> f64 {
    (ns / SECOND_NS) as f64 + (ns % SECOND_NS) as f64 / SECOND_NS as f64
}
