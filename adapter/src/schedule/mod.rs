//! External metrics from a calendar: a pure function of rules and `now`.

use std::collections::BTreeMap;

use flyball_model::selector::LabelSelector;
use serde::Deserialize;

use crate::config::{Config, ConfigError};

/// One metric, as written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Name of the external metric.
    pub name: String,
}

/// What a schedule says now.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleValue {
    /// Labels of the metric.
    pub labels: BTreeMap<String, String>,
    /// In thousandths.
    pub milli: i64,
}

/// All schedules of a file, checked.
#[derive(Debug, Clone, Default)]
pub struct Schedules {}

impl Schedules {
    /// Checks the schedules of a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn compile(_config: &Config) -> Result<Schedules, Vec<ConfigError>> {
        Ok(Schedules {})
    }

    /// Names of the metrics, sorted, each once.
    pub fn metrics(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Values of a metric for a namespace; `None` when no schedule has this name there.
    pub fn values(
        &self,
        _metric: &str,
        _namespace: &str,
        _selector: &LabelSelector,
        _now_ms: i64,
    ) -> Option<Vec<ScheduleValue>> {
        None
    }
}
