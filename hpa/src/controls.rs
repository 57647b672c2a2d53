//! What the annotations of an HPA ask of this program beyond its spec. Pure.
//!
//! | Annotation | Value | Does |
//! |---|---|---|
//! | `hpa.flyball.io/pause` | `true`, `false` | decides and reports, and never writes the scale |
//! | `hpa.flyball.io/pin` | a count from `minReplicas` to `maxReplicas` | holds the target there, whatever metrics say |
//! | `hpa.flyball.io/direction` | `up`, `down`, `both` | scales in that direction only |
//! | `hpa.flyball.io/sync-period` | `1s` to `1h` | evaluates once in that time instead of whenever samples arrive |
//!
//! A value that cannot be read holds the target where it is: whoever wrote it wanted something else than free scaling. The
//! exceptions are the period and the switches of [`crate::switches`], where the default takes its place. A name of ours that is
//! not known is told, and does nothing else.

use crate::decide::{Decision, Reason};
use crate::switches;
use flyball_model::time::parse_go_duration;
use std::collections::BTreeMap;

/// `true`: never write the scale.
pub const PAUSE: &str = "hpa.flyball.io/pause";
/// The one count to hold.
pub const PIN: &str = "hpa.flyball.io/pin";
/// The one direction to scale in.
pub const DIRECTION: &str = "hpa.flyball.io/direction";
/// Time between two evaluations.
pub const SYNC_PERIOD: &str = "hpa.flyball.io/sync-period";

/// Shortest and longest period that may be asked for, milliseconds.
const PERIODS_MS: std::ops::RangeInclusive<i64> = 1_000..=3_600_000;

/// How the target is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// Not at all.
    #[default]
    Free,
    /// The scale is not written.
    Paused,
    /// It is kept at this count.
    Pinned(i32),
    /// It only grows.
    UpOnly,
    /// It only shrinks.
    DownOnly,
    /// An annotation cannot be read: the scale is not written.
    Unreadable,
}

impl Hold {
    /// Which changes are still made.
    pub fn allows(self) -> &'static str {
        match self {
            Hold::Free => "all",
            Hold::Paused | Hold::Pinned(_) | Hold::Unreadable => "none",
            Hold::UpOnly => "up",
            Hold::DownOnly => "down",
        }
    }
}

/// The annotations, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Controls {
    /// How the target is held.
    pub hold: Hold,
    /// Time between two evaluations, if it is set.
    pub period_ms: Option<i64>,
    /// What cannot be read, each naming its annotation.
    pub faults: Vec<String>,
}

impl Controls {
    /// Reads the annotations of an HPA with these bounds.
    pub fn of(annotations: &BTreeMap<String, String>, min: i32, max: i32) -> Self {
        let mut controls = Controls::default();
        let text = |name: &str| annotations.get(name).map(|value| value.trim());
        let mut holds = Vec::new();
        let mut faults = Vec::new();
        match text(PAUSE) {
            None | Some("false") => {}
            Some("true") => holds.push(Hold::Paused),
            Some(other) => faults.push(fault(PAUSE, &format!("{other:?} is neither true nor false"))),
        }
        match text(PIN).map(|value| (value, value.parse::<i32>())) {
            None => {}
            Some((_, Ok(count))) if (min..=max).contains(&count) => holds.push(Hold::Pinned(count)),
            Some((value, _)) => {
                let problem = format!("{value:?} is not a count from minReplicas {min} to maxReplicas {max}");
                faults.push(fault(PIN, &problem));
            }
        }
        match text(DIRECTION) {
            None | Some("both") => {}
            Some("up") => holds.push(Hold::UpOnly),
            Some("down") => holds.push(Hold::DownOnly),
            Some(other) => faults.push(fault(DIRECTION, &format!("{other:?} is none of up, down, both"))),
        }
        // The strictest comes first.
        controls.hold =
            if faults.is_empty() { holds.first().copied().unwrap_or_default() } else { Hold::Unreadable };
        if let Some(value) = text(SYNC_PERIOD) {
            let period_ms =
                parse_go_duration(value).and_then(|period| i64::try_from(period.as_millis()).ok());
            match period_ms.filter(|ms| PERIODS_MS.contains(ms)) {
                Some(ms) => controls.period_ms = Some(ms),
                None => faults.push(fault(SYNC_PERIOD, &format!("{value:?} is not a time from 1s to 1h"))),
            }
        }
        faults.extend(unknown(annotations));
        // Of the named departures from upstream the flag's value applies.
        faults.extend(switches::read(annotations).1.iter().map(ToString::to_string));
        controls.faults = faults;
        controls
    }

    /// The decision under the hold; what the metrics asked for stays visible in it.
    pub fn apply(&self, mut decision: Decision) -> Decision {
        let current = decision.current;
        decision.desired = match self.hold {
            Hold::Free => return decision,
            Hold::Paused | Hold::Unreadable => current,
            Hold::Pinned(count) => {
                decision.reason = if count == current { Reason::None } else { Reason::Pinned };
                count
            }
            // Bounds come before directions, as they do before `selectPolicy: Disabled`.
            Hold::UpOnly if decision.branch.reads_metrics() => decision.desired.max(current),
            Hold::DownOnly if decision.branch.reads_metrics() => decision.desired.min(current),
            Hold::UpOnly | Hold::DownOnly => decision.desired,
        };
        decision
    }

