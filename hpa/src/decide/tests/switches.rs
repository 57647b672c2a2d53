//! The named departures from upstream: what each changes, and that nothing changes without it.

use super::*;

/// A deployment's pod, or what `owner` says.
fn owned(mut case: Case, group: &str, kind: &str, name: &str, hash: Option<&str>) -> Case {
    let owner = Owner {
        group: group.into(),
        kind: kind.into(),
        name: name.into(),
        template_hash: hash.map(str::to_owned),
    };
    case.pod.owner = Some(owner.into());
    case
}

fn own(case: Case) -> Case {
    owned(case, "apps", "ReplicaSet", "web-6d4cf56db6", Some("6d4cf56db6"))
}

fn job(case: Case) -> Case {
    owned(case, "batch", "Job", "web-report", None)
}

struct World<'a> {
    rules: Rules,
    cases: &'a [Case],
    inputs: Vec<Input>,
    current: i32,
    history: History,
}

impl<'a> World<'a> {
    /// CPU utilisation over these pods.
    fn cpu(current: i32, target: i32, cases: &'a [Case], overrides: Overrides) -> Self {
        let rules = Rules { max: 1000, overrides, behavior: Some(default_behavior()), ..rules(target) };
        let inputs = vec![Input::PerPod(samples_of(cases, &[]))];
        World { rules, cases, inputs, current, history: History::default() }
    }

    fn run(&self, now_ms: i64) -> (Decision, Trace) {
        let (pods, settings) = (pods_of(self.cases), settings());
        let snapshot = Snapshot {
            rules: &self.rules,
            settings: &settings,
            scale: Scale { spec_replicas: self.current, status_replicas: self.current },
            selector: Ok(()),
            pods: &pods,
            inputs: &self.inputs,
            scaled_to_zero: false,
        };
        let mut trace = Trace::on();
        let decision = decide(&snapshot, now_ms, &self.history, &mut trace);
        assert_eq!(trace.replay(), Some(decision.desired), "the trace leads to the same count");
        (decision, trace)
    }

    fn raw(&self) -> Option<i32> {
        self.run(NOW).0.raw
    }
}

const OFF: Overrides = Overrides {
    owned_pods: None,
    surge_aware: None,
    exact_ceiling: None,
    max_sample_age_ms: None,
    fallback_replicas: None,
    fallback_after_ms: None,
};
const OWNED: Overrides = Overrides { owned_pods: Some(true), ..OFF };
const SURGE: Overrides = Overrides { surge_aware: Some(true), ..OFF };
const EXACT: Overrides = Overrides { exact_ceiling: Some(true), ..OFF };

#[test]
fn owned_pods() {
    let mut cases: Vec<Case> = at_percent(4, 90).into_iter().map(own).collect();
    cases.extend(at_percent(4, 0).into_iter().map(job));
    assert_eq!(World::cpu(4, 50, &cases, OFF).raw(), Some(4), "D17: foreign pods count upstream");
    let world = World::cpu(4, 50, &cases, OWNED);
    assert_eq!(world.raw(), Some(8), "own pods only");
    let (_, trace) = world.run(NOW);
    assert!(trace.switches.owned_pods && !trace.switches.surge_aware, "visible in the trace");
    let Some(Numbers::PerPod(numbers)) = &trace.metrics[0].numbers else { panic!("{trace:?}") };
    assert_eq!(numbers.excluded.len(), 4);
    assert!(
        numbers
            .excluded
            .iter()
            .all(|e| e.class == Class::Foreign && e.reason == "belongs to another workload")
    );
    let foreign: Vec<Case> = at_percent(2, 90).into_iter().map(job).collect();
    assert_eq!(
        World::cpu(2, 50, &foreign, OWNED).run(NOW).0.branch,
        Branch::MetricsFailed,
        "no own pod at all"
    );
}

