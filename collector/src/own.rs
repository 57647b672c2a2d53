//! The collector's own cost and troubles, as metrics.

use crate::agent::Turn;
use crate::files::READ_FAULTS;
use crate::history::Recorded;
use crate::history::events::KINDS;
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
    name_watch_errors: Counter,
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
            name_watch_errors: Counter::default(),
            scrapes: Counter::default(),
            history: HistoryMetrics::default(),
        };
        // Shown from the start, at 0.
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
        of.register(
            "missed_ticks",
            "Sweeps left out because another was still going on",
            metrics.missed_ticks.clone(),
        );
        of.register("groups", "Groups read in the last sweep", metrics.groups.clone());
        of.register(
            "unnamed_containers",
            "Containers without series because no pod of the API server has their id; sandboxes left out",
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
            "name_watch_errors",
            "Failures of the watch of this node's pods",
            metrics.name_watch_errors.clone(),
        );
        of.register("scrapes", "Requests for /metrics/resource", metrics.scrapes.clone());
        metrics.history.register(of);
        drop(registry);
        metrics
    }

    /// Takes in one turn of the sweeping loop.
    pub fn observe(&self, turn: &Turn) {
        let report = &turn.report;
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

    /// The watch of pods failed once.
    pub fn name_watch_failed(&self) {
        self.name_watch_errors.inc();
    }

    /// Somebody asked for the last sweep.
    pub fn scraped(&self) {
        self.scrapes.inc();
    }
}
