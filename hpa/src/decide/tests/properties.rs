use super::*;
use proptest::prelude::*;

fn any_case() -> impl Strategy<Value = Case> {
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

fn any_behavior() -> impl Strategy<Value = Option<Behavior>> {
    prop::option::of(
        (any_direction(), any_direction())
            .prop_map(|(scale_up, scale_down)| Behavior { scale_up, scale_down }),
    )
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
