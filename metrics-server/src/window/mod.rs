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
use std::num::NonZeroI64;

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
/// The first window of a container that was found running is at least this long: of what it did a second ago nobody can
/// tell whether it is usual, and after a start of the server that would be so for all pods at once.
pub const FIRST_WINDOW_NS: i64 = 10 * SECOND_NS;
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
    /// A container that was found running needs more ([`FIRST_WINDOW_NS`]).
    ShortWindow,
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

/// A point as it is kept: there are hundreds of thousands, so a start takes eight bytes. It is later than 1970.
#[derive(Debug, Clone, Copy)]
struct Kept {
    counter: Counter,
    working_set_bytes: u64,
    start_ns: Option<NonZeroI64>,
}

impl From<Point> for Kept {
    fn from(point: Point) -> Kept {
        let start_ns = point.start_ns.and_then(NonZeroI64::new);
        Kept { counter: point.into(), working_set_bytes: point.working_set_bytes, start_ns }
    }
}

/// The points of one node or container.
#[derive(Debug, Clone)]
pub struct Series {
    last: Kept,
    before: Before,
}

/// What came before the last point.
#[derive(Debug, Clone)]
enum Before {
    Nothing,
    /// Upstream's one earlier point, with the start it was taken under.
    Point(Counter, Option<NonZeroI64>),
    Window(Box<Window>),
}

impl Series {
    /// A series with its first point.
    pub fn new(policy: Policy, point: Point) -> Series {
        let before = match policy {
            Policy::TwoPoints { .. } => Before::Nothing,
            Policy::ChangeAware | Policy::Fixed { .. } => Before::Window(Box::new(Window::new())),
        };
        let mut series = Series { last: point.into(), before };
        series.begin_at_start(policy);
        series
    }

    /// The newest point.
    pub fn last(&self) -> Point {
        let Kept { counter, working_set_bytes, start_ns } = self.last;
        Point {
            timestamp_ns: counter.timestamp_ns,
            cpu_core_ns: counter.cpu_core_ns,
            working_set_bytes,
            start_ns: start_ns.map(NonZeroI64::get),
        }
    }

    /// All points kept, oldest first. Of the earlier ones the working set is not known any more; they show the last one.
    pub fn points(&self) -> Vec<Point> {
        let last = self.last();
        let earlier = |counter: &Counter, start_ns: Option<NonZeroI64>| Point {
            timestamp_ns: counter.timestamp_ns,
            cpu_core_ns: counter.cpu_core_ns,
            working_set_bytes: last.working_set_bytes,
            start_ns: start_ns.map(NonZeroI64::get),
        };
        let mut points: Vec<Point> = match &self.before {
            Before::Nothing => Vec::new(),
            Before::Point(counter, start_ns) => vec![earlier(counter, *start_ns)],
            // A window never reaches over a restart.
            Before::Window(window) => {
                window.earlier.iter().map(|counter| earlier(counter, self.last.start_ns)).collect()
            }
        };
        points.push(last);
        points
    }

    /// Takes the point of a new scrape.
    pub fn push(&mut self, policy: Policy, point: Point) {
        match policy {
            Policy::TwoPoints { .. } => self.push_two_points(policy, point),
            Policy::ChangeAware | Policy::Fixed { .. } => self.push_window(policy, point),
        }
    }

    /// Usage over the window that ends at the newest point.
    pub fn usage(&self) -> Result<Usage, NoUsage> {
        let (from, start_ns) = self.window_start().ok_or(NoUsage::OneSample)?;
        if self.is_too_short(from) {
            return Err(NoUsage::ShortWindow);
        }
        if let (Some(old), Some(new)) = (start_ns, self.last.start_ns)
            && new < old
        {
            return Err(NoUsage::StartWentBack);
        }
        let last = self.last.counter;
        let used = last.cpu_core_ns.checked_sub(from.cpu_core_ns).ok_or(NoUsage::CounterWentBack)?;
        let window_ns = last.timestamp_ns - from.timestamp_ns;
        Ok(Usage {
            cpu_nanocores: (used as f64 / seconds(window_ns)) as u64,
            working_set_bytes: self.last.working_set_bytes,
            timestamp_ns: last.timestamp_ns,
            window_ns,
        })
    }

