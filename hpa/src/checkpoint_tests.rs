use super::*;
use crate::decide::normalize::{Bounds, with_behavior, without_behavior};
use crate::decide::{
    Behavior, Branch, Direction, Overrides, Policy, PolicyKind, Proposals, Reason, ScaleTarget, Select,
    Settings, Trace,
};
use proptest::prelude::*;

const START_MS: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 20_000;

/// One HPA whose raw recommendation is given, with its store; the store survives a crash, the rest does not.
#[derive(Clone)]
struct Loop {
    rules: Rules,
    settings: Settings,
    history: History,
    stored: Stored,
    entry: Option<String>,
    current: i32,
    /// Times and sizes of rescales.
    moves: Vec<(i64, i32)>,
}

impl Loop {
    fn new(behavior: Option<Behavior>) -> Self {
        let rules = Rules {
            namespace: String::new(),
            name: String::new(),
            min: 1,
            max: 20,
            metrics: Vec::new(),
            behavior,
            scale_target: ScaleTarget::default(),
            overrides: Overrides::default(),
        };
        Loop {
            rules,
            settings: Settings { downscale_stabilization_ms: 60_000, ..Settings::default() },
            history: History::default(),
            stored: Stored::default(),
            entry: None,
            current: 5,
            moves: Vec::new(),
        }
    }

    /// One evaluation, in the order of the reconciler: decide, store where needed, write the scale, remember.
    fn evaluate(&mut self, raw: i32, now_ms: i64) {
        let bounds = Bounds { current: self.current, min: 1, max: 20 };
        let result = match &self.rules.behavior {
            None => without_behavior(bounds, raw, &self.history, &self.settings, now_ms, &mut Trace::off()),
            Some(behavior) => {
                with_behavior(bounds, raw, behavior, &self.history, &self.settings, now_ms, &mut Trace::off())
            }
        };
        let decision = Decision {
            current: self.current,
            desired: result.replicas,
            branch: Branch::Evaluated,
            proposals: Proposals::default(),
            winner: None,
            raw: Some(raw),
            reason: Reason::None,
            stabilization: Some(result.stabilization),
            limit: Some(result.limit),
            record: Some(result.record),
            failing_since_ms: None,
        };
        let behavior = self.rules.behavior.clone();
        self.history.commit(self.current, decision.record, now_ms);
        let mut after = self.history.clone();
        if decision.rescales() {
            after.record_rescale(behavior.as_ref(), self.current, decision.desired, now_ms);
        }
        if need(&self.rules, &decision, &self.history, self.stored, now_ms, INTERVAL_MS) != Need::Nothing {
            let ceiling = ceiling(&self.rules, &decision, &self.history, self.stored, now_ms, INTERVAL_MS);
            self.entry = Some(encode(&after, ceiling, None));
            self.stored = Stored { ceiling, at_ms: now_ms };
        }
        if decision.rescales() {
            self.moves.push((now_ms, decision.desired - self.current));
            self.current = decision.desired;
        }
        self.history = after;
    }

    /// Dies and comes back.
    fn crash(&mut self, now_ms: i64) {
        self.stored = Stored::default();
        self.history = self
            .entry
            .as_deref()
            .and_then(|entry| decode(entry, now_ms))
            .map(|restored| restored.history)
            .unwrap_or_default();
    }
}

fn direction(window_seconds: i32, value: i32, period_seconds: i32) -> Direction {
    let policies = vec![Policy { kind: PolicyKind::Pods, value, period_seconds }];
    Direction { window_seconds: Some(window_seconds), select: Select::Max, policies, tolerance: None }
}