    /// Reason and message of the condition [`CONDITION`]; `None`: there is nothing to tell.
    pub fn condition(&self) -> Option<(&'static str, String)> {
        let told = match self.hold {
            _ if !self.faults.is_empty() => {
                let end = if self.hold == Hold::Unreadable {
                    "; the target is not scaled until that is mended"
                } else {
                    ""
                };
                ("InvalidAnnotation", format!("{}{end}", self.faults.join("; ")))
            }
            Hold::Free => return None,
            Hold::Paused => ("Paused", format!("the target is not scaled while annotation {PAUSE} is true")),
            Hold::Pinned(count) => ("Pinned", format!("the target is held at {count} by annotation {PIN}")),
            Hold::UpOnly => ("UpOnly", format!("the target only grows while annotation {DIRECTION} is up")),
            Hold::DownOnly => {
                ("DownOnly", format!("the target only shrinks while annotation {DIRECTION} is down"))
            }
            Hold::Unreadable => return None,
        };
        Some(told)
    }
}

/// Annotations of ours that nobody reads: misspelt, most likely.
fn unknown(annotations: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    let ours = annotations.keys().filter(|name| name.starts_with(switches::PREFIX));
    let is_known = |name: &str| {
        [PAUSE, PIN, DIRECTION, SYNC_PERIOD].contains(&name)
            || name.strip_prefix(switches::PREFIX).is_some_and(|name| switches::NAMES.contains(&name))
    };
    ours.filter(move |name| !is_known(name)).map(|name| fault(name, "no annotation of this name is known"))
}

fn fault(annotation: &str, problem: &str) -> String {
    format!("metadata.annotations[{annotation}]: {problem}")
}

/// Type of the condition that tells about holds; absent while there is none.
pub const CONDITION: &str = "ScalingHeld";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Branch, Proposals};

    fn controls(annotations: &[(&str, &str)]) -> Controls {
        let annotations = annotations.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Controls::of(&annotations, 2, 10)
    }

    fn decision(branch: Branch, current: i32, desired: i32) -> Decision {
        Decision {
            current,
            desired,
            branch,
            proposals: Proposals::default(),
            winner: None,
            raw: Some(desired),
            reason: Reason::None,
            stabilization: None,
            limit: None,
            record: None,
            failing_since_ms: None,
        }
    }

    #[test]
    fn each_annotation_holds_in_its_way() {
        use Branch::{AboveMax, Evaluated};
        /// Annotations, branch, current, decided, written.
        type Case = (&'static [(&'static str, &'static str)], Branch, i32, i32, i32);
        let cases: [Case; 13] = [
            (&[], Evaluated, 4, 8, 8),
            (&[(PAUSE, "true")], Evaluated, 4, 8, 4),
            (&[(PAUSE, "true")], AboveMax, 14, 10, 14),
            (&[(PAUSE, "false")], Evaluated, 4, 8, 8),
            (&[(PAUSE, "yes")], Evaluated, 4, 8, 4),
            (&[(PIN, "3")], Evaluated, 4, 8, 3),
            (&[(PIN, "11")], Evaluated, 4, 8, 4),
            (&[(PIN, "")], Evaluated, 4, 8, 4),
            (&[(PIN, "3"), (PAUSE, "true")], Evaluated, 4, 8, 4),
            (&[(DIRECTION, "up")], Evaluated, 4, 2, 4),
            (&[(DIRECTION, "up")], AboveMax, 14, 10, 10),
            (&[(DIRECTION, "down")], Evaluated, 4, 8, 4),
            (&[(DIRECTION, "down")], Evaluated, 4, 2, 2),
        ];
        for (annotations, branch, current, decided, written) in cases {
            let held = controls(annotations).apply(decision(branch, current, decided));
            assert_eq!(held.desired, written, "{annotations:?}");
            assert_eq!(held.raw, Some(decided), "{annotations:?}");
        }
    }

    #[test]
    fn faults_name_the_annotation_and_the_period_falls_back() {
        for (name, value) in
            [(PAUSE, "1"), (PIN, "x"), (PIN, "99"), (DIRECTION, "sideways"), (SYNC_PERIOD, "0s")]
        {
            let found = controls(&[(name, value)]);
            let (reason, message) = found.condition().unwrap();
            assert_eq!(reason, "InvalidAnnotation");
            assert!(message.contains(name) && message.contains(value), "{message}");
            assert_eq!(found.hold == Hold::Free, name == SYNC_PERIOD, "{name}");
        }
        let periods = [
            ("1s", Some(1_000)),
            ("1m30s", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("2h", None),
            ("500ms", None),
        ];
        for (text, expected) in periods {
            assert_eq!(controls(&[(SYNC_PERIOD, text)]).period_ms, expected, "{text}");
        }
        assert_eq!(controls(&[]).condition(), None);
        let misspelt = controls(&[("hpa.flyball.io/puase", "true"), ("hpa.flyball.io/owned-pods", "true")]);
        assert_eq!((misspelt.hold, misspelt.faults.len()), (Hold::Free, 1));
        assert!(misspelt.faults[0].contains("hpa.flyball.io/puase"), "{:?}", misspelt.faults);
        assert_eq!(controls(&[("other.io/pause", "maybe")]).condition(), None);
    }
}
