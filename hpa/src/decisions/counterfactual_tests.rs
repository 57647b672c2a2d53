use super::*;
use crate::controls::Hold;
use crate::decide::{
    Behavior, Input, Phase, Pod, PodSample, PodSamples, Policy, PolicyKind, Ready, Recommendation, Rules,
    Scale, ScaleEvent, Settings, Tristate,
};
use proptest::prelude::*;
use serde_json::json;

const NOW: i64 = 1_700_000_000_000;

fn rules(metrics: serde_json::Value, behavior: Option<Behavior>) -> Rules {
    let object = json!({ "metadata": { "name": "web", "namespace": "ns" }, "spec": {
        "scaleTargetRef": { "kind": "Deployment", "name": "web", "apiVersion": "apps/v1" },
        "minReplicas": 1, "maxReplicas": 20, "metrics": metrics } });
    let hpa = serde_json::from_value(object).unwrap();
    Rules { behavior, ..crate::compile::compile(&hpa) }
}

fn cpu(percent: i32) -> serde_json::Value {
    json!([{ "type": "Resource", "resource": { "name": "cpu",
        "target": { "type": "Utilization", "averageUtilization": percent } } }])
}

fn pods(count: usize) -> Vec<Pod> {
    let ready = Some(Ready { status: Tristate::True, transition_ms: NOW - 3_600_000 });
    let pod = |index| Pod {
        name: format!("web-{index}").into(),
        phase: Phase::Running,
        deleting: false,
        owner: None,
        start_ms: Some(NOW - 7_200_000),
        ready,
    };
    (0..count).map(pod).collect()
}

fn usage(count: usize, milli: i64) -> Input {
    let sample = Some(PodSample { value_milli: milli, timestamp_ms: NOW, window_ms: 15_000 });
    Input::PerPod(PodSamples {
        samples: vec![sample; count],
        foreign: Vec::new(),
        requests: Ok(vec![100; count]),
    })
}

fn ask(rules: &Rules, current: i32, inputs: &[Input], history: &History) -> (Decision, Counterfactuals) {
    ask_with(rules, current, &pods(current as usize), inputs, history, &Controls::default())
}

fn ask_with(
    rules: &Rules,
    current: i32,
    pods: &[Pod],
    inputs: &[Input],
    history: &History,
    controls: &Controls,
) -> (Decision, Counterfactuals) {
    let settings = Settings::default();
    let scale = Scale { spec_replicas: current, status_replicas: current };
    let snapshot =
        Snapshot { rules, settings: &settings, scale, selector: Ok(()), pods, inputs, scaled_to_zero: false };
    let decision = decide(&snapshot, NOW, history, &mut Trace::off());
    let found = counterfactuals(&snapshot, NOW, history, &decision, controls);
    (decision, found)
}

/// Edges upward and downward of the one metric.
fn edges_of(found: &Counterfactuals) -> (Option<i64>, Option<i64>) {
    let edges = &found.metrics[0];
    (edges.scale_up_from_milli, edges.scale_down_to_milli)
}

#[test]
fn edges_of_usage_are_where_the_count_changes() {
    let rules = rules(cpu(50), None);
    let (_, found) = ask(&rules, 4, &[usage(4, 50)], &History::default());
    // Utilisation is cut to whole percent: up to 55 of 50 is inside the tolerance. Below 45 is outside, but four pods at
    // 44 % still need four; 37 % is the first that three can carry.
    assert_eq!(
        found.metrics,
        [Edges {
            metric: "cpu resource utilization (percentage of request)".into(),
            per_pod: true,
            scale_up_from_milli: Some(56),
            scale_down_to_milli: Some(37),
            also_up_milli: None,
            also_down_milli: None,
        }]
    );
    assert_eq!((found.next, found.stabilizer_lets_go), (None, None));
}

