use super::*;

#[test]
fn utilization() {
    let phased = |phase| [pod(0).missing().phase(phase), pod(0).missing().phase(phase)];
    let with = |mut cases: Vec<Case>, more: &[Case]| {
        cases.extend_from_slice(more);
        cases
    };
    let down = [100, 300, 500, 250, 250];
    let last_two = |change: fn(Case) -> Case| {
        let mut cases = pods(&down);
        cases[3] = change(cases[3].clone());
        cases[4] = change(cases[4].clone());
        cases
    };
    assert_eq!(cpu(3, 30, &pods(&[300, 500, 700])), (5, 50), "U1, and U2 for one container");
    assert_eq!(cpu(3, 30, &[pod(300).not_ready(), pod(500), pod(700)]), (4, 60), "U3");
    assert_eq!(cpu(3, 30, &[pod(300).hot(), pod(500), pod(700)]), (4, 60), "U4, and U5 for one container");
    assert_eq!(cpu(3, 30, &[pod(400), pod(500).not_ready(), pod(700).not_ready()]), (3, 40), "U6");
    assert_eq!(
        cpu(3, 30, &[pod(400), pod(500).hot().not_ready(), pod(700).hot().not_ready()]),
        (3, 40),
        "U7"
    );
    assert_eq!(cpu(2, 30, &with(pods(&[500, 700]), &phased(Phase::Failed))), (4, 60), "U8, U9");
    assert_eq!(cpu(2, 30, &with(pods(&[500, 700]), &phased(Phase::Succeeded))), (4, 60), "U10");
    let leaving = [pod(900).deleting(), pod(900).deleting()];
    assert_eq!(cpu(2, 30, &with(pods(&[500, 700]), &leaving)), (4, 60), "U11");
    assert_eq!(cpu(5, 50, &pods(&down)), (3, 28), "U12, and U13 for one container");
    assert_eq!(cpu(5, 50, &last_two(Case::not_ready)), (2, 30), "U14");
    let pending = vec![pod(0).missing().phase(Phase::Pending); 4];
    assert_eq!(cpu(5, 50, &with(pods(&[100]), &pending)), (1, 10), "U15");
    assert_eq!(cpu(5, 50, &last_two(Case::hot)), (2, 30), "U16");
    let hot = [pod(100), pod(300), pod(500), pod(1000).hot(), pod(1000).hot()];
    assert_eq!(cpu(5, 50, &hot), (2, 30), "U17");
    assert_eq!(cpu(5, 50, &with(pods(&down), &phased(Phase::Failed))), (3, 28), "U18");
    assert_eq!(cpu(5, 50, &with(pods(&down), &phased(Phase::Succeeded))), (3, 28), "U19");
    assert_eq!(cpu(5, 50, &with(pods(&down), &leaving)), (3, 28), "U20");
}

#[test]
fn status_counts_and_foreign_samples_in_a_whole_decision() {
    assert_eq!(cpu(4, 50, &at_percent(5, 50)), (4, 50), "C8");
    let settings = settings();
    let rules = Rules { min: 2, max: 6, ..rules(100) };
    let cases = pods(&[4000, 9500, 3000, 7000]);
    let (pods, inputs) = (pods_of(&cases), [Input::PerPod(samples_of(&cases, &[3200, 2000]))]);
    let snapshot = Snapshot {
        rules: &rules,
        settings: &settings,
        scale: Scale { spec_replicas: 4, status_replicas: 4 },
        selector: Ok(()),
        pods: &pods,
        inputs: &inputs,
        scaled_to_zero: false,
    };
    let decision = decide(&snapshot, NOW, &History::default(), &mut Trace::on());
    assert_eq!((decision.desired, decision.raw), (6, Some(24)), "C9");
}

#[test]
fn tolerance() {
    let run = |down: f64, up: f64, target: i32, usages: [i64; 3]| {
        let requests = [900, 1000, 1100];
        let cases: Vec<Case> = usages.iter().zip(requests).map(|(u, r)| pod(*u).request(r)).collect();
        let outcome = cpu_within(Tolerances { down, up }, 3, target, &cases, &[]).unwrap();
        (outcome.replicas, outcome.utilization.unwrap())
    };
    assert_eq!(run(0.1, 0.1, 100, [1010, 1030, 1020]), (3, 102), "T1");
    assert_eq!(run(0.0, 0.0, 100, [909, 1010, 1111]), (4, 101), "T2");
    assert_eq!(run(0.0, 2.0, 100, [1890, 1910, 1900]), (3, 190), "T3");
    assert_eq!(run(2.0, 0.08, 100, [1100, 1080, 1090]), (4, 109), "T4");
    assert_eq!(run(0.36, 0.1, 100, [660, 640, 650]), (3, 65), "T5");
    assert_eq!(run(0.34, 0.1, 100, [660, 640, 650]), (2, 65), "T6");
    let requests = [290, 310, 280, 320, 270, 330, 300, 300, 300, 300];
    let ten: Vec<Case> = requests.iter().map(|request| pod(150).request(*request)).collect();
    assert_eq!(cpu(10, 56, &ten), (9, 50), "T7");
    assert_eq!(cpu(10, 55, &ten), (10, 50), "T8");
}

