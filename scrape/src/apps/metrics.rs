//! What scraping of applications says about itself, under Prometheus' names where it has one.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct JobLabel {
    scrape_job: String,
}

/// The metrics of all loops.
#[derive(Debug, Default)]
pub struct Metrics {
    targets: Family<JobLabel, Gauge>,
    scrapes: Family<JobLabel, Counter>,
    failures: Family<JobLabel, Counter>,
    samples: Family<JobLabel, Counter>,
    seconds: Family<JobLabel, Counter<f64, std::sync::atomic::AtomicU64>>,
    faults: [Family<JobLabel, Counter>; FAULTS.len()],
    registered: OnceLock<()>,
}

/// Something that is counted because it should not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A series came twice, or another value is stored at its time.
    Duplicate,
    /// Older than may be.
    TooOld,
    /// Too far ahead.
    TooNew,
    /// A scrape with more samples than the job allows.
    SampleLimit,
    /// A scrape with a label beyond what the job allows.
    LabelLimit,
    /// An answer longer than the job allows.
    BodyLimit,
    /// A series that the store did not take.
    Refused,
    /// The job had more targets than it allows when its list changed.
    TargetLimit,
    /// A target that could not be made of what was discovered.
    BadTarget,
}

const FAULTS: [(Fault, &str, &str); 9] = [
    (
        Fault::Duplicate,
        "prometheus_target_scrapes_sample_duplicate_timestamp",
        "Samples that came twice in one answer, or with another value than the stored one",
    ),
    (Fault::TooOld, "prometheus_target_scrapes_sample_out_of_order", "Samples older than may be stored"),
    (
        Fault::TooNew,
        "prometheus_target_scrapes_sample_out_of_bounds",
        "Samples further ahead than may be stored",
    ),
    (
        Fault::SampleLimit,
        "prometheus_target_scrapes_exceeded_sample_limit",
        "Scrapes with more samples than sample_limit",
    ),
    (
        Fault::LabelLimit,
        "prometheus_target_scrape_pool_exceeded_label_limits",
        "Scrapes with labels beyond label_limit, label_name_length_limit or label_value_length_limit",
    ),
    (
        Fault::BodyLimit,
        "prometheus_target_scrapes_exceeded_body_size_limit",
        "Scrapes with a longer answer than body_size_limit",
    ),
    (
        Fault::Refused,
        "flyball_scrape_app_series_refused",
        "Series that were not stored because there are too many or their labels are too long",
    ),
    (
        Fault::TargetLimit,
        "prometheus_target_scrape_pool_exceeded_target_limit",
        "Changes of the list of targets that left it longer than target_limit",
    ),
    (Fault::BadTarget, "prometheus_target_sync_failed", "Targets that could not be made after relabelling"),
];

/// What one scrape took and brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scraped {
    pub(crate) success: bool,
    pub(crate) samples: usize,
    pub(crate) took: Duration,
}

impl Metrics {
    /// Registers everything; the second call does nothing, for it would list each family twice.
    pub fn register(&self, registry: &mut Registry) {
        self.registered.get_or_init(|| self.list_in(registry));
    }

    fn list_in(&self, registry: &mut Registry) {
        registry.register(
            "prometheus_target_scrape_pool_targets",
            "Targets that are scraped",
            self.targets.clone(),
        );
        registry.register("flyball_scrape_app_scrapes", "Scrapes of applications", self.scrapes.clone());
        registry.register(
            "flyball_scrape_app_failures",
            "Scrapes of applications that failed",
            self.failures.clone(),
        );
        registry.register(
            "flyball_scrape_app_samples",
            "Samples that applications exposed",
            self.samples.clone(),
        );
        registry.register(
            "flyball_scrape_app_seconds",
            "Time that scrapes of applications took",
            self.seconds.clone(),
        );
        for ((_, name, help), family) in FAULTS.into_iter().zip(&self.faults) {
            registry.register(name, help, family.clone());
        }
    }

    pub(crate) fn targets(&self, job: &str, count: usize) {
        self.targets.get_or_create(&label(job)).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn scraped(&self, job: &str, scraped: Scraped) {
        let label = label(job);
        self.scrapes.get_or_create(&label).inc();
        if !scraped.success {
            self.failures.get_or_create(&label).inc();
        }
        self.samples.get_or_create(&label).inc_by(scraped.samples as u64);
        self.seconds.get_or_create(&label).inc_by(scraped.took.as_secs_f64());
    }

    pub(crate) fn fault(&self, job: &str, fault: Fault, count: usize) {
        let family = FAULTS.iter().position(|(known, ..)| *known == fault).map(|at| &self.faults[at]);
        if let Some(family) = family.filter(|_| count > 0) {
            family.get_or_create(&label(job)).inc_by(count as u64);
        }
    }
}

fn label(job: &str) -> JobLabel {
    JobLabel { scrape_job: job.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_carry_prometheus_names() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.register(&mut registry);
        metrics.targets("web", 3);
        let took = Duration::from_millis(500);
        metrics.scraped("web", Scraped { success: false, samples: 7, took });
        for (fault, ..) in FAULTS {
            metrics.fault("web", fault, 2);
        }
        metrics.fault("quiet", Fault::Refused, 0);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for line in [
            "prometheus_target_scrape_pool_targets{scrape_job=\"web\"} 3",
            "flyball_scrape_app_scrapes_total{scrape_job=\"web\"} 1",
            "flyball_scrape_app_failures_total{scrape_job=\"web\"} 1",
            "flyball_scrape_app_samples_total{scrape_job=\"web\"} 7",
            "flyball_scrape_app_seconds_total{scrape_job=\"web\"} 0.5",
            "prometheus_target_scrapes_exceeded_sample_limit_total{scrape_job=\"web\"} 2",
            "flyball_scrape_app_series_refused_total{scrape_job=\"web\"} 2",
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
        assert!(!page.contains("quiet"));
    }
}
