//! The autoscaler's own metrics: upstream's names, and how long samples take to become a write.

use crate::report::ErrorClass;
use flyball_model::autoscaling::metric_type::{CONTAINER_RESOURCE, EXTERNAL, OBJECT, PODS, RESOURCE};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const PREFIX: &str = "horizontal_pod_autoscaler_controller";

/// Label `action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// More replicas.
    ScaleUp,
    /// Fewer replicas.
    ScaleDown,
    /// No change.
    None,
}

impl Action {
    /// Direction from one count to another.
    pub fn between(before: i32, after: i32) -> Self {
        match after.cmp(&before) {
            std::cmp::Ordering::Greater => Action::ScaleUp,
            std::cmp::Ordering::Less => Action::ScaleDown,
            std::cmp::Ordering::Equal => Action::None,
        }
    }
}

impl EncodeLabelValue for Action {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        let text = match self {
            Action::ScaleUp => "scale_up",
            Action::ScaleDown => "scale_down",
            Action::None => "none",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

impl EncodeLabelValue for ErrorClass {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        let text = match self {
            ErrorClass::None => "none",
            ErrorClass::Spec => "spec",
            ErrorClass::Internal => "internal",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    action: Action,
    error: ErrorClass,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MetricLabels {
    action: Action,
    error: ErrorClass,
    metric_type: MetricType,
}

/// Label `metric_type`. The types there are need no memory: this is counted at every evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct MetricType(Cow<'static, str>);

impl MetricType {
    fn of(text: &str) -> Self {
        let known =
            [RESOURCE, CONTAINER_RESOURCE, PODS, OBJECT, EXTERNAL].into_iter().find(|known| *known == text);
        MetricType(known.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed))
    }
}

impl EncodeLabelValue for MetricType {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// Replica counts of one HPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// As upstream tells it; `None`: as before.
    pub(crate) desired: Option<i32>,
    /// What the metrics want, if metrics were read.
    pub(crate) wanted: Option<i32>,
    /// What is left of that.
    pub(crate) allowed: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HpaLabels {
    namespace: String,
    hpa_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabels {
    name: String,
}

/// Name of upstream's work queue of HPAs.
const QUEUE: &str = "horizontalpodautoscaler";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    name: &'static str,
}

/// What waits for its evaluation, as client-go tells of its work queues.
#[derive(Clone)]
struct WorkQueue {
    depth: Family<QueueLabels, Gauge>,
    added: Family<QueueLabels, Counter>,
    retries: Family<QueueLabels, Counter>,
    waited_seconds: Family<QueueLabels, Histogram, fn() -> Histogram>,
    worked_seconds: Family<QueueLabels, Histogram, fn() -> Histogram>,
    unfinished_seconds: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    longest_seconds: Family<QueueLabels, Gauge<f64, AtomicU64>>,
}

/// client-go's buckets for work queues.
fn nanoseconds_up() -> Histogram {
    Histogram::new(exponential_buckets(10e-9, 10.0, 12))
}

impl Default for WorkQueue {
    fn default() -> Self {
        WorkQueue {
            depth: Family::default(),
            added: Family::default(),
            retries: Family::default(),
            waited_seconds: Family::new_with_constructor(nanoseconds_up),
            worked_seconds: Family::new_with_constructor(nanoseconds_up),
            unfinished_seconds: Family::default(),
            longest_seconds: Family::default(),
        }
    }
}

impl WorkQueue {
    fn register(&self, registry: &mut Registry) {
        registry.register("workqueue_depth", "Current depth of workqueue", self.depth.clone());
        registry.register("workqueue_adds", "Total number of adds handled by workqueue", self.added.clone());
        registry.register(
            "workqueue_retries",
            "Total number of retries handled by workqueue: with upstream, and so here, each evaluation's end is one",
            self.retries.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested",
            self.waited_seconds.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes",
            self.worked_seconds.clone(),
        );
        registry.register(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has been done that is in progress and hasn't been observed by work_duration",
            self.unfinished_seconds.clone(),
        );
        registry.register(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running",
            self.longest_seconds.clone(),
        );
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: String,
}

type NoLabels = [(&'static str, &'static str); 0];

/// All metrics of the autoscaler.
#[derive(Clone)]
pub struct Metrics {
    reconciliations: Family<ReconcileLabels, Counter>,
    reconciliation_seconds: Family<ReconcileLabels, Histogram, fn() -> Histogram>,
    computations: Family<MetricLabels, Counter>,
    computation_seconds: Family<MetricLabels, Histogram, fn() -> Histogram>,
    work_queue: WorkQueue,
    autoscalers: Gauge,
    desired_replicas: Family<HpaLabels, Gauge>,
    wanted_replicas: Family<HpaLabels, Gauge>,
    allowed_replicas: Family<HpaLabels, Gauge>,
    sample_to_scale_seconds: Histogram,
    decision_seconds: Histogram,
    checkpoint_errors: Counter,
    panics: Counter,
    leads: Family<LeaseLabels, Gauge>,
    slow_path: Family<LeaseLabels, Counter>,
    acting: Gauge,
    left_to_others: Gauge,
    missing_permissions: Gauge,
    target_watches: Family<ResourceLabels, Gauge>,
    /// Watches of metrics.k8s.io that run.
    pub(crate) sample_watches: Gauge,
    agreed: Counter,
    differed: Counter,
    /// Without labels; a family, for it is absent before the first comparison.
    agreement_percent: Family<NoLabels, Gauge<f64, AtomicU64>>,
}

/// Upstream's buckets.
fn milliseconds_up() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            reconciliations: Family::default(),
            reconciliation_seconds: Family::new_with_constructor(milliseconds_up),
            computations: Family::default(),
            computation_seconds: Family::new_with_constructor(milliseconds_up),
            work_queue: WorkQueue::default(),
            autoscalers: Gauge::default(),
            desired_replicas: Family::default(),
            wanted_replicas: Family::default(),
            allowed_replicas: Family::default(),
            sample_to_scale_seconds: Histogram::new(exponential_buckets(0.0625, 2.0, 12)),
            decision_seconds: Histogram::new(exponential_buckets(0.000_000_5, 2.0, 20)),
            checkpoint_errors: Counter::default(),
            panics: Counter::default(),
            leads: Family::default(),
            slow_path: Family::default(),
            acting: Gauge::default(),
            left_to_others: Gauge::default(),
            missing_permissions: Gauge::default(),
            target_watches: Family::default(),
            sample_watches: Gauge::default(),
            agreed: Counter::default(),
            differed: Counter::default(),
            agreement_percent: Family::default(),
        }
    }
}

impl Metrics {
    /// Registers all of them.
    pub fn register(&self, registry: &mut Registry) {
        let name = |rest: &str| format!("{PREFIX}_{rest}");
        let own = |rest: &str| format!("flyball_hpa_{rest}");
        self.work_queue.register(registry);
        registry.register(name("reconciliations"), "Number of reconciliations", self.reconciliations.clone());
        registry.register(
            name("reconciliation_duration_seconds"),
            "The time that one reconciliation takes",
            self.reconciliation_seconds.clone(),
        );
        registry.register(
            name("metric_computation"),
            "Number of metric computations",
            self.computations.clone(),
        );
        registry.register(
            name("metric_computation_duration_seconds"),
            "The time that the computation of one metric takes",
            self.computation_seconds.clone(),
        );
        registry.register(
            name("num_horizontal_pod_autoscalers"),
            "Number of HPA objects",
            self.autoscalers.clone(),
        );
        registry.register(
            name("desired_replicas"),
            "Desired number of replicas by HPA",
            self.desired_replicas.clone(),
        );
        registry.register(
            own("wanted_replicas"),
            "Replicas that the metrics of an HPA ask for, before windows, limits and bounds",
            self.wanted_replicas.clone(),
        );
        registry.register(
            own("allowed_replicas"),
            "Replicas that are left of the wanted ones by windows, limits, bounds and annotations",
            self.allowed_replicas.clone(),
        );
        registry.register(
            own("sample_to_scale_seconds"),
            "From the end of the newest sample's window to the scale being written",
            self.sample_to_scale_seconds.clone(),
        );
        registry.register(
            own("decision_seconds"),
            "The time that one decision takes",
            self.decision_seconds.clone(),
        );
        registry.register(
            own("checkpoint_errors"),
            "History entries that could not be stored",
            self.checkpoint_errors.clone(),
        );
        registry.register(own("panics"), "Evaluations that ended in a panic", self.panics.clone());
        registry.register(
            "leader_election_master_status",
            "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. \
             'name' is the string used to identify the lease. Please make sure to group by name",
            self.leads.clone(),
        );
        registry.register(
            "leader_election_slowpath",
            "Total number of slow path exercised in renewing leader leases. 'name' is the string used to identify the \
             lease. Please make sure to group by name",
            self.slow_path.clone(),
        );
        registry.register(
            own("acting"),
            "1 while this replica writes scales, 0 while it follows or only watches",
            self.acting.clone(),
        );
        registry.register(
            own("left_to_others"),
            "HPAs that are left alone because another controller writes their status",
            self.left_to_others.clone(),
        );
        registry.register(
            own("shadow_agreed"),
            "Comparisons with the controller that scales an HPA in which both wanted the same count; one per sync period",
            self.agreed.clone(),
        );
        registry.register(
            own("shadow_differed"),
            "Comparisons with the controller that scales an HPA in which the two wanted different counts",
            self.differed.clone(),
        );
        registry.register(
            own("shadow_agreement_percent"),
            "Share of those comparisons in which both wanted the same count",
            self.agreement_percent.clone(),
        );
        registry.register(
            own("target_watches"),
            "1 while scale targets of this resource are watched, 0 while their scales are read instead",
            self.target_watches.clone(),
        );
        registry.register(
            own("sample_watches"),
            "Watches of metrics.k8s.io; without any, metrics are asked for at the resolution at which they come",
            self.sample_watches.clone(),
        );
        registry.register(
            own("missing_permissions"),
            "Permissions that this program needs and does not have",
            self.missing_permissions.clone(),
        );
    }

