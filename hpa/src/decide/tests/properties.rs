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

/// What a metric says.
#[derive(Debug, Clone)]
enum Said {
    Failed,
    Invalid,
    PerPod,
    Object(i64),
    External(Vec<i64>),
}

impl Said {
    fn input(self, cases: &[Case]) -> Input {
        match self {
            Said::Failed => Input::Failed("gone".into()),
            Said::Invalid => Input::Invalid("no selector".into()),
            Said::PerPod => Input::PerPod(samples_of(cases, &[700])),
            Said::Object(value) => Input::Object(readings(&[value])[0]),
            Said::External(values) => Input::External(readings(&values)),
        }
    }
}

fn any_value() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0_i64..100_000, 1 => Just(0), 1 => -5_000_i64..0, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

/// A metric with what it says; both may be of different kinds.
fn any_metric() -> impl Strategy<Value = (Metric, Said)> {
    let selector = || serde_json::Value::Null;
    let source = prop_oneof![
        Just(Source::Resource { name: "cpu".into() }),
        Just(Source::Resource { name: "memory".into() }),
        Just(Source::Pods { name: "rps".into(), selector: selector() }),
        Just(Source::Object {
            name: "hits".into(),
            selector: selector(),
            described: Described { kind: "Service".into(), name: "web".into(), api_version: "v1".into() }
        }),
        Just(Source::External { name: "q".into(), selector: selector(), selector_text: "nil".into() }),
        Just(Source::Unknown { kind: "Odd".into() }),
    ];
    let target = prop_oneof![
        (1..200_i32).prop_map(Target::Utilization),
        (1_i64..5_000).prop_map(Target::AverageValue),
        (1_i64..5_000).prop_map(Target::Value),
        Just(Target::Absent),
    ];
    let said = prop_oneof![
        1 => Just(Said::Failed),
        1 => Just(Said::Invalid),
        4 => Just(Said::PerPod),
        3 => any_value().prop_map(Said::Object),
        3 => prop::collection::vec(any_value(), 1..4).prop_map(Said::External),
    ];
    (source, target, said)
        .prop_map(|(source, target, said)| (Metric { source, target, text: "a metric".into() }, said))
}

/// What a plain average asks for.
fn plain_replicas(current: i32, target_milli: i64, cases: &[Case]) -> i32 {
    let (pods, settings) = (pods_of(cases), settings());
    let frame = Frame {
        current,
        pods: &pods,
        tolerances: TENTH,
        settings: &settings,
        scale_target: &ScaleTarget::default(),
        now_ms: NOW,
        cpu: false,
    };
    replicas::plain(frame, &samples_of(cases, &[]), target_milli, &mut Trace::off()).unwrap().replicas
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

    /// The same for several metrics of all kinds, some of which fail, at zero and with a fallback.
    #[test]
    fn traces_of_several_metrics_replay_to_the_same_integer(
        metrics in prop::collection::vec(any_metric(), 1..5),
        cases in prop::collection::vec(any_case(), 0..6),
        behavior in any_behavior(),
        counts in (0..20_i32, 0..20_i32, 0..3_i32, 1..30_i32),
        scaled_to_zero in any::<bool>(),
        fallback in prop::option::of((1..40_i32, 0_i64..60_000)),
        exact_ceiling in any::<bool>(),
        history in any_history(),
    ) {
        let (spec_replicas, status_replicas, min, max) = counts;
        let overrides = Overrides {
            exact_ceiling: Some(exact_ceiling),
            fallback_replicas: Some(fallback.map(|(replicas, _)| replicas)),
            fallback_after_ms: fallback.map(|(_, after_ms)| after_ms),
            ..Overrides::default()
        };
        let (metrics, inputs): (Vec<Metric>, Vec<_>) = metrics.into_iter().unzip();
        let inputs: Vec<Input> = inputs.into_iter().map(|values| values.input(&cases)).collect();
        let rules = Rules { metrics, behavior, min, max: max.max(min), overrides, ..rules(1) };
        let (pods, settings) = (pods_of(&cases), settings());
        let scale = Scale { spec_replicas, status_replicas };
        let snapshot = Snapshot {
            rules: &rules, settings: &settings, scale, selector: Ok(()), pods: &pods, inputs: &inputs, scaled_to_zero,
        };
        let mut trace = Trace::on();
        let decision = decide(&snapshot, NOW, &history, &mut trace);
        prop_assert_eq!(trace.replay(), Some(decision.desired), "{:?}", decision);
        let read: Trace = serde_json::from_str(&serde_json::to_string(&trace).unwrap()).unwrap();
        prop_assert_eq!(read.replay(), Some(decision.desired));
        prop_assert_eq!(&decide(&snapshot, NOW, &history, &mut Trace::off()), &decision);
    }

    /// With as many pods as replicas, all of which count, more usage never asks for fewer.
    #[test]
    fn more_usage_never_asks_for_fewer(
        usages in prop::collection::vec((0_i64..3_000, 0_i64..500), 1..12),
        target in 1..200_i32,
        value in any::<bool>(),
    ) {
        let current = usages.len() as i32;
        let ask = |cases: &[Case]| match value {
            true => plain_replicas(current, i64::from(target) * 10, cases),
            false => cpu(current, target, cases).0,
        };
        let less: Vec<Case> = usages.iter().map(|(usage, _)| pod(*usage)).collect();
        let more: Vec<Case> = usages.iter().map(|(usage, more)| pod(usage + more)).collect();
        prop_assert!(ask(&less) <= ask(&more));
    }

    /// A higher maximum never lowers the result, and a wider tolerance shrinks nothing that a narrower one does not.
    #[test]
    fn more_room_never_shrinks(
        cases in prop::collection::vec(any_case(), 1..12),
        behavior in any_behavior(),
        current in 1..20_i32,
        target in 1..200_i32,
        more in 1..50_i32,
        tolerances in (0.0..0.5_f64, 0.0..0.5_f64),
        history in any_history(),
    ) {
        let with_max = |max| {
            let rules = Rules { behavior: behavior.clone(), max, ..rules(target) };
            decide_cpu(&rules, &cases, current, &history, NOW, &mut Trace::off()).desired
        };
        prop_assert!(with_max(20) <= with_max(20 + more));
        let within = |tolerance| {
            let tolerances = Tolerances { down: tolerance, up: tolerance };
            cpu_within(tolerances, current, target, &cases, &[]).map(|outcome| outcome.replicas)
        };
        let (narrow, wide) = (tolerances.0.min(tolerances.1), tolerances.0.max(tolerances.1));
        if let (Ok(narrow), Ok(wide)) = (within(narrow), within(wide)) {
            prop_assert!(wide >= current || narrow < current, "{narrow}, {wide} of {current}");
        }
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