#[test]
fn tolerance_of_the_hpa() {
    let run = |gate: bool, down: Option<f64>, up: Option<f64>, percent: i64| {
        let settings = Settings { configurable_tolerance: gate, ..settings() };
        let mut behavior = default_behavior();
        behavior.scale_down.tolerance = down;
        behavior.scale_up.tolerance = up;
        let rules = Rules { behavior: Some(behavior), ..rules(100) };
        let cases = at_percent(3, percent);
        let (pods, inputs) = (pods_of(&cases), [Input::PerPod(samples_of(&cases, &[]))]);
        let snapshot = Snapshot {
            rules: &rules,
            settings: &settings,
            scale: Scale { spec_replicas: 3, status_replicas: 3 },
            selector: Ok(()),
            pods: &pods,
            inputs: &inputs,
            scaled_to_zero: false,
        };
        decide(&snapshot, NOW, &old_history(), &mut Trace::off()).desired
    };
    assert_eq!(run(true, None, Some(0.01), 105), 4, "T9");
    assert_eq!(run(true, Some(0.9), None, 30), 3, "T10");
    assert_eq!(run(false, None, Some(0.01), 105), 3, "T11");
}

/// A history whose only recommendation is outside of every window.
fn old_history() -> History {
    let recommendations = vec![Recommendation { replicas: 1, at_ms: NOW - 60 * MINUTE }];
    History { recommendations, ..History::default() }
}

#[test]
fn missing_and_foreign_samples() {
    let outcome = cpu_within(TENTH, 4, 100, &pods(&[4000, 9500, 3000, 7000]), &[3200, 2000]).unwrap();
    assert_eq!((outcome.replicas, outcome.utilization), (24, Some(587)), "M1");
    let two = |usage: i64| pod(usage).request(2000);
    let outcome =
        cpu_within(TENTH, 4, 100, &[two(800), two(190), two(0).missing(), two(0).missing()], &[]).unwrap();
    assert_eq!((outcome.replicas, outcome.utilization, outcome.value_milli), (3, Some(24), 495), "M2");
    assert_eq!(cpu(2, 100, &[pod(1000), pod(0).missing()]), (2, 100), "M3");
    assert_eq!(cpu(2, 100, &[pod(1900), pod(0).missing()]), (2, 190), "M4");
    assert_eq!(cpu(2, 100, &[pod(600), pod(0).missing()]), (2, 60), "M5");
    assert_eq!(cpu(3, 50, &[pod(100).not_ready(), pod(450), pod(0).missing()]), (3, 45), "M6");
    assert_eq!(cpu(3, 50, &[pod(100).hot(), pod(450), pod(0).missing()]), (3, 45), "M7");
    assert_eq!(cpu(3, 50, &[pod(100).not_ready(), pod(2000), pod(0).missing()]), (4, 200), "M8");
    let nine = [pod(100).not_ready(), pod(100), pod(100), pod(0).missing()];
    assert_eq!(cpu(4, 50, &nine), (3, 10), "M9");
    let ten = [pod(200).not_ready(), pod(100), two(100), two(0).missing()];
    assert_eq!(cpu(4, 300, &ten), (2, 6), "M10");
    assert_eq!(cpu(2, 50, &[pod(100), pod(100), pod(0).missing()]), (2, 10), "M11");
    let error = |cases: &[Case], foreign: &[i64]| cpu_within(TENTH, 1, 100, cases, foreign).unwrap_err();
    assert_eq!(error(&[pod(0).missing()], &[100]), replicas::NO_KNOWN_PODS, "M12");
    assert_eq!(error(&[pod(0).missing()], &[]), replicas::NO_USABLE_SAMPLES, "no usable sample");
    assert_eq!(error(&[], &[]), replicas::NO_PODS, "no pods");
}

