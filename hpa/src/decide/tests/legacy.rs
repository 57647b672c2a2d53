use super::normalize::{Bounds, Normalized, clamp_without_behavior, without_behavior};
use super::*;

fn recs(list: &[(i32, i64)]) -> History {
    let recommendations =
        list.iter().map(|(replicas, ago)| Recommendation { replicas: *replicas, at_ms: NOW - ago }).collect();
    History { recommendations, ..History::default() }
}

#[test]
fn bounds_and_growth() {
    use Limit::*;
    for (id, current, desired, min, max, replicas, limit) in [
        ("N1", 5, 7, 3, 8, 7, DesiredWithinRange),
        ("N2", 3, 1, 2, 8, 2, TooFewReplicas),
        ("N3", 1, 0, 0, 10, 0, DesiredWithinRange),
        ("N4", 20, 1000, 1, 10, 10, TooManyReplicas),
        ("N5", 3, 1000, 1, 2000, 6, ScaleUpLimit),
        ("N6", 4, 8, 1, 8, 8, DesiredWithinRange),
        ("N7", 4, 9, 1, 8, 8, TooManyReplicas),
        ("N8", 4, 9, 1, 10, 8, ScaleUpLimit),
        ("N9", 10, 3, 5, 20, 5, TooFewReplicas),
    ] {
        let limit_now = Growth::of(current, &History::default(), &settings(), NOW).limit();
        let got = clamp_without_behavior(Bounds { current, min, max }, desired, limit_now);
        assert_eq!(got, (replicas, limit), "{id}");
    }
}

#[test]
fn stabilisation() {
    let run = |history: &mut History, current: i32, raw: i32| -> Normalized {
        let bounds = Bounds { current, min: 1, max: 100 };
        let result = without_behavior(bounds, raw, history, &settings(), NOW, &mut Trace::on());
        history.commit(current, Some(result.record), NOW);
        result
    };
    for (id, list, expected, length) in [
        ("N10", recs(&[(4, 2 * MINUTE), (5, MINUTE)]), 5, 3),
        ("N11", recs(&[(1, 2 * MINUTE), (2, MINUTE)]), 3, 3),
        ("N12", recs(&[(10, 10 * MINUTE), (9, 9 * MINUTE)]), 3, 2),
        ("N13", recs(&[(10, 10 * MINUTE), (4, 2 * MINUTE), (5, MINUTE), (9, 9 * MINUTE)]), 5, 4),
    ] {
        let mut history = list;
        let result = run(&mut history, 100, 3);
        assert_eq!(result.replicas, expected, "{id}");
        assert_eq!(history.recommendations.len(), length, "{id}: length");
        assert!(
            history.recommendations.contains(&Recommendation { replicas: 3, at_ms: NOW }),
            "{id}: recorded"
        );
    }
    assert_eq!(run(&mut recs(&[(8, 10 * SECOND)]), 5, 2).replicas, 8, "S12");
    let edge = run(&mut recs(&[(8, 300 * SECOND)]), 5, 2);
    assert_eq!(
        (edge.replicas, edge.stabilization),
        (8, Stabilization::ScaleDownStabilized),
        "the edge counts"
    );
    assert_eq!(run(&mut recs(&[(8, 300 * SECOND + 1)]), 5, 2).replicas, 2, "past the edge");
}

/// Unlimited demand, one evaluation every `step_ms`; gives the counts after each evaluation with their times.
fn grow(start: i32, step_ms: i64, growth_period_ms: Option<i64>, until_ms: i64) -> Vec<(i64, i32)> {
    let settings = Settings { growth_period_ms, ..settings() };
    let (mut history, mut current) = (History::default(), start);
    let mut counts = Vec::new();
    for at_ms in (0..=until_ms).step_by(step_ms as usize) {
        let bounds = Bounds { current, min: 1, max: 1000 };
        let result = without_behavior(bounds, 1000, &history, &settings, NOW + at_ms, &mut Trace::off());
        history.commit(current, Some(result.record), NOW + at_ms);
        if result.replicas != current {
            history.record_rescale(None, current, result.replicas, NOW + at_ms);
            current = result.replicas;
        }
        counts.push((at_ms, current));
    }
    counts
}

#[test]
fn growth_is_limited_per_sync_period_whatever_the_cadence() {
    let upstream: Vec<i32> = grow(1, 15_000, None, 75_000).iter().map(|(_, count)| *count).collect();
    assert_eq!(upstream, [4, 8, 16, 32, 64, 128], "the growth table, one evaluation per period");
    for step_ms in [100, 1_000, 4_000, 15_000] {
        let counts = grow(1, step_ms, Some(15_000), 90_000);
        for (at_ms, count) in &counts {
            // The count at the start of the period that ends here, which is 1 before the first evaluation.
            let before =
                counts.iter().rev().find(|(then, _)| *then <= at_ms - 15_000).map_or(1, |(_, count)| *count);
            assert!(*count <= (2 * before).max(4), "step {step_ms} at {at_ms}: {before} -> {count}");
        }
        assert_eq!(counts[0].1, 4, "the first step is not delayed");
    }
    let every_second = grow(1, 1_000, Some(15_000), 75_000);
    assert_eq!(every_second.last().unwrap().1, 128, "and nothing is lost to upstream's speed");
}

#[test]
fn a_limit_of_growth_never_shrinks() {
    let mut history = History::default();
    history.record_rescale(None, 1, 20, NOW - SECOND);
    let result = without_behavior(
        Bounds { current: 20, min: 1, max: 50 },
        50,
        &history,
        &settings(),
        NOW,
        &mut Trace::off(),
    );
    assert_eq!(result.replicas, 20);
}
