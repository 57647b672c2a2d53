//! What the demo prints: pure text from values.

use std::time::Duration;

use super::load::LoadWindow;

/// One line of the live table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Time since the wave began.
    pub elapsed: Duration,
    /// What the load generator saw in the last second.
    pub load: LoadWindow,
    /// CPU use of all pods together by metrics.k8s.io, in millicores; `None` while not measured.
    pub cpu_millicores: Option<i64>,
    /// Pods that are Ready.
    pub ready: i64,
    /// Replicas asked for in the scale.
    pub wanted: i64,
    /// What the autoscaler says of it.
    pub why: String,
}

/// Heading of the live table.
pub const HEADER: &str = "  time   req/s  failed   p50 ms   p99 ms   CPU   ready/wanted   why";

/// Formats one row under [`HEADER`].
#[must_use]
pub fn row(row: &Row) -> String {
    let latency =
        |quantile| row.load.latency_ms(quantile).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    let cpu = row.cpu_millicores.map_or_else(|| "-".to_owned(), |millicores| format!("{millicores}m"));
    format!(
        "{:>5} s  {:>6}  {:>6}  {:>7}  {:>7}  {:>4}   {:>12}   {}",
        row.elapsed.as_secs(),
        row.load.answered,
        row.load.failed,
        latency(0.5),
        latency(0.99),
        cpu,
        format!("{}/{}", row.ready, row.wanted),
        row.why
    )
}

/// A progress bar of `width` cells for `done` of `total`.
#[must_use]
pub fn progress(done: Duration, total: Duration, width: usize) -> String {
    let share = (done.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a terminal's width"
    )]
    let filled = (share * width as f64) as usize;
    let left = total.saturating_sub(done).as_secs();
    format!("[{}{}] {left:>3} s left", "#".repeat(filled), "-".repeat(width - filled))
}

/// A point of the replica timeline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplicaPoint {
    /// Time since the wave began.
    pub elapsed: Duration,
    /// Replicas asked for.
    pub wanted: i64,
    /// Pods Ready.
    pub ready: i64,
}

/// The two counts at `elapsed`: those of the last point not after it.
fn at(points: &[ReplicaPoint], elapsed: Duration) -> Option<&ReplicaPoint> {
    points.iter().rev().find(|point| point.elapsed <= elapsed).or_else(|| points.first())
}

/// Replicas over time: one line a count, `#` where so many pods were Ready, `.` where they were asked for.
#[must_use]
pub fn chart(points: &[ReplicaPoint], total: Duration, width: usize) -> String {
    let highest = points.iter().map(|point| point.wanted.max(point.ready)).max().unwrap_or(0);
    let width = width.max(1);
    let mut text = String::new();
    for level in (1..=highest).rev() {
        text.push_str(&format!("{level:>4} |"));
        let line: String = (0..width)
            .map(|column| {
                let elapsed = total.mul_f64((column as f64 + 0.5) / width as f64);
                match at(points, elapsed) {
                    Some(point) if point.ready >= level => '#',
                    Some(point) if point.wanted >= level => '.',
                    _ => ' ',
                }
            })
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("     +{}\n", "-".repeat(width)));
    text.push_str(&format!(
        "      0 s{:>pad$}\n",
        format!("{} s", total.as_secs()),
        pad = width.saturating_sub(3)
    ));
    text
}

/// The times of one scale-out, measured from the load step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reaction {
    /// To the first scale request above the count before the step.
    pub first_request: Option<Duration>,
    /// To the request for the highest count.
    pub final_count: Option<Duration>,
    /// To so many pods Ready.
    pub all_ready: Option<Duration>,
    /// The count before the step, the highest one, and the last one.
    pub before: i64,
    /// See `before`.
    pub peak: i64,
    /// See `before`.
    pub last: i64,
}

impl Reaction {
    /// Reads the timeline of a wave that stepped up at `step_up`.
    #[must_use]
    pub fn of(points: &[ReplicaPoint], step_up: Duration) -> Self {
        let before = at(points, step_up).map_or(0, |point| point.wanted);
        let peak = points.iter().map(|point| point.wanted).max().unwrap_or(0);
        let last = points.last().map_or(0, |point| point.wanted);
        let first = |test: &dyn Fn(&ReplicaPoint) -> bool| {
            points
                .iter()
                .find(|point| point.elapsed >= step_up && test(point))
                .map(|point| point.elapsed.saturating_sub(step_up))
        };
        let grew = peak > before;
        Self {
            first_request: first(&|point| point.wanted > before),
            final_count: first(&|point| grew && point.wanted >= peak),
            all_ready: first(&|point| grew && point.ready >= peak),
            before,
            peak,
            last,
        }
    }

    /// Whether the workload was scaled out and back in to where it came from.
    #[must_use]
    pub fn out_and_back(&self) -> bool {
        self.peak > self.before && self.last <= self.before
    }

    /// The summary in plain words.
    #[must_use]
    pub fn summary(&self) -> String {
        let seconds = |time: Option<Duration>| {
            time.map_or_else(|| "not seen".to_owned(), |t| format!("{:.1} s", t.as_secs_f64()))
        };
        format!(
            "replicas: {} before the load step, {} at the peak, {} at the end\n\
             from the load step to the first scale request: {}\n\
             from the load step to the final count:         {}\n\
             from the load step to all new pods Ready:      {}\n",
            self.before,
            self.peak,
            self.last,
            seconds(self.first_request),
            seconds(self.final_count),
            seconds(self.all_ready),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seconds: u64, wanted: i64, ready: i64) -> ReplicaPoint {
        ReplicaPoint { elapsed: Duration::from_secs(seconds), wanted, ready }
    }

    fn story() -> Vec<ReplicaPoint> {
        vec![
            point(0, 1, 1),
            point(12, 4, 1),
            point(13, 4, 4),
            point(15, 7, 4),
            point(17, 7, 7),
            point(60, 1, 1),
        ]
    }

    #[test]
    fn times_count_from_the_load_step() {
        let reaction = Reaction::of(&story(), Duration::from_secs(10));
        let second = |s| Some(Duration::from_secs(s));
        assert_eq!(
            (reaction.first_request, reaction.final_count, reaction.all_ready),
            (second(2), second(5), second(7))
        );
        assert!(reaction.out_and_back());
    }

    #[test]
    fn a_workload_that_never_grew_did_not_go_out_and_back() {
        let reaction = Reaction::of(&[point(0, 1, 1)], Duration::from_secs(10));
        assert!(!reaction.out_and_back());
        assert_eq!(reaction.final_count, None);
        assert!(reaction.summary().contains("not seen"));
    }

    #[test]
    fn the_chart_shows_wanted_and_ready() {
        let text = chart(&story(), Duration::from_secs(70), 35);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 9, "{text}");
        assert!(lines[0].starts_with("   7 |"), "{text}");
        assert!(lines[0].contains(".#"), "{text}");
        assert!(lines[6].contains("###"), "{text}");
    }

    #[test]
    fn the_bar_fills_and_never_overflows() {
        let total = Duration::from_secs(10);
        assert_eq!(progress(Duration::ZERO, total, 4), "[----]  10 s left");
        assert_eq!(progress(Duration::from_secs(5), total, 4), "[##--]   5 s left");
        assert_eq!(progress(Duration::from_secs(50), total, 4), "[####]   0 s left");
    }
}