    /// Whether the window of a container that was found running has only just begun. One that is seen soon after its start, too
    /// young to have that for a first point, was not found running.
    fn is_too_short(&self, from: Counter) -> bool {
        let Before::Window(window) = &self.before else { return false };
        let was_running = |start_ns: NonZeroI64| from.timestamp_ns - start_ns.get() > START_LEFT_OUT_NS;
        self.last.start_ns.is_some_and(was_running) && window.is_too_short(from, self.last.counter)
    }

    /// Where the window begins, with the start of the container at that time.
    fn window_start(&self) -> Option<(Counter, Option<NonZeroI64>)> {
        match &self.before {
            Before::Nothing => None,
            Before::Point(counter, start_ns) => Some((*counter, *start_ns)),
            // A window never reaches over a restart.
            Before::Window(window) => Some((window.start(self.last.counter)?, self.last.start_ns)),
        }
    }

    /// A container's start is a point too: it had used nothing then.
    fn begin_at_start(&mut self, policy: Policy) {
        let Some(start) = self.last.start_ns else { return };
        let start_ns = start.get();
        let age_ns = self.last.counter.timestamp_ns - start_ns;
        let fresh = match policy {
            Policy::TwoPoints { resolution_ns } => (KUBELET_FRESH_MIN_NS..resolution_ns).contains(&age_ns),
            Policy::ChangeAware => (MIN_START_WINDOW_NS..=steady_window_ns(0.0)).contains(&age_ns),
            Policy::Fixed { window_ns } => (MIN_START_WINDOW_NS..=window_ns).contains(&age_ns),
        };
        if fresh {
            let counter = Counter { timestamp_ns: start_ns, cpu_core_ns: 0 };
            match &mut self.before {
                Before::Window(window) => window.begin(counter),
                before => *before = Before::Point(counter, Some(start)),
            }
        }
    }

    fn push_two_points(&mut self, policy: Policy, point: Point) {
        let old = std::mem::replace(&mut self.last, point.into());
        let restarted = point.start_ns.is_some_and(|start| start >= old.counter.timestamp_ns);
        let before = std::mem::replace(&mut self.before, Before::Nothing);
        if !restarted {
            self.before = if point.timestamp_ns > old.counter.timestamp_ns {
                Before::Point(old.counter, old.start_ns)
            } else {
                before
                    .newest()
                    .filter(|(earlier, _)| earlier.timestamp_ns < point.timestamp_ns)
                    .map_or(Before::Nothing, |(earlier, start_ns)| {
                        Before::Point(earlier, start_ns.or(old.start_ns))
                    })
            };
        }
        self.begin_at_start(policy);
    }

    fn push_window(&mut self, policy: Policy, point: Point) {
        let old = self.last();
        let gap_ns = point.timestamp_ns - old.timestamp_ns;
        if gap_ns == 0 {
            return;
        }
        let restarted = point.start_ns != old.start_ns;
        if restarted || !(0..=MAX_GAP_NS).contains(&gap_ns) || point.cpu_core_ns < old.cpu_core_ns {
            let noise = self.window().noise;
            *self = Series::new(policy, point);
            self.window().noise = noise;
            return;
        }
        self.last = point.into();
        self.window().push(policy, old.into(), &point);
    }

    /// The window, begun from what there is when the points came by the other rule so far.
    fn window(&mut self) -> &mut Window {
        if !matches!(self.before, Before::Window(_)) {
            let mut window = Window::new();
            window.earlier.extend(self.before.newest().map(|(counter, _)| counter));
            self.before = Before::Window(Box::new(window));
        }
        match &mut self.before {
            Before::Window(window) => window,
            Before::Nothing | Before::Point(..) => unreachable!("it was made a window just now"),
        }
    }
}

