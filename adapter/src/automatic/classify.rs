//! What a series is, by its type or else by its name; and the names and query that follow.

use std::collections::BTreeSet;

use flyball_model::exposition::MetricType;

use crate::rules::{Quantile, SeriesShape};

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Counter,
    Gauge,
    /// The buckets of one.
    Histogram,
}

/// What a series is, or why it gives no metric. `names` are all series there are.
pub(super) fn class(
    shape: &SeriesShape,
    kind: Option<MetricType>,
    names: &BTreeSet<&str>,
) -> Result<Class, &'static str> {
    const CREATED: &str = "it is the time at which a series began";
    const QUANTILE: &str =
        "quantiles of a summary cannot be added up over series; its _count and _sum are served";
    let name = shape.name.as_str();
    let has = |label: &str| shape.labels.contains(label);
    let sibling = |base: Option<&str>, suffix: &str| {
        base.is_some_and(|base| names.contains(format!("{base}{suffix}").as_str()))
    };
    if name.ends_with("_bucket") && has("le") {
        return match kind {
            Some(MetricType::GaugeHistogram) => Err("its buckets go up and down, so they have no rate"),
            _ => Ok(Class::Histogram),
        };
    }
    let part = name.strip_suffix("_count").or_else(|| name.strip_suffix("_sum"));
    match kind {
        Some(MetricType::Counter | MetricType::Histogram | MetricType::Summary)
            if name.ends_with("_created") =>
        {
            Err(CREATED)
        }
        Some(MetricType::Summary) if has("quantile") => Err(QUANTILE),
        Some(MetricType::Counter | MetricType::Histogram | MetricType::Summary) => Ok(Class::Counter),
        Some(MetricType::GaugeHistogram) => Err("it is part of a histogram whose buckets go up and down"),
        Some(MetricType::Gauge | MetricType::Info | MetricType::StateSet) => Ok(Class::Gauge),
        None | Some(MetricType::Untyped) => match () {
            () if name.ends_with("_total") => Ok(Class::Counter),
            () if has("quantile") => Err(QUANTILE),
            () if sibling(part, "_bucket") => Ok(Class::Counter),
            // Of a summary both are there; a gauge may well end in one of them.
            () if sibling(part, "_count") && sibling(part, "_sum") => Ok(Class::Counter),
            () if sibling(name.strip_suffix("_created"), "_total")
                || sibling(name.strip_suffix("_created"), "_count") =>
            {
                Err(CREATED)
            }
            () => Ok(Class::Gauge),
        },
    }
}

impl Class {
    /// Names that follow from the type.
    pub fn own_names(self, series: &str) -> Vec<(String, Option<Quantile>)> {
        match self {
            Class::Gauge => vec![(series.to_owned(), None)],
            Class::Counter => {
                vec![(format!("{}_per_second", series.strip_suffix("_total").unwrap_or(series)), None)]
            }
            Class::Histogram => {
                let base = series.strip_suffix("_bucket").unwrap_or(series);
                let mut names = vec![(base.to_owned(), Some(Quantile::Asked))];
                let listed = super::LISTED_QUANTILES;
                names.extend(
                    listed
                        .iter()
                        .map(|(suffix, value)| (format!("{base}_{suffix}"), Some(Quantile::Fixed(*value)))),
                );
                names
            }
        }
    }

    /// Names that prometheus-adapter's default rules give, where they differ.
    pub fn borrowed_names(self, series: &str) -> Vec<String> {
        let container = series.strip_prefix("container_");
        let plain = container.unwrap_or(series);
        match self {
            Class::Histogram => Vec::new(),
            Class::Gauge => container.map(str::to_owned).into_iter().collect(),
            Class::Counter => {
                let base = plain.strip_suffix("_seconds_total").or_else(|| plain.strip_suffix("_total"));
                base.filter(|base| !base.is_empty()).map(str::to_owned).into_iter().collect()
            }
        }
    }

    /// The template of its query.
    pub fn query(self, shape: &SeriesShape, rate_window_ms: u64) -> String {
        let matchers = format!("<<.LabelMatchers>>{}", only_containers(shape));
        let window = window(rate_window_ms);
        match self {
            Class::Gauge => format!("sum(<<.Series>>{{{matchers}}}) by (<<.GroupBy>>)"),
            Class::Counter => format!("sum(rate(<<.Series>>{{{matchers}}}[{window}])) by (<<.GroupBy>>)"),
            Class::Histogram => format!(
                "histogram_quantile(<<.Quantile>>, sum(rate(<<.Series>>{{{matchers}}}[{window}])) by (le,<<.GroupBy>>))"
            ),
        }
    }
}

/// cAdvisor counts a container in its own series and again in its pod's, which has no container's name; and the sandbox
/// in one named `POD`. Networks belong to the pod alone.
fn only_containers(shape: &SeriesShape) -> &'static str {
    let counted_twice = shape.name.starts_with("container_")
        && !shape.name.starts_with("container_network_")
        && shape.labels.contains("container");
    if counted_twice { ",container!=\"\",container!=\"POD\"" } else { "" }
}

fn window(ms: u64) -> String {
    match ms {
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}
