//! Random lives of one HPA: whatever happens, bounds and policies hold over every window, and missing data never shrinks.
//!
//! What was allowed is judged by a ledger of the counts as they were, not by the history that `decide` reads.

use super::properties::any_behavior;
use super::*;
use proptest::prelude::*;

const MIN: i32 = 2;
const MAX: i32 = 60;

/// One evaluation of the life.
#[derive(Debug, Clone)]
struct Moment {
    after_ms: i64,
    /// Replicas that the metric asks for; `None`: it fails.
    wanted: Option<i32>,
}

fn any_life() -> impl Strategy<Value = Vec<Moment>> {
    let after_ms = prop_oneof![100_i64..2_000, 1_000_i64..40_000, Just(15_000), 60_000_i64..400_000];
    let wanted = prop_oneof![
        4 => (0..80_i32).prop_map(Some),
        2 => Just(Some(1_000)),
        2 => Just(Some(0)),
        1 => Just(None)
    ];
    let mixed = (after_ms, wanted).prop_map(|(after_ms, wanted)| Moment { after_ms, wanted });
    prop_oneof![prop::collection::vec(mixed, 1..120), any_storm()]
}

/// A demand that stays, with evaluations so dense that every policy's budget is used up and freed again.
fn any_storm() -> impl Strategy<Value = Vec<Moment>> {
    let wanted = prop_oneof![Just(1_000), Just(0)];
    (wanted, prop::collection::vec(500_i64..20_000, 20..120)).prop_map(|(wanted, pauses)| {
        pauses.into_iter().map(|after_ms| Moment { after_ms, wanted: Some(wanted) }).collect()
    })
}

/// Counts over time: what the scale said from a moment on.
struct Ledger(Vec<(i64, i32)>);

impl Ledger {
    /// The count at a moment; a change at that moment is in it.
    fn at(&self, at_ms: i64) -> i32 {
        self.0.iter().rev().find(|(from_ms, _)| *from_ms <= at_ms).map_or(self.0[0].1, |(_, count)| *count)
    }
}

struct Life {
    rules: Rules,
    settings: Settings,
    history: History,
    current: i32,
    now_ms: i64,
}

impl Life {
    fn new(behavior: Option<Behavior>, overrides: Overrides) -> Self {
        let metric = Metric {
            source: Source::External {
                name: "q".into(),
                selector: serde_json::Value::Null,
                selector_text: "nil".into(),
            },
            target: Target::AverageValue(1_000),
            text: "external metric q(nil)".into(),
        };
        let rules = Rules { min: MIN, max: MAX, metrics: vec![metric], behavior, overrides, ..rules(1) };
        let settings = Settings { tolerance: 0.0, ..settings() };
        Life { rules, settings, history: History::default(), current: 10, now_ms: NOW }
    }

    /// One evaluation, in the order of the reconciler.
    fn live(&mut self, moment: &Moment) -> Decision {
        self.now_ms += moment.after_ms;
        let input = match moment.wanted {
            Some(wanted) => Input::External(readings(&[i64::from(wanted) * 1_000])),
            None => Input::Failed("gone".into()),
        };
        let inputs = [input];
        let snapshot = Snapshot {
            rules: &self.rules,
            settings: &self.settings,
            scale: Scale { spec_replicas: self.current, status_replicas: self.current },
            selector: Ok(()),
            pods: &[],
            inputs: &inputs,
            scaled_to_zero: false,
        };
        let mut trace = Trace::on();
        let decision = decide(&snapshot, self.now_ms, &self.history, &mut trace);
        assert_eq!(trace.replay(), Some(decision.desired));
        self.history.remember(&decision, self.now_ms);
        if decision.rescales() {
            let behavior = self.rules.behavior.as_ref();
            self.history.record_rescale(behavior, self.current, decision.desired, self.now_ms);
            self.current = decision.desired;
        }
        decision
    }
}

/// Whether the policies of the direction allow the step, given the true counts at the start of each period.
fn is_allowed(rules: &Direction, exact: bool, up: bool, to: i32, at_ms: i64, ledger: &Ledger) -> bool {
    let allows = |policy: &Policy| {
        let start = ledger.at(at_ms - i64::from(policy.period_seconds) * 1000);
        let limit = normalize::allowed(up, exact, start, policy.kind, policy.value);
        if up { to <= limit } else { to >= limit }
    };
    match rules.select {
        Select::Max => rules.policies.iter().any(allows),
        Select::Min => rules.policies.iter().all(allows),
        Select::Disabled => false,
    }
}

fn any_overrides() -> impl Strategy<Value = Overrides> {
    let fallback = prop::option::of((1..80_i32, 0_i64..60_000));
    (any::<bool>(), fallback).prop_map(|(exact, fallback)| Overrides {
        exact_ceiling: Some(exact),
        fallback_replicas: Some(fallback.map(|(replicas, _)| replicas)),
        fallback_after_ms: fallback.map(|(_, after_ms)| after_ms),
        ..Overrides::default()
    })
}