#[test]
fn both_edges_are_where_the_decision_turns() {
    let rules = rules(cpu(70), None);
    let (_, found) = ask(&rules, 7, &[usage(7, 70)], &History::default());
    let edges = &found.metrics[0];
    let (up, down) = (edges.scale_up_from_milli.unwrap(), edges.scale_down_to_milli.unwrap());
    let raw = |milli| ask(&rules, 7, &[usage(7, milli)], &History::default()).0.raw.unwrap();
    assert!(raw(up) > 7 && raw(up - 1) == 7, "{up}");
    assert!(raw(down) < 7 && raw(down + 1) == 7, "{down}");
}

#[test]
fn a_failed_metric_has_no_edges() {
    let rules = rules(cpu(50), None);
    let (_, found) = ask(&rules, 4, &[Input::Failed("gone".into())], &History::default());
    assert!(found.metrics.is_empty());
}

#[test]
fn the_window_lets_go_when_its_highest_recommendation_leaves() {
    let recommend = |replicas, seconds_ago: i64| Recommendation { replicas, at_ms: NOW - seconds_ago * 1000 };
    let history =
        History { recommendations: vec![recommend(6, 200), recommend(4, 100)], ..History::default() };
    let (decision, found) = ask(&rules(cpu(50), None), 6, &[usage(6, 20)], &history);
    assert_eq!((decision.raw, decision.desired), (Some(3), 6));
    // Without behavior the window of 300 s includes its edge.
    assert_eq!(found.next, Some(Later { at_ms: NOW + 100_001, replicas: 4 }));
    assert_eq!(found.stabilizer_lets_go, Some(Later { at_ms: NOW + 200_001, replicas: 3 }));
}

#[test]
fn a_policy_frees_budget_when_its_oldest_change_leaves() {
    let direction = |value, period_seconds| Direction {
        window_seconds: Some(0),
        select: Select::Max,
        policies: vec![Policy { kind: PolicyKind::Pods, value, period_seconds }],
        tolerance: None,
    };
    let behavior = Behavior { scale_up: direction(4, 60), scale_down: direction(2, 30) };
    let event = ScaleEvent { change: 4, at_ms: NOW - 20_000, outdated: false };
    let history = History {
        recommendations: vec![Recommendation { replicas: 5, at_ms: NOW - 20_000 }],
        scale_ups: vec![event],
        ..History::default()
    };
    let (decision, found) = ask(&rules(cpu(50), Some(behavior)), 5, &[usage(5, 100)], &history);
    assert_eq!((decision.raw, decision.desired), (Some(10), 5), "the budget is used up");
    let up = found.policies[0].policy;
    assert_eq!((up.period_start, up.allows, up.frees_at_ms), (1, 5, Some(NOW + 40_000)));
    assert_eq!(found.next, Some(Later { at_ms: NOW + 40_000, replicas: 9 }));
    assert_eq!((found.policies[1].up, found.policies[1].policy.frees_at_ms), (false, None));
}

/// Going down from 2 to 1 leaves room for nothing more, and leaving the period changes nothing about that.
#[test]
fn a_policy_that_frees_nothing_says_so() {
    let direction = |kind, value| Direction {
        window_seconds: Some(0),
        select: Select::Max,
        policies: vec![Policy { kind, value, period_seconds: 60 }],
        tolerance: None,
    };
    let behavior = Behavior {
        scale_up: direction(PolicyKind::Pods, 4),
        scale_down: direction(PolicyKind::Percent, 100),
    };
    let event =
        |change, seconds_ago: i64| ScaleEvent { change, at_ms: NOW - seconds_ago * 1000, outdated: false };
    let history = History {
        scale_ups: vec![event(1, 50), event(2, 20)],
        scale_downs: vec![event(3, 30)],
        ..History::default()
    };
    let (_, found) = ask(&rules(cpu(50), Some(behavior)), 2, &[usage(2, 50)], &history);
    let frees: Vec<_> = found.policies.iter().map(|budget| budget.policy.frees_at_ms).collect();
    assert_eq!(found.policies[0].policy.allows, 6);
    assert_eq!(
        frees,
        [Some(NOW + 10_000), None],
        "growing by the first event; shrinking to zero is allowed now"
    );
}

