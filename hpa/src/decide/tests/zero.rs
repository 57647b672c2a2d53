use super::*;

fn queue(target: Target) -> Metric {
    Metric {
        source: Source::External {
            name: "queue".into(),
            selector: serde_json::Value::Null,
            selector_text: "nil".into(),
        },
        target,
        text: "external metric queue(nil)".into(),
    }
}

fn at(current: i32, rules: &Rules, inputs: &[Input], scaled_to_zero: bool, settings: &Settings) -> Decision {
    let snapshot = Snapshot {
        rules,
        settings,
        scale: Scale { spec_replicas: current, status_replicas: current },
        selector: Ok(()),
        pods: &[],
        inputs,
        scaled_to_zero,
    };
    decide(&snapshot, NOW, &History::default(), &mut Trace::on())
}

#[test]
fn leaving_zero() {
    let settings = settings();
    let zero = Rules { min: 0, metrics: vec![queue(Target::Value(15_000))], ..rules(50) };
    let usage = [Input::External(readings(&[20_000]))];
    assert_eq!(at(0, &zero, &usage, false, &settings).branch, Branch::Disabled, "Z1, Z4, C5");
    let raised = Rules { min: 2, ..rules(50) };
    let failing = [Input::Failed("x".into())];
    let idle = Rules { min: 2, ..zero.clone() };
    let decision = at(0, &idle, &[Input::External(readings(&[0]))], true, &settings);
    assert_eq!((decision.desired, decision.limit), (2, Some(Limit::TooFewReplicas)), "Z2");
    assert_eq!(at(0, &raised, &failing, true, &settings).desired, 0, "all metrics fail: stays at zero");
    let gate_off = Settings { scale_to_zero: false, ..settings };
    assert_eq!(at(0, &idle, &usage, true, &gate_off).branch, Branch::Disabled, "Z2 gate off");
    let decision = at(0, &zero, &usage, true, &settings);
    assert_eq!((decision.desired, decision.reason), (2, Reason::MetricAboveTarget(0)), "Z3");
    let cpu_only = Rules { min: 0, ..rules(50) };
    assert_eq!(
        at(0, &cpu_only, &usage, true, &settings).branch,
        Branch::Disabled,
        "min 0 without Object or External"
    );
}

#[test]
fn growth_from_zero() {
    let settings = settings();
    let rules = Rules { min: 0, max: 30, metrics: vec![queue(Target::AverageValue(10_000))], ..rules(50) };
    assert_eq!(at(0, &rules, &[Input::External(readings(&[30_000]))], true, &settings).desired, 3, "Z6");
    let long = [Input::External(readings(&[300_000]))];
    let mut counts = vec![0];
    for _ in 0..4 {
        counts.push(at(counts[counts.len() - 1], &rules, &long, true, &settings).desired);
    }
    assert_eq!(counts, [0, 4, 8, 16, 30], "Z7");
}

#[test]
fn clamps_bypass_everything() {
    let settings = settings();
    let mut behavior = default_behavior();
    behavior.scale_down.select = Select::Disabled;
    let disabled = Rules { max: 5, min: 3, behavior: Some(behavior), ..rules(50) };
    let decision = at(10, &disabled, &[], false, &settings);
    assert_eq!((decision.desired, decision.branch), (5, Branch::AboveMax), "C7, C22");
    let decision = at(2, &disabled, &[], false, &settings);
    assert_eq!((decision.desired, decision.branch), (3, Branch::BelowMin), "C6");
    assert!(decision.proposals.is_empty() && decision.limit.is_none(), "C6: no metrics read, no limit");
}

#[test]
fn several_metrics() {
    let settings = settings();
    let two = |first: i64, second: Input| {
        let rules = Rules {
            metrics: vec![queue(Target::AverageValue(10_000)), queue(Target::AverageValue(10_000))],
            ..rules(50)
        };
        at(3, &rules, &[Input::External(readings(&[first])), second], false, &settings)
    };
    let broken = || Input::Failed("broken".into());
    assert_eq!(two(40_000, broken()).desired, 4, "C1");
    let decision = two(10_000, broken());
    assert_eq!((decision.branch, decision.desired), (Branch::MetricsFailed, 3), "C2");
    let decision = two(30_000, broken());
    assert_eq!((decision.branch, decision.desired), (Branch::Evaluated, 3), "C21");
    let decision = two(40_000, Input::External(readings(&[60_000])));
    assert_eq!((decision.desired, decision.winner), (6, Some(1)), "C3 maximum");
    assert_eq!(
        two(40_000, Input::External(readings(&[40_000]))).winner,
        Some(0),
        "ties keep the earlier metric"
    );
}