proptest! {
    #[test]
    fn bounds_and_policies_hold_over_every_window(
        life in any_life(),
        behavior in any_behavior(),
        overrides in any_overrides(),
    ) {
        let exact = overrides.exact_ceiling == Some(true);
        let mut subject = Life::new(behavior.clone(), overrides);
        let mut ledger = Ledger(vec![(NOW, subject.current)]);
        for moment in &life {
            let before = subject.current;
            let decision = subject.live(moment);
            let (after, now_ms) = (decision.desired, subject.now_ms);
            prop_assert!((MIN..=MAX).contains(&after), "{after}");
            if moment.wanted.is_none() {
                prop_assert!(after >= before, "missing data never scales down: {before} to {after}");
            }
            if after != before {
                let up = after > before;
                match &behavior {
                    Some(behavior) => {
                        let rules = if up { &behavior.scale_up } else { &behavior.scale_down };
                        prop_assert!(
                            is_allowed(rules, exact, up, after, now_ms, &ledger),
                            "{before} to {after} under {rules:?}"
                        );
                    }
                    None if up => {
                        let start = ledger.at(now_ms - 15_000).min(before);
                        prop_assert!(after <= (2 * start).max(4), "{start}, {before} to {after}");
                    }
                    None => {}
                }
                ledger.0.push((now_ms, after));
            }
        }
    }

    /// Within the down window nothing shrinks below what was asked for in it, nor below the count.
    #[test]
    fn the_down_window_holds(life in any_life(), behavior in any_behavior()) {
        let mut subject = Life::new(behavior.clone(), Overrides::default());
        let window_ms = match &behavior {
            Some(behavior) => i64::from(behavior.scale_down.window_seconds.unwrap_or(300)) * 1000,
            None => subject.settings.downscale_stabilization_ms,
        };
        let mut asked: Vec<(i64, i32)> = Vec::new();
        for moment in &life {
            let before = subject.current;
            let after = subject.live(moment).desired;
            let now_ms = subject.now_ms;
            if let Some(wanted) = moment.wanted {
                asked.push((now_ms, wanted));
            }
            let recent = asked.iter().filter(|(at_ms, _)| *at_ms > now_ms - window_ms);
            let floor = recent.map(|(_, wanted)| *wanted).max().unwrap_or(0);
            prop_assert!(after >= before.min(floor), "{before} to {after}, asked for {floor}");
        }
    }

    /// A clock that jumps, either way, breaks no bound and shrinks nothing without data.
    #[test]
    fn jumps_of_the_clock_break_no_bound(
        life in any_life(),
        jumps in prop::collection::vec(-1_000_000_i64..1_000_000, 1..8),
        behavior in any_behavior(),
    ) {
        let mut subject = Life::new(behavior, Overrides::default());
        for (index, moment) in life.iter().enumerate() {
            if let Some(jump) = jumps.get(index / 7).filter(|_| index % 7 == 6) {
                subject.now_ms += jump;
            }
            let before = subject.current;
            let after = subject.live(moment).desired;
            prop_assert!((MIN..=MAX).contains(&after));
            prop_assert!(moment.wanted.is_some() || after >= before);
        }
    }

    /// Pods without a sample hold a falling count as high as if they used all that they asked for.
    #[test]
    fn missing_samples_never_shrink(
        usages in prop::collection::vec((0_i64..1_500, 1_i64..1_500, any::<bool>()), 1..12),
        target in 1..150_i32,
        current in 1..14_i32,
    ) {
        let seen: Vec<Case> = usages
            .iter()
            .map(|(usage, request, missing)| {
                let case = pod(*usage).request(*request);
                if *missing { case.missing() } else { case }
            })
            .collect();
        let Ok(found) = cpu_within(TENTH, current, target, &seen, &[]) else { return Ok(()) };
        if found.replicas < current {
            let full: Vec<Case> = usages
                .iter()
                .map(|(usage, request, missing)| {
                    let assumed = request * i64::from(target.max(100)) / 100;
                    pod(if *missing { assumed } else { *usage }).request(*request)
                })
                .collect();
            let with_all = cpu_within(TENTH, current, target, &full, &[]).unwrap().replicas;
            prop_assert_eq!(found.replicas, with_all);
        }
    }
}

/// Evaluations may come faster than growth steps are kept.
#[test]
fn growth_in_small_steps_is_limited_too() {
    let mut subject = Life::new(None, Overrides::default());
    subject.rules.max = 10_000;
    subject.current = 100;
    for wanted in 0..250 {
        subject.live(&Moment { after_ms: 50, wanted: Some(101 + wanted) });
        assert!(subject.current <= 200, "doubled within 15 s, and more: {}", subject.current);
    }
}
