use super::*;

fn frame<'a>(
    current: i32,
    up: f64,
    pods: &'a [Pod],
    settings: &'a Settings,
    scale_target: &'a ScaleTarget,
) -> Frame<'a> {
    let tolerances = Tolerances { down: 0.1, up };
    Frame { current, pods, tolerances, settings, scale_target, now_ms: NOW, cpu: false }
}

/// `value` form with `ready` of `total` pods ready.
fn value(current: i32, ready: usize, total: usize, usage: i64, target: i64, up: f64) -> i32 {
    let mut cases = vec![pod(0); ready];
    cases.extend(vec![pod(0).not_ready(); total - ready]);
    let (pods, settings) = (pods_of(&cases), settings());
    let scale_target = ScaleTarget::default();
    let frame = frame(current, up, &pods, &settings, &scale_target);
    whole::value(&frame, usage, target, &mut Trace::on()).unwrap().replicas
}

/// `averageValue` form: replicas and reported average.
fn average(status: i32, usage: i64, target: i64, up: f64) -> (i32, i64) {
    let settings = settings();
    let scale_target = ScaleTarget::default();
    let frame = frame(status, up, &[], &settings, &scale_target);
    let outcome = whole::average_value(&frame, status, usage, target, &mut Trace::on());
    (outcome.replicas, outcome.value_milli)
}

#[test]
fn object() {
    assert_eq!(value(3, 3, 3, 20_000, 15_000, 0.1), 4, "O1");
    assert_eq!(value(3, 3, 3, i64::MAX, 1, 0.1), i32::MAX, "O2");
    assert_eq!(value(3, 1, 3, 50_000, 10_000, 0.1), 5, "O3");
    assert_eq!(value(5, 5, 5, 12_000, 20_000, 0.1), 3, "O4");
    assert_eq!(value(3, 3, 3, 20_666, 20_000, 0.1), 3, "O5");
    assert_eq!(value(3, 3, 3, 20_666, 20_000, 0.01), 4, "O6");
    assert_eq!(average(3, 20_000, 5_000, 0.1), (4, 6_667), "O7");
    assert_eq!(average(5, 6_000, 2_000, 0.1), (3, 1_200), "O8");
    assert_eq!(average(4, 20_166, 5_000, 0.1), (4, 5_042), "O9");
    assert_eq!(average(4, 20_208, 5_000, 0.01), (5, 5_052), "O10");
    assert_eq!(average(0, 20_000, 5_000, 0.1), (4, 0), "O11");
    assert_eq!(average(0, 0, 5_000, 0.1), (0, 0), "O12");
    assert_eq!(average(1, i64::MAX, i64::MAX, 0.1), (1, i64::MAX), "O13");
}

#[test]
fn external() {
    assert_eq!(value(3, 1, 3, 8_600, 4_400, 0.1), 2, "E1");
    assert_eq!(value(5, 5, 5, 8_600, 14_334, 0.1), 3, "E2");
    assert_eq!(value(3, 3, 3, 8_600, 8_888, 0.1), 3, "E3");
    assert_eq!(value(3, 3, 3, 8_900, 8_800, 0.01), 4, "E4");
    let half = i64::MAX / 2 + 1;
    assert_eq!(whole::external_sum([half, half]), i64::MAX, "E5");
    assert_eq!(value(3, 3, 3, i64::MAX, i64::MAX, 0.1), 3, "E5");
    assert_eq!(average(3, 8_600, 2_150, 0.1), (4, 2_867), "E6");
    assert_eq!(average(5, 8_600, 2_867, 0.1), (3, 1_720), "E7");
    assert_eq!(average(3, 8_600, 2_900, 0.1), (3, 2_867), "E8");
    assert_eq!(average(3, 8_600, 2_800, 0.01).0, 4, "E9");
    assert_eq!(average(1, i64::MAX, 1, 0.1).0, i32::MAX, "E10");
    assert_eq!(average(20, 21_000, 1_000, 0.1).0, 20, "E11");
    assert_eq!(average(20, 22_000, 1_000, 0.1).0, 20, "E12");
    assert_eq!(average(20, 23_000, 1_000, 0.1).0, 23, "E13");
    assert_eq!(average(20, 21_000, 1_000, 0.0).0, 21, "E14");
    assert_eq!(value(3, 0, 3, 50_000, 1_000, 0.1), 0, "E15");
    assert_eq!(value(0, 0, 0, 1, 1_000, 0.1), 1, "E16");
    for (usage, expected) in [(1_100, 10), (1_101, 12), (900, 10), (899, 9)] {
        assert_eq!(value(10, 10, 10, usage, 1_000, 0.1), expected, "E17 at {usage}");
    }
    assert_eq!(whole::external_sum_per_pod([-1]), i64::MAX, "Q12");
    assert_eq!(whole::external_sum([-5, 3]), -2, "the value form keeps negative sums");
    assert_eq!(whole::per_pod_usage(20_000, 0), 0, "R5");
    assert_eq!(whole::per_pod_usage(1_000, 3), 334, "R5");
}

#[test]
fn texts_of_failing_object_and_external_metrics() {
    let described = Described { kind: "Service".into(), name: "svc".into(), api_version: "v1".into() };
    let object = Source::Object { name: "rps".into(), selector: serde_json::Value::Null, described };
    let external = Source::External {
        name: "queue".into(),
        selector: serde_json::Value::Null,
        selector_text: "nil".into(),
    };
    let settings = settings();
    let fail = |source: &Source, target| {
        let metric = Metric { source: source.clone(), target, text: String::new() };
        let rules = Rules { metrics: vec![metric], ..rules(1) };
        let inputs = [Input::Failed("gone".into())];
        let snapshot = Snapshot {
            rules: &rules,
            settings: &settings,
            scale: Scale { spec_replicas: 3, status_replicas: 3 },
            selector: Ok(()),
            pods: &[],
            inputs: &inputs,
            scaled_to_zero: false,
        };
        let decision = decide(&snapshot, NOW, &History::default(), &mut Trace::off());
        decision.proposals.iter().next().unwrap().clone().unwrap_err().full
    };
    for (source, target, expected) in [
        (
            &object,
            Target::Value(1),
            "failed to get object metric value: unable to get metric rps on Service ns/svc: gone",
        ),
        (
            &object,
            Target::AverageValue(1),
            "failed to get object metric value: failed to get rps object metric: unable to get metric rps on Service \
             ns/svc: gone",
        ),
        (
            &external,
            Target::Value(1),
            "failed to get queue external metric value: failed to get external metric queue: unable to get external \
             metric ns/queue/nil: gone",
        ),
        (
            &external,
            Target::AverageValue(1),
            "failed to get queue external metric value: failed to get queue external metric: unable to get external \
             metric ns/queue/nil: gone",
        ),
    ] {
        assert_eq!(fail(source, target), expected);
    }
}