#[test]
fn at_a_bound_nothing_goes_beyond_it() {
    let bounded = |min, max| Rules { min, max, ..rules(cpu(50), None) };
    let at = |rules: &Rules| edges_of(&ask(rules, 4, &[usage(4, 50)], &History::default()).1);
    assert_eq!(at(&bounded(4, 20)), (Some(56), None), "at its minimum");
    assert_eq!(at(&bounded(1, 4)), (None, Some(37)), "at its maximum");
    assert_eq!(at(&bounded(4, 4)), (None, None));
}

/// Rows D12 to D14: while a rollout's surge counts too, usage below the target asks for more than at the target.
#[test]
fn a_surge_asks_for_more_on_both_sides_of_the_target() {
    let rules = rules(cpu(80), None);
    let of = |milli| {
        let (pods, inputs) = (pods(13), [usage(13, milli)]);
        ask_with(&rules, 10, &pods, &inputs, &History::default(), &Controls::default())
    };
    let (decision, found) = of(80);
    assert_eq!(decision.raw, Some(10));
    let edges = &found.metrics[0];
    let [also_from, also_to] = edges.also_up_milli.unwrap();
    let (up, down) = (edges.scale_up_from_milli.unwrap(), edges.scale_down_to_milli.unwrap());
    assert_eq!(edges.also_down_milli, None);
    let wants: Vec<i32> = (0..=2 * up).map(|milli| of(milli).0.raw.unwrap()).collect();
    for (milli, raw) in (0..).zip(wants) {
        let more = milli >= up || (also_from..=also_to).contains(&milli);
        assert_eq!((raw > 10, raw < 10), (more, milli <= down), "{milli}: {raw}; {edges:?}");
    }
    assert!(also_to < 80 && also_from > down && up > 80, "{edges:?}");
}

/// Quirk Q10: a whole value is multiplied by the pods that are ready, so that few of them ask for fewer above the target.
#[test]
fn pods_that_start_ask_for_fewer_on_both_sides_of_the_target() {
    let metric = json!([{ "type": "External", "external": { "metric": { "name": "q" },
        "target": { "type": "Value", "value": "100m" } } }]);
    let rules = rules(metric, None);
    let of = |milli| {
        let reading = crate::decide::Reading { value_milli: milli, timestamp_ms: NOW };
        let inputs = [Input::External(vec![reading])];
        ask_with(&rules, 10, &pods(5), &inputs, &History::default(), &Controls::default())
    };
    let edges = of(100).1.metrics.remove(0);
    let [also_from, also_to] = edges.also_down_milli.unwrap();
    let (up, down) = (edges.scale_up_from_milli.unwrap(), edges.scale_down_to_milli.unwrap());
    for milli in 0..=2 * up {
        let raw = of(milli).0.raw.unwrap();
        let fewer = milli <= down || (also_from..=also_to).contains(&milli);
        assert_eq!((raw > 10, raw < 10), (milli >= up, fewer), "{milli}: {raw}; {edges:?}");
    }
}

#[test]
fn what_is_held_is_not_changed_by_time() {
    let history = History {
        recommendations: vec![Recommendation { replicas: 6, at_ms: NOW - 200_000 }],
        ..History::default()
    };
    let next = |hold| {
        let controls = Controls { hold, ..Controls::default() };
        ask_with(&rules(cpu(50), None), 6, &pods(6), &[usage(6, 20)], &history, &controls).1.next
    };
    assert_eq!(next(Hold::Free), Some(Later { at_ms: NOW + 100_001, replicas: 3 }));
    assert_eq!(next(Hold::DownOnly), next(Hold::Free));
    for hold in [Hold::Paused, Hold::Pinned(6), Hold::UpOnly] {
        assert_eq!(next(hold), None, "{hold:?}");
    }
}

