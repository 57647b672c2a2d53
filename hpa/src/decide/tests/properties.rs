use super::*;
use proptest::prelude::*;

pub(super) fn any_case() -> impl Strategy<Value = Case> {
    (0_i64..5_000, 1_i64..2_000, 0..8_u8).prop_map(|(usage, request, kind)| {
        let case = pod(usage).request(request);
        match kind {
            0 => case.missing(),
            1 => case.not_ready(),
            2 => case.hot(),
            3 => case.deleting(),
            4 => case.missing().phase(Phase::Pending),
            _ => case,
        }
    })
}

fn any_direction() -> impl Strategy<Value = Direction> {
    let select = prop_oneof![Just(Select::Max), Just(Select::Min), Just(Select::Disabled)];
    let policy = (any::<bool>(), 1..200_i32, 1..300_i32).prop_map(|(pods, value, period)| {
        policy(if pods { PolicyKind::Pods } else { PolicyKind::Percent }, value, period)
    });
    (0..600_i32, select, prop::collection::vec(policy, 1..4)).prop_map(|(window, select, policies)| {
        Direction { window_seconds: Some(window), select, policies, tolerance: None }
    })
}

pub(super) fn any_behavior() -> impl Strategy<Value = Option<Behavior>> {
    prop::option::of(
        (any_direction(), any_direction())
            .prop_map(|(scale_up, scale_down)| Behavior { scale_up, scale_down }),
    )
}

fn any_history() -> impl Strategy<Value = History> {
    let record = (0..25_i32, 0_i64..700_000);
    let recommendations = prop::collection::vec(record.clone(), 0..6).prop_map(|list| {
        list.into_iter().map(|(replicas, ago)| Recommendation { replicas, at_ms: NOW - ago }).collect()
    });
    let events = prop::collection::vec(record, 0..4).prop_map(|list| {
        let event = |(change, ago)| ScaleEvent { change, at_ms: NOW - ago, outdated: false };
        list.into_iter().map(event).collect::<Vec<_>>()
    });
    (recommendations, events.clone(), events).prop_map(|(recommendations, scale_ups, scale_downs)| History {
        recommendations,
        scale_ups,
        scale_downs,
        ..History::default()
    })
}

fn decide_cpu(
    rules: &Rules,
    cases: &[Case],
    current: i32,
    history: &History,
    now: i64,
    trace: &mut Trace,
) -> Decision {
    let (pods, settings) = (pods_of(cases), settings());
    let inputs = [Input::PerPod(samples_of(cases, &[]))];
    let snapshot = Snapshot {
        rules,
        settings: &settings,
        scale: Scale { spec_replicas: current, status_replicas: current },
        selector: Ok(()),
        pods: &pods,
        inputs: &inputs,
        scaled_to_zero: false,
    };
    decide(&snapshot, now, history, trace)
}

proptest! {
    #[test]
    fn the_result_stays_in_bounds(
        cases in prop::collection::vec(any_case(), 0..12),
        behavior in any_behavior(),
        current in 1..20_i32,
        target in 1..200_i32,
    ) {
        let rules = Rules { behavior, min: 1, max: 20, ..rules(target) };
        let decision = decide_cpu(&rules, &cases, current, &History::default(), NOW, &mut Trace::off());
        prop_assert!((1..=20).contains(&decision.desired));
    }

    #[test]
    fn a_trace_changes_nothing_and_holds_the_result(
        cases in prop::collection::vec(any_case(), 0..12),
        behavior in any_behavior(),
        current in 1..20_i32,
    ) {
        let rules = Rules { behavior, max: 20, ..rules(60) };
        let mut trace = Trace::on();
        let traced = decide_cpu(&rules, &cases, current, &History::default(), NOW, &mut trace);
        let plain = decide_cpu(&rules, &cases, current, &History::default(), NOW, &mut Trace::off());
        prop_assert_eq!(&traced, &plain);
        prop_assert_eq!(trace.desired, Some(plain.desired));
    }

    /// The numbers of a trace lead to the same count, also after they were written as JSON and read back.
    #[test]
    fn a_trace_replays_to_the_same_integer(
        cases in prop::collection::vec(any_case(), 0..12),
        behavior in any_behavior(),
        current in 0..20_i32,
        target in 1..200_i32,
        tolerance in prop_oneof![Just(0.1), 0.0..0.5_f64],
        surge_aware in any::<bool>(),
        exact_ceiling in any::<bool>(),
        history in any_history(),
    ) {
        let overrides = Overrides {
            surge_aware: Some(surge_aware),
            exact_ceiling: Some(exact_ceiling),
            ..Overrides::default()
        };
        let mut behavior = behavior;
        if let Some(behavior) = &mut behavior {
            behavior.scale_up.tolerance = Some(tolerance);
        }
        let rules = Rules { behavior, max: 20, overrides, ..rules(target) };
        let mut trace = Trace::on();
        let decision = decide_cpu(&rules, &cases, current, &history, NOW, &mut trace);
        prop_assert_eq!(trace.replay(), Some(decision.desired));
        let text = serde_json::to_string(&trace).unwrap();
        let read: Trace = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read.replay(), Some(decision.desired), "{}", text);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    /// An unready pod may hold back growth; it never causes shrinking.
    #[test]
    fn unready_pods_never_shrink(usages in prop::collection::vec(0_i64..3_000, 1..8), more in 1..5_usize) {
        let cases = pods(&usages);
        let mut with_unready = cases.clone();
        with_unready.extend(vec![pod(0).not_ready(); more]);
        let current = usages.len() as i32;
        let without = cpu(current, 60, &cases).0;
        let with = cpu(current, 60, &with_unready).0;
        prop_assert!(with >= without.min(current), "{without} -> {with}");
    }

    /// Pruning and coalescing keep every later decision as the plain list would have made it.
    #[test]
    fn pruned_history_decides_like_the_whole(
        steps in prop::collection::vec((0..30_i32, 200_i64..5_000), 1..300),
        behavior in any_behavior(),
    ) {
        let rules = Rules { behavior, max: 30, ..rules(60) };
        let (mut pruned, mut whole) = (History::default(), History::default());
        let settings = settings();
        let mut now = NOW;
        let mut current = 5;
        for (raw, step_ms) in steps {
            now += step_ms;
            let bounds = normalize::Bounds { current, min: 1, max: 30 };
            let normalize = |history: &History| match &rules.behavior {
                None => normalize::without_behavior(bounds, raw, history, &settings, now, &mut Trace::off()),
                Some(b) => normalize::with_behavior(bounds, raw, b, history, &settings, now, &mut Trace::off()),
            };
            let (left, right) = (normalize(&pruned), normalize(&whole));
            prop_assert_eq!(left, right);
            pruned.commit(current, Some(left.record), now);
            if whole.recommendations.is_empty() {
                whole.recommendations.push(Recommendation { replicas: current, at_ms: now });
            }
            whole.recommendations.push(Recommendation { replicas: raw, at_ms: now });
            if left.replicas != current {
                pruned.record_rescale(rules.behavior.as_ref(), current, left.replicas, now);
                whole.record_rescale(rules.behavior.as_ref(), current, left.replicas, now);
                current = left.replicas;
            }
        }
        prop_assert!(pruned.recommendations.len() <= whole.recommendations.len());
    }
}
