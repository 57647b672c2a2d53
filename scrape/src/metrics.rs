//! What scraping says about itself, under upstream metrics-server's names.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upstream's default buckets, seconds.
const BUCKETS_S: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NodeLabel {
    node: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SuccessLabel {
    success: &'static str,
}

type LastRequestTime = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The metrics of all scrape loops.
#[derive(Debug)]
pub struct Metrics {
    request_duration: Family<NodeLabel, Histogram, fn() -> Histogram>,
    requests: Family<SuccessLabel, Counter>,
    last_request_time: Family<NodeLabel, LastRequestTime>,
    tick_duration: Histogram,
    interval: LastRequestTime,
    registered: OnceLock<()>,
}

impl Default for Metrics {
    /// For the time between scrapes of kubelets unless somebody says otherwise.
    fn default() -> Metrics {
        Metrics::of_resolution(Duration::from_secs(15))
    }
}

impl Metrics {
    /// For scrapes this far apart.
    pub fn of_resolution(resolution: Duration) -> Metrics {
        Metrics {
            request_duration: Family::new_with_constructor(|| Histogram::new(BUCKETS_S)),
            requests: Family::default(),
            last_request_time: Family::default(),
            tick_duration: Histogram::new(tick_buckets_s(resolution.as_secs_f64())),
            interval: Gauge::default(),
            registered: OnceLock::new(),
        }
    }

    /// Registers everything; the second call does nothing, for it would list each family twice.
    pub fn register(&self, registry: &mut Registry) {
        self.registered.get_or_init(|| self.list_in(registry));
    }

    fn list_in(&self, registry: &mut Registry) {
        registry.register(
            "metrics_server_kubelet_request_duration_seconds",
            "[ALPHA] Duration of requests to Kubelet API in seconds",
            self.request_duration.clone(),
        );
        registry.register(
            "metrics_server_kubelet_request",
            "[ALPHA] Number of requests sent to Kubelet API",
            self.requests.clone(),
        );
        registry.register(
            "metrics_server_kubelet_last_request_time_seconds",
            "[ALPHA] Time of last request performed to Kubelet API since unix epoch in seconds",
            self.last_request_time.clone(),
        );
        registry.register(
            "metrics_server_manager_tick_duration_seconds",
            "[ALPHA] Time from the moment a scrape was due to the moment its result was stored, in seconds",
            self.tick_duration.clone(),
        );
        registry.register(
            "flyball_scrape_collector_interval_seconds",
            "Interval at which collectors are scraped at present",
            self.interval.clone(),
        );
    }

    pub(crate) fn scraped(&self, node: &str, success: bool, took: Duration, started_ms: i64) {
        let label = NodeLabel { node: node.to_owned() };
        self.request_duration.get_or_create(&label).observe(took.as_secs_f64());
        self.last_request_time.get_or_create(&label).set(started_ms as f64 / 1000.0);
        let success = if success { "true" } else { "false" };
        self.requests.get_or_create(&SuccessLabel { success }).inc();
    }

    pub(crate) fn stored(&self, since_due: Duration) {
        self.tick_duration.observe(since_due.as_secs_f64());
    }

    pub(crate) fn collector_interval(&self, interval: Duration) {
        self.interval.set(interval.as_secs_f64());
    }

    pub(crate) fn forget(&self, node: &str) {
        let label = NodeLabel { node: node.to_owned() };
        self.request_duration.remove(&label);
        self.last_request_time.remove(&label);
    }
}

/// Upstream's buckets for a resolution of this many seconds.
fn tick_buckets_s(resolution_s: f64) -> Vec<f64> {
    let mut buckets = BUCKETS_S.to_vec();
    if resolution_s > 10.0 {
        let beyond = 10.0 + (resolution_s - 10.0) / 2.0;
        buckets.extend([beyond, resolution_s, 1.5 * resolution_s, 2.0 * resolution_s]);
    } else if buckets.iter().all(|bucket| (bucket - resolution_s).abs() > 0.005) {
        buckets.push(resolution_s);
        buckets.sort_by(f64::total_cmp);
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_carry_upstreams_names() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.register(&mut registry);
        metrics.scraped("n1", true, Duration::from_millis(3), 1_700_000_000_500);
        metrics.scraped("gone", false, Duration::from_millis(3), 1_700_000_000_500);
        metrics.forget("gone");
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for line in [
            "metrics_server_kubelet_request_duration_seconds_bucket{le=\"0.005\",node=\"n1\"} 1",
            "metrics_server_kubelet_request_total{success=\"true\"} 1",
            "metrics_server_kubelet_request_total{success=\"false\"} 1",
            "metrics_server_kubelet_last_request_time_seconds{node=\"n1\"} 1700000000.5",
            "# TYPE metrics_server_manager_tick_duration_seconds histogram",
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
        assert!(!page.contains("gone"));
        assert_eq!(page.matches("# TYPE metrics_server_kubelet_request_duration_seconds").count(), 1);
    }

    #[test]
    fn tick_buckets_by_resolution() {
        for (resolution_s, expected_tail) in [
            (15.0, vec![10.0, 12.5, 15.0, 22.5, 30.0]),
            (10.0, vec![5.0, 10.0]),
            (3.0, vec![2.5, 3.0, 5.0, 10.0]),
        ] {
            assert!(tick_buckets_s(resolution_s).ends_with(&expected_tail), "{resolution_s}");
        }
    }
}
