//! One measured value of one series.

use crate::labels::Labels;

/// A value of the series `name{labels}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Metric name, for example `container_cpu_usage_seconds_total`.
    pub name: String,
    /// Labels without the metric name.
    pub labels: Labels,
    /// The value in the unit that the metric's name says; may be NaN or infinite.
    pub value: f64,
    /// When the source measured it, Unix milliseconds; `None` when the source did not say, which means "at the scrape".
    pub timestamp_ms: Option<i64>,
}
