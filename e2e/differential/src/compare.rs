//! What differs between two outcomes, and which differences are meant.

use std::fmt;

use serde_json::Value;

use crate::ours::Ours;
use crate::wire::{Case, Outcome};

/// A difference that is meant. The list is complete: everything else is a mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meant {
    /// A float beyond its integer's range: Go leaves the result to the processor (on amd64 the smallest integer, on arm64
    /// the nearest). Flyball takes the nearest, for a count that is too large must not become the smallest.
    Unspecified,
    /// The average that is shown, of no replicas or too large for an integer: the same cause. Upstream mends that after
    /// v1.37 as Flyball does.
    ShownAverage,
    /// A status that is written again though nothing in it changed: upstream compares times to the nanosecond, the API
    /// server keeps seconds.
    SameSecond,
}

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Meant::Unspecified => "a float beyond its integer's range, where Go does not say what comes out",
            Meant::SameSecond => "a status written again in the same second, unchanged",
            Meant::ShownAverage => "an average that is shown, of no replicas or beyond its integer's range",
        })
    }
}

/// How one case compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Equal,
    /// Equal up to the first difference, which is meant; what follows from it is not compared.
    Meant(Meant),
    /// The step and the field that differ, ours first.
    Differs {
        step: usize,
        what: &'static str,
        ours: String,
        theirs: String,
    },
}

/// Compares all steps.
pub fn compare(case: &Case, ours: &[Ours], theirs: &[Outcome]) -> Verdict {
    let mut meant = None;
    // Recommendations remember what came of such a float.
    let mut unspecified = false;
    if theirs.len() != case.steps.len() {
        let (ours, theirs) = (ours.len().to_string(), theirs.len().to_string());
        return Verdict::Differs { step: 0, what: "number of steps", ours, theirs };
    }
    let mut before = serde_json::to_value(&case.hpa.status).unwrap_or_default();
    let mut before_as_written = before.clone();
    for (step, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        if ours.replay_differs {
            let theirs = "the same as the decision".to_owned();
            return Verdict::Differs {
                step,
                what: "replay of the trace",
                ours: "another".to_owned(),
                theirs,
            };
        }
        let mut adjusted = theirs.clone();
        let is_shown_otherwise = replace_shown(&ours.outcome.status, &mut adjusted.status);
        if is_shown_otherwise {
            meant = Some(Meant::ShownAverage);
        }
        let unchanged = pruned(&before) == pruned(&adjusted.status);
        // Two averages beyond the range look the same to upstream, which then writes nothing.
        let looked_unchanged = pruned(&before_as_written) == pruned(&theirs.status);
        if is_shown_otherwise && looked_unchanged && !unchanged && !adjusted.wrote {
            adjusted.wrote = ours.outcome.wrote;
        }
        before = adjusted.status.clone();
        before_as_written = theirs.status.clone();
        if unchanged && adjusted.wrote && !ours.outcome.wrote {
            adjusted.wrote = false;
            meant = Some(Meant::SameSecond);
        }
        unspecified |= ours.out_of_range;
        match difference(&ours.outcome, &adjusted) {
            None => {}
            Some(_) if unspecified => return Verdict::Meant(Meant::Unspecified),
            Some((what, ours, theirs)) => return Verdict::Differs { step, what, ours, theirs },
        }
    }
    meant.map_or(Verdict::Equal, Verdict::Meant)
}

fn difference(ours: &Outcome, theirs: &Outcome) -> Option<(&'static str, String, String)> {
    let text = |value: &Value| value.to_string();
    if ours.replicas != theirs.replicas {
        return Some(("replicas", ours.replicas.to_string(), theirs.replicas.to_string()));
    }
    let (own, other) = (pruned(&ours.status), pruned(&theirs.status));
    if own != other {
        return Some(("status", text(&own), text(&other)));
    }
    if ours.events != theirs.events {
        return Some(("events", format!("{:?}", ours.events), format!("{:?}", theirs.events)));
    }
    if ours.wrote != theirs.wrote {
        return Some(("status written", ours.wrote.to_string(), theirs.wrote.to_string()));
    }
    (ours.error.is_empty() != theirs.error.is_empty())
        .then(|| ("error", ours.error.clone(), theirs.error.clone()))
}

