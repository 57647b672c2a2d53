//! The collector's own cost and troubles, as metrics.

use crate::agent::{Done, Turn};
use crate::cost::{Cost, STAGES, Stage};
use crate::disk::Walked;
use crate::files::READ_FAULTS;
use crate::history::Recorded;
use crate::history::events::KINDS;
use crate::name_source::{NameSource, Observer};
use crate::sweeper::Source;
use flyball_apiserver::own_metrics::OwnMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Upper bounds of durations and latenesses, seconds.
const BOUNDS_SECONDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

type Seconds = Counter<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabel {
    of: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

/// The metrics; clones share them.
#[derive(Debug, Clone)]
pub struct SweepMetrics {
    duration: Histogram,
    lateness: Histogram,
    cpu: Seconds,
    missed_ticks: Counter,
    groups: Family<KindLabel, Gauge>,
    unnamed_containers: Gauge,
    watches: Gauge,
    watches_refused: Gauge,
    changes: Family<KindLabel, Counter>,
    resets: Counter,
    read_errors: Family<KindLabel, Counter>,
    stage_cpu: Family<StageLabel, Seconds>,
    stage_system_calls: Family<StageLabel, Counter>,
    stage_read_bytes: Family<StageLabel, Counter>,
    stage_lateness: Family<StageLabel, Histogram, fn() -> Histogram>,
    left_out: Gauge,
    walk_duration: Gauge<f64, AtomicU64>,
    walk_time: Gauge<f64, AtomicU64>,
    name_errors: Counter,
    api_server_watches: Family<WatchLabel, Gauge>,
    name_source: Family<SourceLabel, Gauge>,
    scrapes: Counter,
    history: HistoryMetrics,
}

#[derive(Debug, Clone, Default)]
struct HistoryMetrics {
    groups: Gauge,
    groups_left_out: Gauge,
    size: Gauge,
    depth: Gauge,
    forgotten_early: Counter,
    events: Family<KindLabel, Counter>,
}

impl HistoryMetrics {
    fn register(&self, of: &mut Registry) {
        for (_, kind) in KINDS {
            drop(self.events.get_or_create(&KindLabel { kind }));
        }
        of.register("history_groups", "Groups with a history, ended ones included", self.groups.clone());
        of.register(
            "history_groups_left_out",
            "Groups of the last sweep without a history, for want of memory",
            self.groups_left_out.clone(),
        );
        of.register_with_unit("history_size", "Memory of all histories", Unit::Bytes, self.size.clone());
        of.register(
            "history_depth_sweeps",
            "Sweeps for which samples are kept; less than 900 where memory is short",
            self.depth.clone(),
        );
        of.register(
            "history_forgotten_early",
            "Parts of histories forgotten before their time, for want of memory",
            self.forgotten_early.clone(),
        );
        of.register("events", "Events of containers, by kind", self.events.clone());
    }
}

impl SweepMetrics {
    /// Makes and registers them.
    pub fn register(own: &OwnMetrics, source: Source) -> SweepMetrics {
        let metrics = SweepMetrics {
            duration: Histogram::new(BOUNDS_SECONDS),
            lateness: Histogram::new(BOUNDS_SECONDS),
            cpu: Seconds::default(),
            missed_ticks: Counter::default(),
            groups: Family::default(),
            unnamed_containers: Gauge::default(),
            watches: Gauge::default(),
            watches_refused: Gauge::default(),
            changes: Family::default(),
            resets: Counter::default(),
            read_errors: Family::default(),
            stage_cpu: Family::default(),
            stage_system_calls: Family::default(),
            stage_read_bytes: Family::default(),
            stage_lateness: Family::new_with_constructor(|| Histogram::new(BOUNDS_SECONDS)),
            left_out: Gauge::default(),
            walk_duration: Gauge::default(),
            walk_time: Gauge::default(),
            name_errors: Counter::default(),
            api_server_watches: Family::default(),
            name_source: Family::default(),
            scrapes: Counter::default(),
            history: HistoryMetrics::default(),
        };
        // Shown from the start, at 0.
        for (stage, _) in STAGES {
            metrics.observe_cost(stage, Cost::default());
        }
        for (_, kind) in READ_FAULTS {
            drop(metrics.read_errors.get_or_create(&KindLabel { kind }));
        }
        let mut registry = own.registry();
        let of = registry.sub_registry_with_prefix("flyball_collector");
        let source = Info::new(vec![("source", source.to_string())]);
        of.register("source", "What values are made of on this machine", source);
        of.register_with_unit(
            "sweep_duration",
            "Wall time of sweeps",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        of.register_with_unit(
            "sweep_lateness",
            "Start of sweeps after they were due",
            Unit::Seconds,
            metrics.lateness.clone(),
        );
        of.register_with_unit(
            "sweep_cpu",
            "CPU time of the sweeping thread",
            Unit::Seconds,
            metrics.cpu.clone(),
        );
        metrics.register_stages(of);
        of.register(
            "missed_ticks",
            "Sweeps left out because another was still going on",
            metrics.missed_ticks.clone(),
        );
        of.register("groups", "Groups read in the last sweep", metrics.groups.clone());
        of.register(
            "unnamed_containers",
            "Containers without series because no pod is known to have them; sandboxes left out",
            metrics.unnamed_containers.clone(),
        );
        of.register(
            "inotify_watches",
            "Folders watched for groups that come and go",
            metrics.watches.clone(),
        );
        of.register(
            "inotify_watches_refused",
            "Watches that the kernel did not give since the start; groups there are seen by the next sweep",
            metrics.watches_refused.clone(),
        );
        of.register("group_changes", "Groups that appeared or went", metrics.changes.clone());
        of.register("counter_resets", "CPU counters that went back", metrics.resets.clone());
        of.register(
            "read_errors",
            "Files that gave no value, by kind; removed groups left out",
            metrics.read_errors.clone(),
        );
        of.register(
            "name_errors",
            "Times a source of names gave none: an error, a refusal, or no answer in time",
            metrics.name_errors.clone(),
        );
        let watches = "Watches kept at the API server, by what is watched; pods: 0 where names come from the node itself";
        of.register("api_server_watches", watches, metrics.api_server_watches.clone());
        of.register("name_source", "1 for the source that gave names last", metrics.name_source.clone());
        of.register("scrapes", "Requests for /metrics/resource", metrics.scrapes.clone());
        metrics.history.register(of);
        drop(registry);
        metrics
    }

    fn register_stages(&self, of: &mut Registry) {
        let cpu = "CPU time of the threads of each stage, while they were at it";
        of.register_with_unit("stage_cpu", cpu, Unit::Seconds, self.stage_cpu.clone());
        let calls =
            "System calls of each stage to open, read, list and close files and to ask for their attributes";
        of.register("stage_system_calls", calls, self.stage_system_calls.clone());
        let bytes = "Bytes that the kernel gave to each stage";
        of.register_with_unit("stage_read", bytes, Unit::Bytes, self.stage_read_bytes.clone());
        let late = "Start of each stage that has a time, after it was due";
        of.register_with_unit("stage_lateness", late, Unit::Seconds, self.stage_lateness.clone());
        let walk = "Wall time of the last round of walks for disk use";
        of.register_with_unit("disk_round_duration", walk, Unit::Seconds, self.walk_duration.clone());
        let time = "End of the last round of walks, Unix time; old where a file system does not answer, 0 before the first";
        of.register_with_unit("disk_round_timestamp", time, Unit::Seconds, self.walk_time.clone());
        of.register(
            "groups_left_out",
            "Times a pod or a container was found and not followed, for there are too many",
            self.left_out.clone(),
        );
    }

    /// Takes in what the sweeping loop did.
    pub fn observe(&self, done: Done<'_>) {
        match done {
            Done::Sweep(turn) => self.observe_sweep(turn),
            Done::Look(look) => self.observe_lateness("look", look.late_ns),
        }
    }

    /// Takes in what a stage cost.
    pub fn observe_cost(&self, stage: Stage, cost: Cost) {
        let Some((_, name)) = STAGES.get(stage as usize) else { return };
        let label = StageLabel { stage: name };
        self.stage_cpu.get_or_create(&label).inc_by(cost.cpu_ns as f64 / 1e9);
        self.stage_system_calls.get_or_create(&label).inc_by(cost.system_calls);
        self.stage_read_bytes.get_or_create(&label).inc_by(cost.read_bytes);
    }

    /// Takes in a round of walks.
    pub fn observe_walk(&self, walked: &Walked) {
        self.observe_cost(Stage::Disk, walked.cost);
        self.walk_duration.set(walked.took.as_secs_f64());
        self.walk_time.set(walked.unix_ms as f64 / 1e3);
    }

    /// Takes in how late something began.
    pub fn observe_lateness(&self, stage: &'static str, late_ns: u64) {
        self.stage_lateness.get_or_create(&StageLabel { stage }).observe(late_ns as f64 / 1e9);
    }

    fn observe_sweep(&self, turn: &Turn) {
        let report = &turn.report;
        for (stage, cost) in report.costs.iter() {
            self.observe_cost(stage, cost);
        }
        self.observe_cost(Stage::Record, turn.record);
        self.observe_lateness("sweep", turn.late_ns);
        self.left_out.set(i64::try_from(report.left_out).unwrap_or(i64::MAX));
        self.changes.get_or_create(&KindLabel { kind: "emptied" }).inc_by(report.emptied);
        self.duration.observe(report.duration_ns as f64 / 1e9);
        self.lateness.observe(turn.late_ns as f64 / 1e9);
        self.cpu.inc_by(turn.cpu_ns as f64 / 1e9);
        self.missed_ticks.inc_by(turn.missed_ticks);
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.groups.get_or_create(&KindLabel { kind: "pod" }).set(gauge(report.pods));
        self.groups.get_or_create(&KindLabel { kind: "container" }).set(gauge(report.containers));
        self.unnamed_containers.set(gauge(report.unnamed_containers));
        self.watches.set(gauge(report.watches));
        self.watches_refused.set(i64::try_from(report.watches_refused).unwrap_or(i64::MAX));
        self.changes.get_or_create(&KindLabel { kind: "added" }).inc_by(report.added);
        self.changes.get_or_create(&KindLabel { kind: "removed" }).inc_by(report.removed);
        self.resets.inc_by(report.resets);
        for ((_, kind), count) in READ_FAULTS.iter().zip(report.faults) {
            if count > 0 {
                self.read_errors.get_or_create(&KindLabel { kind }).inc_by(count);
            }
        }
    }

    /// Takes in how histories and events stand. Called by one thread only.
    pub fn observe_history(&self, recorded: &Recorded) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let history = &self.history;
        history.groups.set(gauge(recorded.groups));
        history.groups_left_out.set(gauge(recorded.left_out));
        history.size.set(gauge(recorded.cost_bytes));
        history.depth.set(i64::try_from(recorded.depth_sweeps).unwrap_or(i64::MAX));
        let raise = |counter: &Counter, to: u64| {
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        raise(&history.forgotten_early, recorded.forgotten_early);
        for ((_, kind), count) in KINDS.iter().zip(recorded.events) {
            raise(&history.events.get_or_create(&KindLabel { kind }), count);
        }
    }

    /// Whether the cluster's CA of clients is watched.
    pub fn follows_client_ca(&self, follows: bool) {
        self.api_server_watches.get_or_create(&WatchLabel { of: "client_ca" }).set(follows.into());
    }

    /// Somebody asked for the last sweep.
    pub fn scraped(&self) {
        self.scrapes.inc();
    }
}

impl Observer for SweepMetrics {
    fn failed(&mut self) {
        self.name_errors.inc();
    }

    fn watches(&mut self, count: usize) {
        let watches = self.api_server_watches.get_or_create(&WatchLabel { of: "pods" });
        watches.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn answered(&mut self, source: &NameSource) {
        tracing::info!(%source, "names of pods and containers");
        self.name_source.clear();
        self.name_source.get_or_create(&SourceLabel { source: source.to_string() }).set(1);
    }
}