#[test]
fn failing_metrics_keep_their_texts() {
    let settings = settings();
    let fail = |metric: Metric, input: Input, cases: &[Case]| {
        let rules = Rules { metrics: vec![metric], ..rules(100) };
        let (pods, inputs) = (pods_of(cases), [input]);
        let snapshot = Snapshot {
            rules: &rules,
            settings: &settings,
            scale: Scale { spec_replicas: 3, status_replicas: 3 },
            selector: Ok(()),
            pods: &pods,
            inputs: &inputs,
            scaled_to_zero: false,
        };
        let decision = decide(&snapshot, NOW, &History::default(), &mut Trace::off());
        assert_eq!((decision.branch, decision.desired), (Branch::MetricsFailed, 3));
        let failure = decision.proposals.iter().next().unwrap().clone().unwrap_err();
        (failure.reason, failure.full)
    };
    let cpu = || rules(100).metrics.remove(0);
    let (reason, text) =
        fail(cpu(), Input::Failed("no metrics returned from resource metrics API".into()), &[]);
    assert_eq!(reason, "FailedGetResourceMetric", "M13, C10");
    assert_eq!(
        text,
        "failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource \
         cpu: no metrics returned from resource metrics API",
        "M13"
    );
    let cases = [pod(1000)];
    let request = Err("missing request for cpu in container c of Pod p".to_owned());
    let samples = PodSamples { requests: request, ..samples_of(&cases, &[]) };
    let (_, text) = fail(cpu(), Input::PerPod(samples), &cases);
    assert!(text.ends_with("utilization: missing request for cpu in container c of Pod p"), "M14: {text}");
    let unknown = Metric { source: Source::Unknown { kind: "Odd".into() }, ..cpu() };
    let (reason, text) = fail(unknown, Input::Object(readings(&[1])[0]), &[]);
    assert_eq!(
        (reason, text.as_str()),
        ("InvalidMetricSourceType", "unknown metric source type \"Odd\""),
        "C11"
    );
}

/// A plain target over samples without readiness rules.
fn plain(current: i32, target: i64, cases: &[Case], tolerances: Tolerances, cpu: bool) -> (i32, i64) {
    let (pods, settings) = (pods_of(cases), settings());
    let scale_target = ScaleTarget::default();
    let frame = Frame {
        current,
        pods: &pods,
        tolerances,
        settings: &settings,
        scale_target: &scale_target,
        now_ms: NOW,
        cpu,
    };
    let outcome = replicas::plain(frame, &samples_of(cases, &[]), target, &mut Trace::on()).unwrap();
    (outcome.replicas, outcome.value_milli)
}

#[test]
fn plain_values() {
    let run = |current, target, cases: &[Case]| plain(current, target, cases, TENTH, false);
    assert_eq!(run(3, 15_000, &pods(&[20_000, 10_000, 30_000])), (4, 20_000), "P1");
    let hot = [pod(50_000), pod(10_000).hot().not_ready(), pod(30_000)];
    assert_eq!(run(3, 15_000, &hot), (6, 30_000), "P2");
    let hot = [pod(50_000), pod(15_000).hot().not_ready(), pod(30_000).not_ready()];
    assert_eq!(run(3, 15_000, &hot), (7, 31_666), "P3");
    assert_eq!(run(5, 20_000, &pods(&[12_000; 5])), (3, 12_000), "P4");
    assert_eq!(run(3, 20_000, &pods(&[20_000, 21_000, 21_000])), (3, 20_666), "P5");
    let narrow = Tolerances { down: 0.1, up: 0.01 };
    assert_eq!(plain(3, 20_000, &pods(&[20_000, 21_000, 21_000]), narrow, false), (4, 20_666), "P6");
    let missing = |mut cases: Vec<Case>, count| {
        cases.extend(vec![pod(0).missing(); count]);
        cases
    };
    assert_eq!(run(5, 20_000, &missing(pods(&[20_000, 19_000, 21_000]), 2)), (5, 20_000), "P7");
    assert_eq!(run(2, 17_000, &missing(pods(&[10_000, 10_000]), 1)), (2, 10_000), "P8");
    assert_eq!(run(4, 100, &missing(pods(&[50; 3]), 1)), (3, 50), "P9");
    assert_eq!(run(4, 100, &missing(pods(&[300; 3]), 1)), (9, 300), "P10");
    let mebi = 1 << 20;
    assert_eq!(run(3, 100 * mebi * 1000, &pods(&[150 * mebi * 1000; 3])).0, 5, "P11");
    assert_eq!(run(3, 100, &pods(&[110, 110, 111])), (3, 110), "P12");
    assert_eq!(run(3, 100, &pods(&[111; 3])), (4, 111), "P13");
    let half = [pod(900), pod(900), pod(100).not_ready(), pod(100).not_ready()];
    assert_eq!(plain(4, 500, &half, TENTH, true), (4, 900), "P14");
}