/// Absent, null and empty mean the same in Go's JSON.
fn pruned(value: &Value) -> Value {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !is_empty(value));
            Value::Object(kept.map(|(name, value)| (name.clone(), pruned(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(pruned).collect()),
        _ => value.clone(),
    }
}

/// The smallest 64-bit integer, in milli-units.
const SMALLEST: &str = "-9223372036854775808m";

/// The largest. Of a value that large upstream shows the share of each replica, rounded to no purpose.
const LARGEST: &str = "9223372036854775807m";

/// Puts our average in place of one that left its integer's range; true if there was one.
fn replace_shown(ours: &Value, theirs: &mut Value) -> bool {
    let mut replaced = false;
    let Some(metrics) = theirs.get_mut("currentMetrics").and_then(Value::as_array_mut) else { return false };
    for (index, metric) in metrics.iter_mut().enumerate() {
        for kind in ["object", "external"] {
            let shown = metric.pointer_mut(&format!("/{kind}/current/averageValue"));
            let own = &ours["currentMetrics"][index][kind]["current"]["averageValue"];
            let is_beyond =
                |shown: &&mut Value| shown.as_str() == Some(SMALLEST) || own.as_str() == Some(LARGEST);
            if let Some(shown) = shown.filter(is_beyond).filter(|shown| **shown != *own) {
                *shown = own.clone();
                replaced = true;
            }
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outcome(status: Value) -> Outcome {
        Outcome { replicas: 3, status, ..Outcome::default() }
    }

    fn verdict(ours: Outcome, theirs: Outcome, out_of_range: bool) -> Verdict {
        verdict_of_steps(vec![(ours, theirs)], out_of_range)
    }

    fn verdict_of_steps(steps: Vec<(Outcome, Outcome)>, out_of_range: bool) -> Verdict {
        let case = crate::random::case(1);
        let case = Case { steps: case.steps[..steps.len()].to_vec(), ..case };
        let (ours, theirs): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let ours: Vec<_> =
            ours.into_iter().map(|outcome| Ours { outcome, out_of_range, replay_differs: false }).collect();
        compare(&case, &ours, &theirs)
    }

    #[test]
    fn absent_is_empty_and_nothing_else_is() {
        let (bare, null) =
            (json!({ "currentReplicas": 3 }), json!({ "currentReplicas": 3, "conditions": null }));
        assert_eq!(verdict(outcome(bare.clone()), outcome(null), false), Verdict::Equal);
        let other = verdict(outcome(bare), outcome(json!({ "currentReplicas": 4 })), false);
        assert!(matches!(other, Verdict::Differs { what: "status", .. }), "{other:?}");
    }

    #[test]
    fn counts_and_events_are_compared() {
        let more = Outcome { replicas: 4, ..outcome(json!({})) };
        let differs = verdict(outcome(json!({})), more.clone(), false);
        assert!(matches!(differs, Verdict::Differs { what: "replicas", .. }), "{differs:?}");
        assert_eq!(verdict(outcome(json!({})), more, true), Verdict::Meant(Meant::Unspecified));
        let told = Outcome { events: vec![["a".into(), "b".into(), "c".into()]], ..outcome(json!({})) };
        let differs = verdict(outcome(json!({})), told, false);
        assert!(matches!(differs, Verdict::Differs { what: "events", .. }), "{differs:?}");
    }

    #[test]
    fn an_average_beyond_the_range_is_meant() {
        let status = |shown: &str| json!({ "currentMetrics": [{ "external": { "current": { "averageValue": shown } } }] });
        let (ours, theirs) = (outcome(status("0")), outcome(status(SMALLEST)));
        assert_eq!(verdict(ours.clone(), theirs, false), Verdict::Meant(Meant::ShownAverage));
        assert!(matches!(verdict(ours, outcome(status("1")), false), Verdict::Differs { .. }));
    }

    /// Ours went from one average to another; upstream shows the smallest integer for both and so sees no change.
    #[test]
    fn averages_beyond_the_range_that_look_the_same_are_not_written() {
        let status = |shown: &str| json!({ "currentMetrics": [{ "object": { "current": { "averageValue": shown } } }] });
        let wrote = |shown: &str, wrote| Outcome { wrote, ..outcome(status(shown)) };
        let first = (wrote("0", true), wrote(SMALLEST, true));
        let steps = |second| vec![first.clone(), second];
        let same = verdict_of_steps(steps((wrote(LARGEST, true), wrote(SMALLEST, false))), false);
        assert_eq!(same, Verdict::Meant(Meant::ShownAverage));
        let lost = verdict_of_steps(steps((wrote("7", true), wrote("7", false))), false);
        assert!(matches!(lost, Verdict::Differs { what: "status written", .. }), "{lost:?}");
    }
}
