//! What the server says about itself, under upstream's names.

use std::fmt;
use std::sync::{Arc, Weak};

use flyball_apiserver::own_metrics::OwnMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::server::Clock;
use crate::store::Store;

/// Upstream's buckets of the freshness, seconds: 1 to 364.3 in 20 steps.
const FRESHNESS_START_S: f64 = 1.0;
const FRESHNESS_FACTOR: f64 = 1.364;
const FRESHNESS_BUCKETS: usize = 20;

/// Metrics that requests update.
#[derive(Debug, Clone)]
pub(crate) struct ServedMetrics {
    freshness: Histogram,
}

impl ServedMetrics {
    pub(crate) fn register(own: &OwnMetrics, store: &Arc<Store>, clock: Clock) -> ServedMetrics {
        // Multiplied one by one, as Go's library does it: the bounds are compared as text.
        let next = |bound: &f64| Some(bound * FRESHNESS_FACTOR);
        let buckets = std::iter::successors(Some(FRESHNESS_START_S), next).take(FRESHNESS_BUCKETS);
        let freshness = Histogram::new(buckets);
        let mut registry = own.registry();
        registry.register(
            "metrics_server_api_metric_freshness_seconds",
            "[ALPHA] Freshness of metrics exported",
            freshness.clone(),
        );
        registry.register_collector(Box::new(StoragePoints { store: Arc::downgrade(store), clock }));
        ServedMetrics { freshness }
    }

    /// One item was returned whose window ends at this time.
    pub(crate) fn served(&self, now_ms: i64, timestamp_ms: Option<i64>) {
        if let Some(timestamp_ms) = timestamp_ms {
            self.freshness.observe((now_ms.saturating_sub(timestamp_ms) as f64 / 1e3).max(0.0));
        }
    }
}

/// Counts what could be served at the moment the page is written.
struct StoragePoints {
    store: Weak<Store>,
    clock: Clock,
}

impl fmt::Debug for StoragePoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoragePoints")
    }
}

impl Collector for StoragePoints {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(store) = self.store.upgrade() else { return Ok(()) };
        let counts = store.counts((self.clock)());
        let mut family = encoder.encode_descriptor(
            "metrics_server_storage_points",
            "[ALPHA] Number of metrics points stored.",
            None,
            MetricType::Gauge,
        )?;
        for (kind, count) in [("container", counts.containers), ("node", counts.nodes)] {
            let labels = [("type", kind)];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