#[test]
fn whose_pods() {
    let target =
        |group: &str, kind: &str| ScaleTarget { group: group.into(), kind: kind.into(), name: "web".into() };
    let is = |target: ScaleTarget, case: Case| target.is_foreign(&case.pod);
    let deployment = || target("apps", "Deployment");
    assert!(!is(deployment(), own(pod(0))));
    let other = owned(pod(0), "apps", "ReplicaSet", "web-canary-6d4cf56db6", Some("6d4cf56db6"));
    assert!(is(deployment(), other), "web-canary is another Deployment, whose name starts alike");
    assert!(is(deployment(), owned(pod(0), "apps", "ReplicaSet", "web-1", None)), "no label, no Deployment");
    assert!(is(deployment(), job(pod(0))));
    assert!(is(deployment(), pod(0)), "a bare pod");
    assert!(!is(target("apps", "StatefulSet"), owned(pod(0), "apps", "StatefulSet", "web", None)));
    assert!(is(target("apps", "StatefulSet"), owned(pod(0), "apps", "StatefulSet", "db", None)));
    assert!(is(target("apps", "StatefulSet"), owned(pod(0), "other", "StatefulSet", "web", None)));
    let rollout = || target("argoproj.io", "Rollout");
    assert!(!is(rollout(), own(pod(0))), "a Rollout names its ReplicaSets as a Deployment does");
    assert!(is(rollout(), job(pod(0))));
    let between = owned(pod(0), "example.com", "Group", "web-blue", None);
    assert!(!is(target("example.com", "Game"), between.clone()), "the way is not known: as upstream");
    assert!(is(deployment(), between), "a Deployment owns by ReplicaSets only");
}

#[test]
fn surge_awareness() {
    let raw = |percent: i64, overrides| World::cpu(10, 80, &at_percent(13, percent), overrides).raw();
    assert_eq!((raw(96, OFF), raw(96, SURGE)), (Some(16), Some(12)), "D13");
    assert_eq!(
        (raw(70, OFF), raw(70, SURGE)),
        (Some(12), Some(10)),
        "D14: below target is no reason to grow"
    );
    assert_eq!(
        (raw(40, OFF), raw(40, SURGE)),
        (Some(7), Some(7)),
        "the load of all pods, as it will be on fewer"
    );
    let many = |overrides| World::cpu(383, 70, &at_percent(479, 80), overrides).raw();
    assert_eq!((many(OFF), many(SURGE)), (Some(548), Some(438)), "D15");
    let steady = |overrides| World::cpu(10, 80, &at_percent(10, 96), overrides).raw();
    assert_eq!(steady(OFF), steady(SURGE), "nothing differs without a surge");
}

#[test]
fn surge_awareness_of_whole_values() {
    let cases = at_percent(13, 0);
    let world = |overrides| {
        let mut world = World::cpu(10, 80, &cases, overrides);
        world.rules.metrics = vec![Metric {
            source: Source::External {
                name: "q".into(),
                selector: serde_json::Value::Null,
                selector_text: "nil".into(),
            },
            target: Target::Value(1_000),
            text: "external metric q(nil)".into(),
        }];
        world.inputs = vec![Input::External(readings(&[1_500]))];
        world.raw()
    };
    assert_eq!((world(OFF), world(SURGE)), (Some(20), Some(15)));
}

#[test]
fn exact_ceiling() {
    for (id, count, percent, target, float, exact) in [
        ("D22", 7, 290, 70, 30, 29),
        ("D23", 14, 145, 70, 30, 29),
        ("D24", 15, 124, 60, 32, 31),
        ("D25", 21, 90, 70, 28, 27),
    ] {
        let cases = at_percent(count as usize, percent);
        let raw = |overrides| World::cpu(count, target, &cases, overrides).raw();
        assert_eq!((raw(OFF), raw(EXACT)), (Some(float), Some(exact)), "{id}");
    }
    let up = |start| normalize::allowed(true, true, start, PolicyKind::Percent, 10);
    assert_eq!([50, 90, 100, 200].map(up), [55, 99, 110, 220], "D26");
    let down = |start| normalize::allowed(false, true, start, PolicyKind::Percent, 90);
    assert_eq!([10, 20, 100].map(down), [1, 2, 10], "D27");
}

