//! What history says of itself on `/metrics`. The page shows what was last looked at, so that it never waits for the store.

use std::fmt;
use std::sync::Weak;

use flyball_apiserver::own_metrics::OwnMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Shared;
use crate::store::StoreReport;

/// Adds the metrics to a page.
pub(super) fn register(shared: Weak<Shared>, own: &OwnMetrics) {
    own.registry().register_collector(Box::new(HistoryMetrics { shared }));
}

struct HistoryMetrics {
    shared: Weak<Shared>,
}

impl fmt::Debug for HistoryMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HistoryMetrics")
    }
}

/// One gauge of the store: name, help, value.
type Row = (&'static str, &'static str, fn(&StoreReport) -> Option<f64>);

const ROWS: [Row; 12] = [
    ("flyball_history_series", "Series in memory", |report| Some(report.head_series as f64)),
    ("flyball_history_head_sample_bytes", "Bytes of samples in memory", |report| {
        Some(report.head_sample_bytes as f64)
    }),
    ("flyball_history_blocks", "Sealed blocks", |report| Some(report.blocks.len() as f64)),
    ("flyball_history_block_samples", "Samples in sealed blocks", |report| {
        Some(report.block_samples() as f64)
    }),
    ("flyball_history_payload_bytes", "Bytes of sealed blocks before what the disk adds", |report| {
        Some(report.payload_bytes() as f64)
    }),
    ("flyball_history_disk_bytes", "Bytes that everything takes on the disk", |report| {
        Some(report.disk_bytes() as f64)
    }),
    ("flyball_history_log_disk_bytes", "Bytes that the log takes of them", |report| {
        Some(report.log_disk_bytes as f64)
    }),
    ("flyball_history_free_bytes", "Bytes that may still be written", |report| {
        report.free_bytes.map(|bytes| bytes as f64)
    }),
    (
        "flyball_history_disk_bytes_per_series_and_day",
        "Bytes on the disk that one series costs per day",
        StoreReport::disk_bytes_per_series_and_day,
    ),
    (
        "flyball_history_days_until_full",
        "Days until the disk is full at the pace of the last blocks, should retention free nothing",
        StoreReport::days_until_full,
    ),
    ("flyball_history_stopped", "Whether no samples are taken, mostly since the disk is full", |report| {
        Some(f64::from(u8::from(report.stopped.is_some())))
    }),
    ("flyball_history_damaged", "Parts of the store that cannot be read", |report| {
        Some(report.damage.len() as f64)
    }),
];

impl Collector for HistoryMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        let counts = shared.sink.counts();
        let stored = encoder.encode_descriptor(
            "flyball_history_samples_stored",
            "Samples of nodes that were stored",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(counts.all_stored()).encode(stored)?;
        let mut dropped = encoder.encode_descriptor(
            "flyball_history_samples_dropped",
            "Samples of nodes that were not stored, by the reason",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in counts.all_dropped() {
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(dropped.encode_family(&labels)?)?;
        }
        let report = shared.last_report();
        let open = encoder.encode_descriptor(
            "flyball_history_open",
            "Whether the store is open",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(report.is_some())).encode(open)?;
        let Some(report) = report else { return Ok(()) };
        for (name, help, value) in ROWS {
            if let Some(value) = value(&report) {
                let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(gauge)?;
            }
        }
        Ok(())
    }
}