fn any_behavior() -> impl Strategy<Value = Option<Behavior>> {
    prop::option::of((0..40_i32, 1..6_i32, 1..40_i32, 0..60_i32, 1..6_i32, 1..40_i32).prop_map(
        |(up_window, up, up_period, down_window, down, down_period)| Behavior {
            scale_up: direction(up_window, up, up_period),
            scale_down: direction(down_window, down, down_period),
        },
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_point_is_safe(
        demand in prop::collection::vec((0..25_i32, 200_i64..8_000), 2..120),
        behavior in any_behavior(),
        crash_at in 0..120_usize,
        downtime_ms in 0_i64..1_000,
    ) {
        let mut whole = Loop::new(behavior);
        let mut now = START_MS;
        let crash_at = crash_at.min(demand.len() - 1);
        for (raw, step_ms) in &demand[..crash_at] {
            now += step_ms;
            whole.evaluate(*raw, now);
        }
        let mut restored = whole.clone();
        restored.crash(now);
        now += downtime_ms;
        let mut whole_shrank = false;
        for (index, (raw, step_ms)) in demand[crash_at..].iter().enumerate() {
            now += step_ms;
            let before = restored.current;
            whole.evaluate(*raw, now);
            restored.evaluate(*raw, now);
            if index == 0 {
                prop_assert!(restored.current >= whole.current,
                    "the first evaluation grows as it would have: {} and {}", restored.current, whole.current);
            }
            whole_shrank |= whole.moves.last().is_some_and(|(at, change)| *at == now && *change < 0);
            if restored.current < before {
                // Growth may come earlier after a crash (a lost low recommendation no longer holds it back); going back on
                // that is no loss as long as the count stays at or above the uninterrupted one.
                prop_assert!(whole_shrank || restored.current >= whole.current,
                    "shrank at step {index}, an uninterrupted run had not yet");
                break;
            }
        }
    }

    #[test]
    fn policies_hold_across_crashes(
        demand in prop::collection::vec((0..25_i32, 200_i64..8_000, 0..10_u8), 2..120),
        up in 1..6_i32,
        period_seconds in 1..40_i32,
    ) {
        let behavior = Behavior { scale_up: direction(0, up, period_seconds), scale_down: direction(0, 20, 1) };
        let mut hpa = Loop::new(Some(behavior));
        let mut now = START_MS;
        for (raw, step_ms, dice) in demand {
            now += step_ms;
            if dice == 0 {
                hpa.crash(now);
            }
            hpa.evaluate(raw, now);
        }
        let period_ms = i64::from(period_seconds) * 1000;
        for (at, _) in hpa.moves.iter().filter(|(_, change)| *change > 0) {
            // Shrinking within the period gives budget back, by upstream's rule.
            let inside = hpa.moves.iter().filter(|(then, _)| *then > at - period_ms && then <= at);
            let net: i32 = inside.map(|(_, change)| change).sum();
            prop_assert!(net <= up, "{net} replicas in {period_seconds} s, {up} allowed");
        }
    }
}

#[test]
fn steady_demand_writes_once() {
    let mut hpa = Loop::new(None);
    hpa.evaluate(5, START_MS);
    let first = hpa.entry.clone();
    for second in 1..600 {
        hpa.evaluate(5, START_MS + second * 1000);
    }
    assert_eq!(hpa.entry, first);
}

#[test]
fn a_clean_shutdown_is_exact() {
    let mut hpa = Loop::new(None);
    hpa.evaluate(5, START_MS);
    hpa.evaluate(2, START_MS + 1000);
    let restored = decode(&encode(&hpa.history, None, None), START_MS + 2000).unwrap().history;
    assert_eq!(restored, hpa.history);
}

#[test]
fn other_versions_and_garbage_are_not_read() {
    assert_eq!(decode(r#"{"v":2,"h":{}}"#, START_MS), None);
    assert_eq!(decode("x", START_MS), None);
    assert!(decode(r#"{"v":1,"h":{}}"#, START_MS).is_some());
}

#[test]
fn shards_are_stable() {
    assert_eq!(
        shard_name(shard("3f0c8a9e-0000-4000-8000-000000000001")),
        shard_name(shard("3f0c8a9e-0000-4000-8000-000000000001"))
    );
    assert!((0..1000).map(|n| shard(&n.to_string())).all(|shard| shard < SHARDS));
}

#[test]
fn times_that_nobody_meant_are_those_of_an_old_entry() {
    let entry = format!(
        r#"{{"v":1,"h":{{"r":[{{"n":3,"t":{least}}}],"u":[{{"n":2,"t":{least}}}],"d":[{{"n":2,"t":{most}}}],
           "g":[{{"n":3,"t":{least}}}],"h":{{"n":4,"t":{most}}},"f":{least}}},"p":{{"f":3,"t":{most}}}}}"#,
        least = i64::MIN,
        most = i64::MAX,
    );
    let Restored { mut history, pending } = decode(&entry, START_MS).unwrap();
    let hold = history.hold.unwrap();
    let (old, now) = (0, START_MS);
    assert_eq!(
        [history.recommendations[0].at_ms, history.scale_ups[0].at_ms, history.growth[0].at_ms],
        [old, old, old]
    );
    assert_eq!((history.failing_since_ms, history.scale_downs[0].at_ms), (Some(old), now));
    assert_eq!((hold.at_ms, pending.unwrap().at_ms), (now, now));
    shift(&mut history, i64::MIN / 2);
}