impl Before {
    fn newest(&self) -> Option<(Counter, Option<NonZeroI64>)> {
        match self {
            Before::Nothing => None,
            Before::Point(counter, start_ns) => Some((*counter, *start_ns)),
            Before::Window(window) => Some((*window.earlier.back()?, None)),
        }
    }
}

/// The points before the last one, for windows that follow the level or are fixed.
#[derive(Debug, Clone)]
struct Window {
    /// Oldest first.
    earlier: VecDeque<Counter>,
    /// First point of the current level; the window never begins before it.
    level_from_ns: i64,
    window_ns: i64,
    noise: shift::Noise,
}

impl Window {
    fn new() -> Window {
        Window {
            earlier: VecDeque::new(),
            level_from_ns: i64::MIN,
            window_ns: steady_window_ns(0.0),
            noise: shift::Noise::default(),
        }
    }

    /// Begins anew at this point.
    fn begin(&mut self, counter: Counter) {
        self.earlier.clear();
        self.earlier.push_back(counter);
        self.level_from_ns = i64::MIN;
    }

    fn start(&self, last: Counter) -> Option<Counter> {
        let oldest = self.level_from_ns.max(last.timestamp_ns - self.window_ns - SAMPLE_JITTER_NS);
        self.earlier.iter().find(|point| point.timestamp_ns >= oldest).or(self.earlier.back()).copied()
    }

    /// Whether it has only just begun.
    fn is_too_short(&self, from: Counter, last: Counter) -> bool {
        let least_ns = FIRST_WINDOW_NS.min(self.window_ns) - SAMPLE_JITTER_NS;
        self.level_from_ns == i64::MIN && last.timestamp_ns - from.timestamp_ns < least_ns
    }

    /// Takes the point that was the last one until `last` came.
    fn push(&mut self, policy: Policy, old: Counter, last: &Point) {
        self.earlier.push_back(old);
        match policy {
            Policy::Fixed { window_ns } => {
                self.window_ns = window_ns;
                self.level_from_ns = i64::MIN;
            }
            _ => self.follow_level(last),
        }
        self.forget_old_points(last);
    }

    fn follow_level(&mut self, last: &Point) {
        let mut buffer = [0.0; MAX_POINTS];
        let count = self.rates(last, &mut buffer);
        let rates = &buffer[..count];
        let in_level = self.points_in_level();
        if rates.is_empty() {
            return;
        }
        self.noise.learn(&rates[count - in_level..]);
        if let Some(new_level) = shift::detect(rates, in_level, self.noise) {
            let first = self.earlier.len() - new_level;
            self.level_from_ns = self.earlier[first].timestamp_ns;
        }
        self.window_ns = steady_window_ns(self.noise.cv()).min(longest_window_ns(last));
    }

    /// Rates in cores between neighbouring points, oldest first; how many there are.
    fn rates(&self, last: &Point, buffer: &mut [f64; MAX_POINTS]) -> usize {
        let newer = self.earlier.iter().skip(1).copied().chain([Counter::from(*last)]);
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

    fn forget_old_points(&mut self, last: &Point) {
        let oldest = last.timestamp_ns - self.window_ns.max(DETECTOR_MEMORY_NS) - SAMPLE_JITTER_NS;
        while self.earlier.len() > 1
            && (self.earlier.len() >= MAX_POINTS || self.earlier[0].timestamp_ns < oldest)
        {
            self.earlier.pop_front();
        }
    }
}

/// What the container's age allows.
fn longest_window_ns(last: &Point) -> i64 {
    let after_start = |start_ns| last.timestamp_ns - start_ns - START_LEFT_OUT_NS;
    last.start_ns.map_or(i64::MAX, after_start).max(steady_window_ns(0.0))
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
