//! The labels of a series: what the target exposed, the target's own, and the job's rules. Pure.

use flyball_model::exposition::{MetricType, SampleRef};
use flyball_model::labels::Labels;

use super::super::bounds;
use super::super::job::{Job, Limits};
use super::super::labelset::LabelSet;
use super::super::relabel;

/// Label under which a metric's name stands.
pub(in super::super) const NAME: &str = "__name__";
/// What an exposed label is called that the target has itself.
const EXPORTED: &str = "exported_";
/// How much of a name or value an error shows, characters.
const SHOWN_CHARS: usize = 50;

/// What becomes of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Relabelling drops it.
    Dropped,
    /// It has these labels.
    Kept(Labels),
}

/// Why a series makes the whole answer fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// Rules took its name.
    #[error("a series has no name after relabelling ({0})")]
    NoName(String),
    /// A label is called as the metric's name is.
    #[error("label name \"__name__\" is not unique: {0}")]
    TwoNames(String),
    /// A name of a kind that the job does not take.
    #[error("{0:?} is no valid name")]
    BadName(String),
    /// Too many labels.
    #[error("label_limit exceeded: {metric} has {count} labels, {limit} are allowed")]
    TooManyLabels {
        /// Its name, cut.
        metric: String,
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A label's name is too long.
    #[error(
        "label_name_length_limit exceeded: label {name} of {metric} has a name of {bytes} bytes, {limit} are allowed"
    )]
    LongName {
        /// Its name, cut.
        metric: String,
        /// The label, cut.
        name: String,
        /// How long.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A label's value is too long.
    #[error(
        "label_value_length_limit exceeded: label {name} of {metric} has a value of {bytes} bytes, {limit} are allowed"
    )]
    LongValue {
        /// Its name, cut.
        metric: String,
        /// The label, cut.
        name: String,
        /// How long.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}

impl SeriesError {
    /// Whether a limit of the job is the reason.
    pub(super) fn is_limit(&self) -> bool {
        !matches!(self, SeriesError::NoName(_) | SeriesError::BadName(_) | SeriesError::TwoNames(_))
    }
}

/// Labels of a sample of a family of this type.
pub(super) fn of_sample(
    job: &Job,
    target: &Labels,
    sample: &SampleRef<'_>,
    kind: MetricType,
) -> Result<Outcome, SeriesError> {
    if sample.label(NAME).is_some() {
        return Err(SeriesError::TwoNames(cut(sample.name)));
    }
    let mut set = if job.honor_labels { honored(target, sample) } else { exported(target, sample) };
    for (name, value) in &sample.labels {
        if let Some(normal) = bounds::normal(kind, name, value)
            && set.get(name) == value
        {
            set.set(*name, normal);
        }
    }
    if !relabel::apply(&job.metric_relabel, &mut set) || set.is_empty() {
        return Ok(Outcome::Dropped);
    }
    check(&set, job)?;
    set.to_labels().map(Outcome::Kept).map_err(|_| SeriesError::TooManyLabels {
        metric: cut(set.get(NAME)),
        count: set.len(),
        limit: flyball_model::labels::MAX_LABELS,
    })
}

/// What is exposed wins, even an empty value.
fn honored(target: &Labels, sample: &SampleRef<'_>) -> LabelSet {
    let mut set = exposed(sample);
    for (name, value) in target.iter() {
        if sample.label(name).is_none() {
            set.set(name, value);
        }
    }
    set
}

/// The target's labels win; what they hide is kept under another name.
fn exported(target: &Labels, sample: &SampleRef<'_>) -> LabelSet {
    let mut set = exposed(sample);
    let mut hidden = Vec::new();
    for (name, value) in target.iter() {
        let exposed = set.get(name).to_owned();
        if !exposed.is_empty() {
            hidden.push((name, exposed));
        }
        set.set(name, value);
    }
    hidden.sort_by_key(|(name, _)| name.len());
    for (name, exposed) in hidden {
        let mut name = format!("{EXPORTED}{name}");
        while !set.get(&name).is_empty() {
            name.insert_str(0, EXPORTED);
        }
        set.set(name, exposed);
    }
    set
}

fn exposed(sample: &SampleRef<'_>) -> LabelSet {
    let name = std::iter::once((NAME, sample.name));
    name.chain(sample.labels.iter().map(|(name, value)| (*name, &**value))).collect()
}

fn check(set: &LabelSet, job: &Job) -> Result<(), SeriesError> {
    let metric = set.get(NAME);
    if metric.is_empty() {
        let labels: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        return Err(SeriesError::NoName(cut(&labels.join(","))));
    }
    if job.legacy_names {
        let bad = std::iter::once((metric, true)).chain(set.iter().map(|(name, _)| (name, false)));
        if let Some((name, _)) = bad.into_iter().find(|(name, colons)| !is_legacy(name, *colons)) {
            return Err(SeriesError::BadName(cut(name)));
        }
    }
    check_limits(set, metric, &job.limits)
}

fn check_limits(set: &LabelSet, metric: &str, limits: &Limits) -> Result<(), SeriesError> {
    let count = set.len();
    if let Some(limit) = limits.labels.filter(|limit| count > limit.get()) {
        return Err(SeriesError::TooManyLabels { metric: cut(metric), count, limit: limit.get() });
    }
    for (name, value) in set.iter() {
        if let Some(limit) = limits.label_name_bytes.filter(|limit| name.len() > limit.get()) {
            let (bytes, limit) = (name.len(), limit.get());
            return Err(SeriesError::LongName { metric: cut(metric), name: cut(name), bytes, limit });
        }
        if let Some(limit) = limits.label_value_bytes.filter(|limit| value.len() > limit.get()) {
            let (bytes, limit) = (value.len(), limit.get());
            return Err(SeriesError::LongValue { metric: cut(metric), name: cut(name), bytes, limit });
        }
    }
    Ok(())
}

/// Names before UTF-8 was allowed: letters, digits and underscores, in names of metrics colons too.
fn is_legacy(name: &str, colons: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}