    pub(crate) fn reconciled(&self, action: Action, error: ErrorClass, took: Duration) {
        let labels = ReconcileLabels { action, error };
        self.reconciliations.get_or_create(&labels).inc();
        self.reconciliation_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let queue = QueueLabels { name: QUEUE };
        self.work_queue.worked_seconds.get_or_create(&queue).observe(took.as_secs_f64());
        self.work_queue.retries.get_or_create(&queue).inc();
    }

    /// One that waited so long is evaluated.
    pub(crate) fn waited(&self, ms: i64) {
        let waited = &self.work_queue.waited_seconds;
        waited.get_or_create(&QueueLabels { name: QUEUE }).observe(ms as f64 / 1000.0);
    }

    /// How many wait, how many were added since the last time, and how long those that are evaluated now have been.
    pub(crate) fn queue(&self, depth: usize, added: u64, running: impl Iterator<Item = Duration>) {
        let name = QueueLabels { name: QUEUE };
        let (mut sum, mut longest) = (0.0, 0.0_f64);
        for seconds in running.map(|time| time.as_secs_f64()) {
            sum += seconds;
            longest = longest.max(seconds);
        }
        self.work_queue.depth.get_or_create(&name).set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.work_queue.added.get_or_create(&name).inc_by(added);
        self.work_queue.unfinished_seconds.get_or_create(&name).set(sum);
        self.work_queue.longest_seconds.get_or_create(&name).set(longest);
    }