/// A pod: requested milli-units, and whether it is ready (0), starting (1), without a sample (2) or ended (3).
fn any_pod() -> impl Strategy<Value = (i64, u8)> {
    (prop::sample::select(vec![50, 100, 130, 250]), prop::sample::select(vec![0, 0, 0, 1, 2, 3]))
}

proptest! {
    /// Every value up to twice the highest edge asks for what the edges say, whoever else is in the population.
    #[test]
    fn edges_are_where_every_value_says_so(
        each in prop::collection::vec(any_pod(), 1..9),
        current in 1..12_i32,
        (min, max) in (1..5_i32, 5..15_i32),
        target in prop::sample::select(vec![10, 35, 50, 77, 100]),
        kind in 0..3_u8,
        tolerances in prop::option::of((0..60_i64, 0..60_i64)),
    ) {
        let metric = match kind {
            0 => cpu(target),
            1 => json!([{ "type": "Resource", "resource": { "name": "cpu",
                "target": { "type": "AverageValue", "averageValue": format!("{target}m") } } }]),
            _ => json!([{ "type": "Pods", "pods": { "metric": { "name": "q" },
                "target": { "type": "AverageValue", "averageValue": format!("{target}m") } } }]),
        };
        let direction = |percent: i64| Direction {
            window_seconds: Some(0), select: Select::Max, policies: Vec::new(),
            tolerance: Some(percent as f64 / 100.0),
        };
        let behavior = tolerances.map(|(up, down)| Behavior { scale_up: direction(up), scale_down: direction(down) });
        let rules = Rules { min, max, ..rules(metric, behavior) };
        let current = current.clamp(min, max);
        let mut members = pods(each.len());
        for (pod, (_, state)) in members.iter_mut().zip(&each) {
            match state {
                1 => pod.ready = Some(Ready { status: Tristate::False, transition_ms: NOW - 7_200_000 }),
                3 => pod.phase = Phase::Failed,
                _ => {}
            }
        }
        let input = |milli| {
            let sample = |state: u8| {
                (state != 2).then_some(PodSample { value_milli: milli, timestamp_ms: NOW, window_ms: 15_000 })
            };
            Input::PerPod(PodSamples {
                samples: each.iter().map(|(_, state)| sample(*state)).collect(),
                foreign: Vec::new(),
                requests: Ok(each.iter().map(|(request, _)| *request).collect()),
            })
        };
        let settings = Settings::default();
        let scale = Scale { spec_replicas: current, status_replicas: current };
        let wish = |milli| {
            let inputs = [input(milli)];
            let snapshot = Snapshot {
                rules: &rules, settings: &settings, scale, selector: Ok(()), pods: &members, inputs: &inputs,
                scaled_to_zero: false,
            };
            let decision = decide(&snapshot, NOW, &History::default(), &mut Trace::off());
            decision.raw.map(|raw| raw.clamp(min, max).cmp(&current))
        };
        let (_, found) =
            ask_with(&rules, current, &members, &[input(0)], &History::default(), &Controls::default());
        let Some(edges) = found.metrics.first() else {
            prop_assert!(wish(0).is_none(), "without edges there is no proposal");
            return Ok(());
        };
        let within = |range: Option<[i64; 2]>, milli| range.is_some_and(|[from, to]| (from..=to).contains(&milli));
        let highest = edges.scale_up_from_milli.max(edges.scale_down_to_milli).unwrap_or(0);
        for milli in 0..(2 * highest + 2).min(600) {
            let more = edges.scale_up_from_milli.is_some_and(|from| milli >= from)
                || within(edges.also_up_milli, milli);
            let fewer = edges.scale_down_to_milli.is_some_and(|to| milli <= to)
                || within(edges.also_down_milli, milli);
            let said = [more, fewer];
            let is = wish(milli).map(|wish| [wish.is_gt(), wish.is_lt()]);
            prop_assert_eq!(is, Some(said), "{}: {:?}", milli, edges);
        }
    }
}