#[test]
fn freshness() {
    let limit = |ms| Overrides { max_sample_age_ms: Some(Some(ms)), ..OFF };
    let mut cases = at_percent(4, 100);
    for case in &mut cases[2..] {
        case.sample = case.sample.map(|sample| PodSample { timestamp_ms: NOW - 60 * SECOND, ..sample });
    }
    assert_eq!(World::cpu(4, 50, &cases, OFF).raw(), Some(8));
    assert_eq!(World::cpu(4, 50, &cases, limit(60 * SECOND)).raw(), Some(8), "the limit itself is fresh");
    let world = World::cpu(4, 50, &cases, limit(59_999));
    assert_eq!(world.raw(), Some(4), "two stale samples are missing: 200 % over four pods");
    let (_, trace) = world.run(NOW);
    let Some(Numbers::PerPod(numbers)) = &trace.metrics[0].numbers else { panic!("{trace:?}") };
    assert_eq!(numbers.excluded[0].reason, "has only a sample older than the limit");
    let mut whole = World::cpu(4, 50, &cases, limit(30 * SECOND));
    whole.rules.metrics = vec![Metric {
        source: Source::External {
            name: "q".into(),
            selector: serde_json::Value::Null,
            selector_text: "nil".into(),
        },
        target: Target::AverageValue(1_000),
        text: String::new(),
    }];
    let reading = |age_ms| Reading { value_milli: 3_000, timestamp_ms: NOW - age_ms };
    whole.inputs = vec![Input::External(vec![reading(0), reading(31 * SECOND)])];
    let (decision, _) = whole.run(NOW);
    assert_eq!((decision.branch, decision.desired), (Branch::MetricsFailed, 4), "half a sum is no sum");
    let failure = decision.proposals.iter().next().unwrap().clone().unwrap_err();
    assert_eq!(
        failure.inner,
        "unable to get external metric ns/q/nil: the value is 31000 ms old, the limit is 30000 ms"
    );
}

#[test]
fn fallback() {
    let after_ms = 3 * MINUTE;
    let fallback = |replicas| Overrides {
        fallback_replicas: Some(Some(replicas)),
        fallback_after_ms: Some(after_ms),
        ..OFF
    };
    let mut world = World::cpu(4, 50, &[], fallback(7));
    world.inputs = vec![Input::Failed("gone".into())];
    let mut counts = Vec::new();
    for minute in 0..6 {
        let now_ms = NOW + minute * MINUTE;
        let (decision, _) = world.run(now_ms);
        world.history.remember(&decision, now_ms);
        counts.push((decision.branch, decision.desired));
    }
    assert_eq!(counts[..3], [(Branch::MetricsFailed, 4); 3], "not before its time");
    assert_eq!(counts[3..], [(Branch::Fallback, 7); 3]);
    let mut lower = World { rules: Rules { overrides: fallback(2), ..world.rules.clone() }, ..world };
    assert_eq!(lower.run(NOW + 5 * MINUTE).0.desired, 4, "missing data never scales down");
    lower.rules.max = 5;
    lower.rules.overrides = fallback(7);
    assert_eq!(lower.run(NOW + 5 * MINUTE).0.desired, 5, "within bounds");
    lower.rules.overrides = OFF;
    let (decision, _) = lower.run(NOW + 5 * MINUTE);
    assert_eq!(
        (decision.branch, decision.failing_since_ms),
        (Branch::MetricsFailed, None),
        "off: nothing is kept"
    );
}

#[test]
fn an_annotation_goes_before_the_flag() {
    let flags = Switches { surge_aware: true, max_sample_age_ms: Some(1), ..Switches::default() };
    let own = Overrides {
        surge_aware: Some(false),
        exact_ceiling: Some(true),
        max_sample_age_ms: Some(None),
        ..OFF
    };
    let effective = flags.with(own, 1);
    assert_eq!(effective, Switches { exact_ceiling: true, ..Switches::default() });
    assert_eq!(flags.with(OFF, 1), flags);
    // Of a fallback each of the two goes before its flag alone.
    let of = |flag: Option<i32>, replicas, after_ms| {
        let flags = Switches {
            fallback: flag.map(|replicas| Fallback { replicas, after_ms: 9 }),
            ..Switches::default()
        };
        let own = Overrides { fallback_replicas: replicas, fallback_after_ms: after_ms, ..OFF };
        flags.with(own, 9).fallback.map(|fallback| (fallback.replicas, fallback.after_ms))
    };
    assert_eq!(of(Some(4), None, Some(5)), Some((4, 5)));
    assert_eq!(of(Some(4), Some(Some(7)), None), Some((7, 9)));
    assert_eq!(of(None, Some(Some(7)), None), Some((7, 9)));
    assert_eq!(of(Some(4), Some(None), Some(5)), None);
    assert_eq!(of(None, None, Some(5)), None);
}
