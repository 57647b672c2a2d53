//! `global`, and the fields that it shares with jobs. Pure.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::super::job::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX, DROPPED_TARGETS_DEFAULT, Limits, Protocol};
use super::fields::{Fields, Item, Read};

/// Prometheus' default interval.
const INTERVAL: Duration = Duration::from_secs(60);
/// Prometheus' default time-out, unless the interval is shorter.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The format that is no text.
const PROTOBUF: &str = "PrometheusProto";

/// What holds for all jobs that do not say otherwise.
#[derive(Debug, Clone)]
pub(super) struct Global {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) shared: Shared,
}

/// What `global` and each job can say.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    pub(super) protocols: Option<Vec<Protocol>>,
    pub(super) legacy_names: Option<bool>,
    pub(super) escaping: Option<&'static str>,
    body_bytes: Option<usize>,
    samples: Option<NonZeroUsize>,
    labels: Option<NonZeroUsize>,
    label_name_bytes: Option<NonZeroUsize>,
    label_value_bytes: Option<NonZeroUsize>,
    targets: Option<NonZeroUsize>,
    dropped_targets: Option<NonZeroUsize>,
    pub(super) extra_metrics: Option<bool>,
}

impl Global {
    /// Without a section `global`.
    pub(super) fn default_checked() -> Read<Global> {
        Ok(Global { interval: INTERVAL, timeout: TIMEOUT, shared: Shared::default() })
    }
}

/// Reads the section.
pub(super) fn read(item: &Item<'_>) -> Read<Global> {
    let mut fields = item.fields()?;
    let interval = fields.read("scrape_interval", Item::duration)?.filter(|some| !some.is_zero());
    let interval = interval.unwrap_or(INTERVAL);
    let timeout = timeout(&mut fields, interval, TIMEOUT)?;
    let shared = shared(&mut fields)?;
    // Of no consequence without rules, alerts and remote writing.
    fields.ignore("evaluation_interval", Item::duration)?;
    fields.ignore("rule_query_offset", Item::duration)?;
    fields.ignore("external_labels", |item| {
        item.entries()?.iter().try_for_each(|(_, value)| value.text().map(|_| ()))
    })?;
    fields.refuse("query_log_file", "")?;
    fields.finish()?;
    Ok(Global { interval, timeout, shared })
}

/// The time-out of an interval; `inherited` is cut to the interval, one that is given must fit.
pub(super) fn timeout(fields: &mut Fields<'_>, interval: Duration, inherited: Duration) -> Read<Duration> {
    let Some(item) = fields.given("scrape_timeout") else { return Ok(inherited.min(interval)) };
    let timeout = item.duration()?;
    if timeout > interval {
        return Err(item.fault("it is longer than the scrape interval"));
    }
    Ok(if timeout.is_zero() { inherited.min(interval) } else { timeout })
}

/// Reads what both can say.
pub(super) fn shared(fields: &mut Fields<'_>) -> Read<Shared> {
    let protocols = fields.read("scrape_protocols", protocols)?;
    let legacy_names = fields.read("metric_name_validation_scheme", |item| match item.text()?.as_str() {
        "legacy" => Ok(true),
        "utf8" => Ok(false),
        other => Err(item.fault(format!("legacy or utf8 was expected, not {other:?}"))),
    })?;
    let escaping = fields.read("metric_name_escaping_scheme", escaping)?;
    let body_bytes = fields.read("body_size_limit", body_bytes)?.flatten();
    let extra_metrics = fields.read("extra_scrape_metrics", Item::boolean)?;
    let mut count = |key: &str| -> Read<Option<NonZeroUsize>> {
        let number = fields.read(key, Item::number)?.unwrap_or_default();
        Ok(NonZeroUsize::new(usize::try_from(number).unwrap_or(usize::MAX)))
    };
    let shared = Shared {
        protocols,
        legacy_names,
        escaping,
        body_bytes,
        samples: count("sample_limit")?,
        labels: count("label_limit")?,
        label_name_bytes: count("label_name_length_limit")?,
        label_value_bytes: count("label_value_length_limit")?,
        targets: count("target_limit")?,
        dropped_targets: count("keep_dropped_targets")?,
        extra_metrics,
    };
    histograms(fields)?;
    fields.refuse("scrape_failure_log_file", ": failures are in the log and on /api/v1/targets")?;
    Ok(shared)
}

/// There are no native histograms in text, so of what is said about them only a wish for them matters.
fn histograms(fields: &mut Fields<'_>) -> Read<()> {
    fields.ignore("always_scrape_classic_histograms", Item::boolean)?;
    fields.refuse("convert_classic_histograms_to_nhcb", ": there are no native histograms")?;
    fields.refuse("scrape_native_histograms", ": there are no native histograms")
}

impl Shared {
    /// The limits of a job that says this, under what `global` says.
    pub(super) fn limits(&self, global: &Shared) -> Limits {
        let kept = self.dropped_targets.or(global.dropped_targets).map_or(usize::MAX, NonZeroUsize::get);
        Limits {
            body_bytes: self.body_bytes.or(global.body_bytes).unwrap_or(BODY_BYTES_DEFAULT),
            samples: self.samples.or(global.samples),
            labels: self.labels.or(global.labels),
            label_name_bytes: self.label_name_bytes.or(global.label_name_bytes),
            label_value_bytes: self.label_value_bytes.or(global.label_value_bytes),
            targets: self.targets.or(global.targets),
            dropped_targets: kept.min(DROPPED_TARGETS_DEFAULT),
        }
    }
}

fn body_bytes(item: &Item<'_>) -> Read<Option<usize>> {
    let bytes = item.bytes()?;
    if bytes > BODY_BYTES_MAX as u64 {
        return Err(item.fault(format!("{BODY_BYTES_MAX} bytes are the most that an answer can have")));
    }
    Ok(Some(bytes as usize).filter(|bytes| *bytes > 0))
}

fn escaping(item: &Item<'_>) -> Read<&'static str> {
    let text = item.text()?;
    let known = ["allow-utf-8", "underscores", "dots", "values"].into_iter().find(|known| *known == text);
    known.ok_or_else(|| {
        item.fault(format!("allow-utf-8, underscores, dots or values was expected, not {text:?}"))
    })
}

fn protocols(item: &Item<'_>) -> Read<Vec<Protocol>> {
    let mut all = Vec::new();
    let items = item.items()?;
    for one in &items {
        // It is one of several that may be asked for, and the others are.
        if items.len() > 1 && one.text()? == PROTOBUF {
            continue;
        }
        let protocol = protocol(one)?;
        if all.contains(&protocol) {
            return Err(one.fault("it is there twice"));
        }
        all.push(protocol);
    }
    if all.is_empty() { Err(item.fault("it is empty")) } else { Ok(all) }
}

/// A format by its name.
pub(super) fn protocol(item: &Item<'_>) -> Read<Protocol> {
    let text = item.text()?;
    match Protocol::from_name(&text) {
        Some(protocol) => Ok(protocol),
        None if text == PROTOBUF => Err(item.fault("PrometheusProto is not supported: texts are")),
        None => Err(item.fault(format!("there is no format {text:?}"))),
    }
}
