//! External metrics from a calendar: a pure function of rules and `now`.
//!
//! A planned floor is then a plain entry of an HPA: an External metric with `averageValue: "1"`, whose value is the number
//! of replicas. In the configuration file, beside the rules:
//!
//! ```yaml
//! schedules:
//! - name: shop-floor
//!   timeZone: Europe/Berlin      # UTC when absent
//!   namespaces: [shop]           # who may ask; everybody when absent
//!   labels: {team: checkout}     # of the metric; none when absent
//!   outside: 0                   # while no window is open; 0 when absent
//!   windows:
//!   - days: [Mon-Fri]            # the local day on which the window opens
//!     from: "08:00"
//!     to: "20:00"                # not later than from: on the next day
//!     value: 12
//!     ramp: 30m                  # none when absent
//! ```
//!
//! The value is that of the open window, of several the largest, else `outside`. A ramp leads from `outside` to the value
//! in the time *before* the window opens, so that all of it is there at `from`, and back in the time after it closes. Local
//! times follow the zone's rules: one that the clock skips is taken as much later, one that comes twice is the first.

mod read;

use std::collections::BTreeMap;

use flyball_model::quantity::{Quantity, QuantityFormat};
use flyball_model::selector::LabelSelector;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
pub use read::{ScheduleConfig, WindowConfig};

use crate::config::{Config, ConfigError};

/// Most schedules of one file.
pub const MAX_SCHEDULES: usize = 1000;
/// Most windows of one schedule.
pub const MAX_WINDOWS: usize = 100;
/// Longest ramp, milliseconds.
pub const MAX_RAMP_MS: i64 = 24 * 3_600_000;

/// What a schedule says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleValue {
    /// Labels of the metric.
    pub labels: BTreeMap<String, String>,
    /// In thousandths.
    pub milli: i64,
}

/// A schedule, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Where it begins.
    pub line: u64,
    /// Name of the metric.
    pub name: String,
    /// Who may ask; everybody when empty.
    pub namespaces: Vec<String>,
    /// Labels of the metric.
    pub labels: BTreeMap<String, String>,
    /// What it says now, in thousandths.
    pub milli: i64,
}

impl Scheduled {
    /// Whether a namespace may ask.
    pub fn is_for(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|have| have == namespace)
    }
}

impl std::fmt::Display for Scheduled {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = Quantity::from_milli(self.milli, QuantityFormat::DecimalSi);
        write!(out, "line {}: {} is {value} now", self.line, self.name)?;
        if !self.namespaces.is_empty() {
            write!(out, ", for {}", self.namespaces.join(", "))?;
        }
        for (index, (label, value)) in self.labels.iter().enumerate() {
            write!(out, "{}{label}={value}", if index == 0 { ", with " } else { "," })?;
        }
        Ok(())
    }
}

/// All schedules of a file, checked.
#[derive(Debug, Clone, Default)]
pub struct Schedules(Vec<Schedule>);

#[derive(Debug, Clone)]
struct Schedule {
    name: String,
    line: u64,
    zone: TimeZone,
    /// Everybody when empty.
    namespaces: Vec<String>,
    labels: BTreeMap<String, String>,
    outside_milli: i64,
    windows: Vec<Window>,
}

#[derive(Debug, Clone)]
struct Window {
    days: Vec<Weekday>,
    from: Time,
    to: Time,
    /// `to` is on the day after `from`.
    overnight: bool,
    milli: i64,
    ramp_ms: i64,
}

impl Schedules {
    /// Checks the schedules of a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn compile(config: &Config) -> Result<Schedules, Vec<ConfigError>> {
        read::compile(&config.schedules).map(Schedules)
    }

    /// Names of the metrics, sorted, each once.
    pub fn metrics(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|schedule| schedule.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All of them, in the order of the file.
    pub fn now(&self, now_ms: i64) -> Vec<Scheduled> {
        let one = |schedule: &Schedule| Scheduled {
            line: schedule.line,
            name: schedule.name.clone(),
            namespaces: schedule.namespaces.clone(),
            labels: schedule.labels.clone(),
            milli: schedule.milli_at(now_ms),
        };
        self.0.iter().map(one).collect()
    }

    /// Values of a metric for a namespace; `None` when no schedule has this name there.
    pub fn values(
        &self,
        metric: &str,
        namespace: &str,
        selector: &LabelSelector,
        now_ms: i64,
    ) -> Option<Vec<ScheduleValue>> {
        let open = |schedule: &&Schedule| {
            schedule.name == metric
                && (schedule.namespaces.is_empty()
                    || schedule.namespaces.iter().any(|have| have == namespace))
        };
        let mut found = self.0.iter().filter(open).peekable();
        found.peek()?;
        let chosen = found.filter(|schedule| selector.matches_map(&schedule.labels));
        Some(
            chosen
                .map(|schedule| ScheduleValue {
                    labels: schedule.labels.clone(),
                    milli: schedule.milli_at(now_ms),
                })
                .collect(),
        )
    }
}

impl Schedule {
    fn milli_at(&self, now_ms: i64) -> i64 {
        let contributions =
            self.windows.iter().filter_map(|window| window.milli_at(now_ms, &self.zone, self.outside_milli));
        contributions.max().unwrap_or(self.outside_milli)
    }
}

impl Window {
    /// Its value now; `None` while it is closed.
    fn milli_at(&self, now_ms: i64, zone: &TimeZone, outside_milli: i64) -> Option<i64> {
        let today = zone.to_datetime(Timestamp::from_millisecond(now_ms).ok()?).date();
        // A window of yesterday may reach into today, with a ramp into the day after; a ramp of tomorrow's begins today.
        let days = (-3..=2).filter_map(|days| today.checked_add(Span::new().days(days)).ok());
        days.filter(|day| self.days.contains(&day.weekday()))
            .filter_map(|day| self.milli_on(day, now_ms, zone, outside_milli))
            .max()
    }

    fn milli_on(&self, day: Date, now_ms: i64, zone: &TimeZone, outside_milli: i64) -> Option<i64> {
        let last = if self.overnight { day.tomorrow().ok()? } else { day };
        let instant = |day: Date, time: Time| {
            Some(zone.to_ambiguous_timestamp(day.to_datetime(time)).compatible().ok()?.as_millisecond())
        };
        let (opens_ms, closes_ms) = (instant(day, self.from)?, instant(last, self.to)?);
        if (opens_ms..closes_ms).contains(&now_ms) {
            return Some(self.milli);
        }
        let away_ms = if now_ms < opens_ms { opens_ms - now_ms } else { now_ms - closes_ms };
        if away_ms >= self.ramp_ms {
            return None;
        }
        let difference = i128::from(self.milli) - i128::from(outside_milli);
        let part = difference * i128::from(self.ramp_ms - away_ms) / i128::from(self.ramp_ms);
        i64::try_from(i128::from(outside_milli) + part).ok()
    }
}

#[cfg(test)]
mod tests;
