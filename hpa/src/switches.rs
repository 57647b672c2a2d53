//! The named departures from upstream, as annotations of an HPA.
//!
//! | Annotation | Value |
//! |---|---|
//! | `hpa.flyball.io/owned-pods` | `true` or `false` |
//! | `hpa.flyball.io/surge-aware` | `true` or `false` |
//! | `hpa.flyball.io/exact-ceiling` | `true` or `false` |
//! | `hpa.flyball.io/max-sample-age` | a time such as `45s`, or `0` for no limit |
//! | `hpa.flyball.io/fallback-replicas` | a count of at least 1, or `0` for no fallback |
//! | `hpa.flyball.io/fallback-after` | a time such as `3m` |
//!
//! Each goes before the flag of the same name. A value that cannot be read leaves the flag's, and is told. Pure.

use crate::decide::Overrides;
use flyball_model::time::parse_go_duration;
use std::collections::BTreeMap;
use std::fmt;

/// Start of the annotations' names.
pub const PREFIX: &str = "hpa.flyball.io/";
/// The names after it.
pub const NAMES: [&str; 6] =
    ["owned-pods", "surge-aware", "exact-ceiling", "max-sample-age", "fallback-replicas", "fallback-after"];

/// An annotation that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The annotation's name.
    pub annotation: String,
    /// What is wrong with its value.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata.annotations[{}]: {}", self.annotation, self.problem)
    }
}

/// Reads all of them.
pub fn read(annotations: &BTreeMap<String, String>) -> (Overrides, Vec<Fault>) {
    let mut reader = Reader { annotations, faults: Vec::new() };
    let overrides = Overrides {
        owned_pods: reader.value("owned-pods", boolean),
        surge_aware: reader.value("surge-aware", boolean),
        exact_ceiling: reader.value("exact-ceiling", boolean),
        max_sample_age_ms: reader.value("max-sample-age", duration_ms).map(|ms| (ms > 0).then_some(ms)),
        fallback_replicas: reader
            .value("fallback-replicas", count)
            .map(|replicas| (replicas > 0).then_some(replicas)),
        fallback_after_ms: reader.value("fallback-after", duration_ms),
    };
    (overrides, reader.faults)
}

struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn value<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let annotation = format!("{PREFIX}{name}");
        let text = self.annotations.get(&annotation)?.trim();
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.faults.push(Fault { annotation, problem: format!("{text:?} is not {expected}") });
                None
            }
        }
    }
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "true or false")
}

fn count(text: &str) -> Result<i32, &'static str> {
    text.parse().ok().filter(|count| *count >= 0).ok_or("a count from 0 to 2147483647")
}

fn duration_ms(text: &str) -> Result<i64, &'static str> {
    let duration = parse_go_duration(text).and_then(|duration| i64::try_from(duration.as_millis()).ok());
    duration.ok_or("a time such as 45s or 1m30s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> (Overrides, Vec<String>) {
        let annotations = pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned()));
        let (overrides, faults) = read(&annotations.collect());
        (overrides, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_annotation_is_read() {
        let (none, faults) = of(&[]);
        assert_eq!((none, faults.len()), (Overrides::default(), 0));
        let (all, faults) = of(&[
            ("owned-pods", "true"),
            ("surge-aware", "false"),
            ("exact-ceiling", "true"),
            ("max-sample-age", " 1.5m"),
            ("fallback-replicas", "5"),
            ("fallback-after", "10m"),
        ]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(
            all,
            Overrides {
                owned_pods: Some(true),
                surge_aware: Some(false),
                exact_ceiling: Some(true),
                max_sample_age_ms: Some(Some(90_000)),
                fallback_replicas: Some(Some(5)),
                fallback_after_ms: Some(600_000),
            }
        );
    }

    #[test]
    fn zero_switches_a_flag_off() {
        let (off, _) = of(&[("max-sample-age", "0"), ("fallback-replicas", "0")]);
        assert_eq!((off.max_sample_age_ms, off.fallback_replicas), (Some(None), Some(None)));
    }

    #[test]
    fn bad_values_are_told_and_leave_the_flag() {
        let (none, faults) =
            of(&[("owned-pods", "yes"), ("max-sample-age", "5"), ("fallback-replicas", "-1")]);
        assert_eq!(none, Overrides::default());
        assert_eq!(
            faults,
            [
                "metadata.annotations[hpa.flyball.io/owned-pods]: \"yes\" is not true or false",
                "metadata.annotations[hpa.flyball.io/max-sample-age]: \"5\" is not a time such as 45s or 1m30s",
                "metadata.annotations[hpa.flyball.io/fallback-replicas]: \"-1\" is not a count from 0 to 2147483647",
            ]
        );
        for text in ["", "s", "1x", "99999999999999999999s", "9223372036854775807h"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}