    pub(crate) fn computed(&self, metric_type: &str, action: Action, error: ErrorClass, took: Duration) {
        let labels = MetricLabels { action, error, metric_type: MetricType::of(metric_type) };
        self.computations.get_or_create(&labels).inc();
        self.computation_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn decided(&self, took: Duration) {
        self.decision_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn scaled(&self, newest_sample_ms: Option<i64>, now_ms: i64) {
        if let Some(sample_ms) = newest_sample_ms {
            self.sample_to_scale_seconds.observe((now_ms - sample_ms).max(0) as f64 / 1000.0);
        }
    }

    /// What was decided about an HPA.
    pub(crate) fn counts(&self, key: &(String, String), counts: Counts) {
        let labels = HpaLabels { namespace: key.0.clone(), hpa_name: key.1.clone() };
        if let Some(desired) = counts.desired {
            self.desired_replicas.get_or_create(&labels).set(i64::from(desired));
        }
        match counts.wanted {
            Some(wanted) => {
                self.wanted_replicas.get_or_create(&labels).set(i64::from(wanted));
            }
            // Absent is not zero.
            None => {
                self.wanted_replicas.remove(&labels);
            }
        }
        self.allowed_replicas.get_or_create(&labels).set(i64::from(counts.allowed));
    }

    pub(crate) fn forget(&self, key: &(String, String)) {
        let labels = HpaLabels { namespace: key.0.clone(), hpa_name: key.1.clone() };
        self.desired_replicas.remove(&labels);
        self.wanted_replicas.remove(&labels);
        self.allowed_replicas.remove(&labels);
    }

    pub(crate) fn autoscalers(&self, count: usize) {
        self.autoscalers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn checkpoint_failed(&self) {
        self.checkpoint_errors.inc();
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Whether this process holds the lease of that name.
    pub(crate) fn leads(&self, lease: &str, leads: bool) {
        self.leads.get_or_create(&LeaseLabels { name: lease.to_owned() }).set(i64::from(leads));
    }

    pub(crate) fn slow_path(&self, lease: &str) {
        self.slow_path.get_or_create(&LeaseLabels { name: lease.to_owned() }).inc();
    }

    pub(crate) fn standing(&self, acting: bool, left: usize) {
        self.acting.set(i64::from(acting));
        self.left_to_others.set(i64::try_from(left).unwrap_or(i64::MAX));
    }

    /// One comparison with the controller that scales.
    pub(crate) fn compared(&self, agrees: bool) {
        if agrees { &self.agreed } else { &self.differed }.inc();
        let (agreed, differed) = (self.agreed.get() as f64, self.differed.get() as f64);
        self.agreement_percent.get_or_create(&[]).set(100.0 * agreed / (agreed + differed));
    }

    /// Whether targets of a resource are watched now.
    pub(crate) fn watches(&self, resource: &str, current: bool) {
        let labels = ResourceLabels { resource: resource.to_owned() };
        self.target_watches.get_or_create(&labels).set(i64::from(current));
    }

    pub(crate) fn missing_permissions(&self, count: usize) {
        self.missing_permissions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn no_comparison_is_no_agreement_of_zero_percent() {
        let metrics = Metrics::default();
        assert!(!exposed(&metrics).contains("\nflyball_hpa_shadow_agreement_percent"));
        for agrees in [true, true, true, false] {
            metrics.compared(agrees);
        }
        assert!(exposed(&metrics).contains("\nflyball_hpa_shadow_agreement_percent{} 75.0\n"));
    }

    /// Each family that the dashboard draws is one of these, by the name under which Prometheus knows it.
    #[test]
    fn the_dashboard_draws_what_there_is() {
        let metrics = Metrics::default();
        let key = ("ns".to_owned(), "web".to_owned());
        metrics.counts(&key, Counts { desired: Some(1), wanted: Some(1), allowed: 1 });
        metrics.reconciled(Action::ScaleUp, ErrorClass::None, Duration::ZERO);
        metrics.computed(PODS, Action::ScaleUp, ErrorClass::None, Duration::ZERO);
        metrics.queue(0, 0, std::iter::empty());
        metrics.compared(true);
        let text = exposed(&metrics);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let known: Vec<String> = types
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "histogram" => format!("{name}_bucket"),
                _ => name.to_owned(),
            })
            .collect();
        let dashboard = include_str!("../../deploy/dashboards/autoscaling.json");
        let expressions = dashboard.lines().filter_map(|line| line.trim().strip_prefix("\"expr\": "));
        let words = expressions.flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_'));
        let drawn =
            |word: &&str| ["flyball_", PREFIX, "workqueue_"].iter().any(|start| word.starts_with(start));
        let drawn: Vec<&str> = words.filter(drawn).collect();
        assert!(drawn.len() > 15, "{drawn:?}");
        for name in drawn {
            assert!(known.iter().any(|known| known == name), "{name} is none of {known:?}");
        }
    }
}
