//! What is known beside the series: targets, metadata, the process, the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::error::ApiError;
use super::facts::{Dropped, DroppedTarget, Metadata, Target};
use super::params::go_reason;
use super::{Api, Data, Outcome, Params};
use crate::matchers;
use crate::promql::parse::parse_selector;
use crate::series::METRIC_NAME;

/// The Prometheus whose API and language this is; clients choose features by it.
pub const COMPATIBLE_VERSION: &str = "3.5.0";

/// How much of the newest data the statistics of the store look at; as much as a head of Prometheus holds.
const HEAD_MS: i64 = 3 * 3600 * 1000;

/// Entries of each statistic, unless asked for otherwise.
const DEFAULT_STATISTICS: usize = 10;
/// Most that may be asked for.
const MAX_STATISTICS: usize = 10_000;

/// `/rules`: there are none, but the request has to be one.
pub(super) fn rules(params: &Params) -> Outcome {
    params.selectors()?;
    let kind = params.first("type").to_ascii_lowercase();
    if !["", "alert", "record"].contains(&kind.as_str()) {
        return Err(ApiError::parameter("type", format!("not supported value {kind:?}")));
    }
    let without_alerts = params.first("exclude_alerts").to_ascii_lowercase();
    if !["", "1", "t", "true", "0", "f", "false"].contains(&without_alerts.as_str()) {
        let reason = format!(
            "error converting exclude_alerts: strconv.ParseBool: parsing {without_alerts:?}: invalid syntax"
        );
        return Err(ApiError::parameter("exclude_alerts", reason));
    }
    check_pages(params)?;
    Ok(Data::of(r#"{"groups":[]}"#))
}

/// Rules come page by page, if that is asked for.
fn check_pages(params: &Params) -> Result<(), ApiError> {
    let limit = params.first("group_limit");
    if limit.is_empty() {
        if params.first("group_next_token").is_empty() {
            return Ok(());
        }
        let reason = "group_limit needs to be present in order to paginate over the groups";
        return Err(ApiError::parameter("group_next_token", reason));
    }
    let number = limit.parse::<i32>().map_err(|error| {
        let reason = go_reason(&error);
        let reason =
            format!("group_limit needs to be a valid number: strconv.ParseInt: parsing {limit:?}: {reason}");
        ApiError::parameter("group_limit", reason)
    })?;
    if number <= 0 {
        return Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0"));
    }
    Ok(())
}

/// Facts are plain data, whose JSON cannot fail.
fn written(value: &impl Serialize) -> Data {
    Data::of(serde_json::to_string(value).unwrap_or_else(|_| "null".into()))
}

impl Api<'_> {
    /// `/targets`
    pub(super) fn targets(&self, params: &Params) -> Outcome {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Targets {
            active_targets: Vec<Target>,
            dropped_targets: Vec<DroppedTarget>,
            /// Of all jobs, whichever is asked for; null where dropped targets are not.
            dropped_target_counts: Option<BTreeMap<String, usize>>,
        }
        let state = params.first("state").to_ascii_lowercase();
        let pool = params.first("scrapePool");
        let mut active_targets = self.facts.targets();
        active_targets.retain(|target| {
            matches!(state.as_str(), "" | "any" | "active") && (pool.is_empty() || target.scrape_pool == pool)
        });
        // Like Prometheus: what is not asked for is an empty list.
        let asked = matches!(state.as_str(), "" | "any" | "dropped");
        let Dropped { targets: mut dropped_targets, counts } =
            if asked { self.facts.dropped() } else { Dropped::default() };
        dropped_targets.retain(|target| pool.is_empty() || target.scrape_pool == pool);
        let dropped_target_counts = asked.then_some(counts);
        Ok(written(&Targets { active_targets, dropped_targets, dropped_target_counts }))
    }

    /// `/scrape_pools`
    pub(super) fn scrape_pools(&self) -> Outcome {
        let with_targets = self.facts.targets().into_iter().map(|target| target.scrape_pool);
        // A job that finds nothing, or drops all, is one too.
        let mut pools: Vec<String> = with_targets.chain(self.facts.dropped().counts.into_keys()).collect();
        pools.sort();
        pools.dedup();
        Ok(written(&BTreeMap::from([("scrapePools", pools)])))
    }

    /// `/metadata`
    pub(super) fn metadata(&self, params: &Params) -> Outcome {
        let number = |name: &str| match params.first(name) {
            "" => Ok(usize::MAX),
            text => text
                .parse::<i64>()
                .map(|number| usize::try_from(number).unwrap_or(usize::MAX))
                .map_err(|_| ApiError::bad_data(format!("{name} must be a number"))),
        };
        let (limit, per_metric) = (number("limit")?, number("limit_per_metric")?);
        let wanted = params.first("metric");
        let mut known = self.facts.metadata();
        known.retain(|name, _| wanted.is_empty() || name == wanted);
        /// The order in which Prometheus writes it at this path.
        #[derive(Serialize)]
        struct Entry {
            #[serde(rename = "type")]
            kind: String,
            unit: String,
            help: String,
        }
        let kept: BTreeMap<_, Vec<Entry>> = known
            .into_iter()
            .take(limit)
            .map(|(name, mut entries)| {
                if per_metric > 0 {
                    entries.truncate(per_metric);
                }
                let entry = |Metadata { kind, help, unit }| Entry { kind, unit, help };
                (name, entries.into_iter().map(entry).collect())
            })
            .collect();
        Ok(written(&kept))
    }

    /// `/targets/metadata`
    pub(super) fn targets_metadata(&self, params: &Params) -> Outcome {
        #[derive(Serialize)]
        struct Entry {
            target: BTreeMap<String, String>,
            /// Left out where one metric is asked for.
            #[serde(skip_serializing_if = "String::is_empty")]
            metric: String,
            #[serde(flatten)]
            metadata: Metadata,
        }
        let limit = match params.first("limit") {
            "" => usize::MAX,
            text => {
                let number: i64 = text.parse().map_err(|_| ApiError::bad_data("limit must be a number"))?;
                usize::try_from(number).unwrap_or(usize::MAX)
            }
        };
        let matchers = match params.first("match_target") {
            "" => Vec::new(),
            text => {
                let selector = parse_selector(text)
                    .map_err(|error| ApiError::parameter("match_target", error.to_string()))?;
                matchers::compile(&selector.matchers)?
            }
        };
        let wanted = params.first("metric");
        let mut entries: Vec<Entry> = Vec::new();
        self.facts.each_book(&mut |target, book| {
            // As in Prometheus, the last target that fits is told whole.
            if entries.len() >= limit || self.watch.stop().is_some() {
                return ControlFlow::Break(());
            }
            let value = |name: &str| target.get(name).map_or("", String::as_str);
            if !matchers.iter().all(|matcher| matcher.matches(value(&matcher.name))) {
                return ControlFlow::Continue(());
            }
            let entry = |metric: String, metadata: &Metadata| Entry {
                target: target.clone(),
                metric,
                metadata: metadata.clone(),
            };
            if wanted.is_empty() {
                entries.extend(book.iter().map(|(name, metadata)| entry(name.clone(), metadata)));
            } else {
                entries.extend(book.get(wanted).map(|metadata| entry(String::new(), metadata)));
            }
            ControlFlow::Continue(())
        });
        self.stopped()?;
        Ok(written(&entries))
    }

    /// `/status/buildinfo`
    pub(super) fn build_info(&self) -> Data {
        Data::of(format!(
            r#"{{"version":"{COMPATIBLE_VERSION}","revision":"flyball-{0}","branch":"flyball","buildUser":"","buildDate":"","goVersion":""}}"#,
            env!("CARGO_PKG_VERSION")
        ))
    }

    /// `/status/runtimeinfo`
    pub(super) fn runtime_info(&self) -> Data {
        written(&self.facts.runtime())
    }

    /// `/status/flags`
    pub(super) fn flags(&self) -> Data {
        written(&self.facts.flags())
    }

    /// `/status/config`
    pub(super) fn config(&self) -> Data {
        written(&BTreeMap::from([("yaml", self.facts.config())]))
    }

    /// `/status/tsdb`
    pub(super) fn tsdb_status(&self, params: &Params) -> Outcome {
        let limit = match params.first("limit") {
            "" => DEFAULT_STATISTICS,
            text => {
                text.parse::<usize>().ok().filter(|limit| (1..=MAX_STATISTICS).contains(limit)).ok_or_else(
                    || ApiError::bad_data("limit must be a positive number and not exceed 10000"),
                )?
            }
        };
        let start_ms = self.now_ms.saturating_sub(HEAD_MS);
        let mut by_metric: BTreeMap<&str, u64> = BTreeMap::new();
        let mut by_pair: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let series = self.source.series(&[], start_ms, self.now_ms)?;
        for labels in &series {
            self.stopped()?;
            *by_metric.entry(labels.get(METRIC_NAME).unwrap_or_default()).or_default() += 1;
            for pair in labels.iter() {
                *by_pair.entry(pair).or_default() += 1;
            }
        }
        let mut values: BTreeMap<&str, u64> = BTreeMap::new();
        let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
        for &(name, value) in by_pair.keys() {
            *values.entry(name).or_default() += 1;
            *bytes.entry(name).or_default() += value.len() as u64;
        }
        let head = Head {
            num_series: series.len(),
            num_label_pairs: by_pair.len(),
            chunk_count: self.facts.chunks(),
            min_time: start_ms,
            max_time: self.now_ms,
        };
        let pairs = by_pair.iter().map(|((name, value), count)| (format!("{name}={value}"), *count));
        let named = |counts: BTreeMap<&str, u64>| {
            top(counts.into_iter().map(|(name, count)| (name.to_owned(), count)), limit)
        };
        Ok(written(&TsdbStatus {
            head_stats: head,
            series_count_by_metric_name: named(by_metric),
            label_value_count_by_label_name: named(values),
            memory_in_bytes_by_label_name: named(bytes),
            series_count_by_label_value_pair: top(pairs, limit),
        }))
    }

    fn stopped(&self) -> Result<(), ApiError> {
        use crate::promql::engine::{Error, Stop};
        match self.watch.stop() {
            None => Ok(()),
            Some(Stop::TimedOut) => Err(Error::TimedOut.into()),
            Some(Stop::Canceled) => Err(Error::Canceled.into()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    num_series: usize,
    num_label_pairs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_count: Option<u64>,
    min_time: i64,
    max_time: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: Head,
    series_count_by_metric_name: Vec<Statistic>,
    label_value_count_by_label_name: Vec<Statistic>,
    memory_in_bytes_by_label_name: Vec<Statistic>,
    series_count_by_label_value_pair: Vec<Statistic>,
}

#[derive(Serialize)]
struct Statistic {
    name: String,
    value: u64,
}

/// The largest first.
fn top(counts: impl Iterator<Item = (String, u64)>, limit: usize) -> Vec<Statistic> {
    let mut all: Vec<Statistic> = counts.map(|(name, value)| Statistic { name, value }).collect();
    all.sort_by(|left, right| right.value.cmp(&left.value).then_with(|| left.name.cmp(&right.name)));
    all.truncate(limit);
    all
}
