use super::PolicyKind::{Percent, Pods};
use super::normalize::{Bounds, allowed, limit_rate, rate_limit, with_behavior};
use super::*;

/// Changes that happened a second ago.
fn events(changes: &[i32]) -> Vec<ScaleEvent> {
    changes
        .iter()
        .map(|change| ScaleEvent { change: *change, at_ms: NOW - SECOND, outdated: false })
        .collect()
}

fn up(policies: &[Policy]) -> Behavior {
    Behavior { scale_up: direction(policies), ..default_behavior() }
}

fn down(policies: &[Policy]) -> Behavior {
    Behavior { scale_down: direction(policies), ..default_behavior() }
}

fn select(mut behavior: Behavior, select: Select) -> Behavior {
    behavior.scale_up.select = select;
    behavior.scale_down.select = select;
    behavior
}

struct Row<'a> {
    id: &'a str,
    counts: (i32, i32),
    bounds: (i32, i32),
    behavior: Behavior,
    ups: &'a [i32],
    downs: &'a [i32],
    expected: (i32, Limit),
}

fn row<'a>(id: &'a str, counts: (i32, i32), behavior: Behavior, expected: (i32, Limit)) -> Row<'a> {
    Row { id, counts, bounds: (0, 1000), behavior, ups: &[], downs: &[], expected }
}

impl<'a> Row<'a> {
    fn within(self, min: i32, max: i32) -> Self {
        Row { bounds: (min, max), ..self }
    }
    fn after(self, ups: &'a [i32], downs: &'a [i32]) -> Self {
        Row { ups, downs, ..self }
    }
}

#[test]
fn rate_limits() {
    use Limit::*;
    let p = policy;
    let rows = [
        row("B1", (10, 50), default_behavior(), (20, ScaleUpLimit)),
        row("B2", (10, 500), up(&[p(Pods, 100, 60), p(Percent, 100, 60)]), (110, ScaleUpLimit)),
        row("B3", (10, 500), up(&[p(Pods, 2, 60), p(Percent, 100, 60)]), (20, ScaleUpLimit)),
        row("B4", (10, 50), up(&[p(Pods, 30, 60)]), (40, ScaleUpLimit)),
        row("B5", (10, 50), up(&[p(Percent, 200, 60)]), (30, ScaleUpLimit)),
        row("B6", (3, 1000), up(&[p(Percent, 1, 60)]), (4, ScaleUpLimit)).within(1, 2000),
        row("B7", (100, 1000), default_behavior(), (150, TooManyReplicas)).within(100, 150),
        row("B8", (100, 2), down(&[p(Pods, 20, 60), p(Percent, 1, 60)]), (80, ScaleDownLimit)),
        row("B9", (100, 2), down(&[p(Pods, 2, 60), p(Percent, 1, 60)]), (98, ScaleDownLimit)),
        row("B10", (10, 0), down(&[p(Pods, 100, 60)]), (1, TooFewReplicas)).within(1, 20),
        row("B11", (10, 2), down(&[p(Percent, 100, 60)]), (5, TooFewReplicas)).within(5, 20),
        row("B12", (10, 2), down(&[p(Pods, 5, 60)]), (5, ScaleDownLimit)),
        row("B13", (10, 5), down(&[p(Percent, 50, 60)]), (5, DesiredWithinRange)),
        row("B14", (100, 500), up(&[p(Pods, 300, 60)]), (200, TooManyReplicas))
            .within(1, 200)
            .after(&[1, 5, 9], &[]),
        row("B15", (100, 500), up(&[p(Pods, 5, 120)]), (100, ScaleUpLimit)).after(&[1, 5, 9], &[]),
        row("B16", (100, 500), up(&[p(Pods, 150, 120)]), (235, ScaleUpLimit)).after(&[1, 5, 9], &[]),
        row("B17", (100, 500), up(&[p(Percent, 200, 120)]), (255, ScaleUpLimit)).after(&[1, 5, 9], &[]),
        row("B18", (6, 24), up(&[p(Percent, 300, 300)]), (16, ScaleUpLimit)).after(&[4], &[2]),
        row("B19", (100, 2), down(&[p(Pods, 5, 120)]), (100, ScaleDownLimit)).after(&[], &[1, 5, 9]),
        row("B20", (100, 0), down(&[p(Percent, 50, 120)]), (56, ScaleDownLimit)).after(&[], &[2, 4, 6]),
        row("B21", (10, 1), down(&[p(Percent, 50, 180)]), (6, ScaleDownLimit)).after(&[2], &[4]),
        row("B22", (100, 0), down(&[p(Percent, 10, 120)]), (100, ScaleDownLimit)).after(&[], &[10, 10, 10]),
        row("B23", (10, 5), down(&[p(Percent, 1000, 120)]), (5, DesiredWithinRange)),
        row("B26", (3, 1000), up(&[p(Percent, 700, 60)]), (24, ScaleUpLimit)).within(1, 100),
        row("B27", (3, 1000), up(&[p(Percent, 700, 60)]), (20, TooManyReplicas)).within(1, 20),
        row("B28", (3, 10), select(default_behavior(), Select::Disabled), (3, ScaleUpLimit)),
        row("B29", (10, 3), select(default_behavior(), Select::Disabled), (10, ScaleDownLimit)),
        row(
            "B30",
            (10, 50),
            select(up(&[p(Pods, 4, 60), p(Percent, 10, 60)]), Select::Min),
            (11, ScaleUpLimit),
        ),
        row("B31 Max", (80, 10), down(&[p(Pods, 4, 60), p(Percent, 10, 60)]), (72, ScaleDownLimit)),
        row(
            "B31 Min",
            (80, 10),
            select(down(&[p(Pods, 4, 60), p(Percent, 10, 60)]), Select::Min),
            (76, ScaleDownLimit),
        ),
        row("B32", (30, 1), down(&[p(Pods, 4, 60), p(Percent, 10, 60)]), (26, ScaleDownLimit)),
        row("B32", (40, 1), down(&[p(Pods, 4, 60), p(Percent, 10, 60)]), (36, ScaleDownLimit)),
        row("B32", (50, 1), down(&[p(Pods, 4, 60), p(Percent, 10, 60)]), (45, ScaleDownLimit)),
        row("B34", (20, 40), up(&[p(Pods, 4, 60)]), (23, ScaleUpLimit)).after(&[3], &[2]),
        row("B35", (20, 5), down(&[p(Percent, 50, 60)]), (5, DesiredWithinRange)).after(&[10], &[]),
        row("B36", (20, 5), down(&[p(Pods, 3, 60)]), (7, ScaleDownLimit)).after(&[10], &[]),
        row("B37", (8, 50), default_behavior(), (12, TooManyReplicas)).within(1, 12),
        row("B38 max 8", (4, 50), default_behavior(), (8, TooManyReplicas)).within(1, 8),
        row("B38 max 9", (4, 50), default_behavior(), (8, ScaleUpLimit)).within(1, 9),
        row("B42", (0, 9), up(&[p(Percent, 100, 15)]), (0, ScaleUpLimit)),
    ];
    for Row { id, counts: (current, stabilized), bounds: (min, max), behavior, ups, downs, expected } in rows
    {
        let history = History { scale_ups: events(ups), scale_downs: events(downs), ..History::default() };
        let bounds = Bounds { current, min, max };
        assert_eq!(
            limit_rate(bounds, stabilized, &behavior, &history, &settings(), NOW, &mut Trace::on()),
            expected,
            "{id}"
        );
    }
}

#[test]
fn least_change() {
    let rules = [policy(Pods, 2, 60), policy(Percent, 50, 60)];
    let up = Direction { select: Select::Min, ..direction(&rules) };
    let least = |grows: bool, current: i32| {
        let allowed = up.policies.iter().map(|p| allowed(grows, false, current, p.kind, p.value));
        rate_limit(grows, current, up.select, allowed)
    };
    assert_eq!(least(true, 1), 2, "B24");
    assert_eq!(least(false, 5), 3, "B25");
}

#[test]
fn the_edge_of_a_period_is_outside() {
    let limit = |age_ms| {
        let event = ScaleEvent { change: 4, at_ms: NOW - age_ms, outdated: false };
        let history = History { scale_ups: vec![event], ..History::default() };
        let bounds = Bounds { current: 20, min: 1, max: 100 };
        limit_rate(bounds, 40, &up(&[policy(Pods, 4, 60)]), &history, &settings(), NOW, &mut Trace::off()).0
    };
    assert_eq!((limit(60_000), limit(59_999)), (24, 20), "B33");
}

/// One evaluation per minute with the same demand.
fn steps(start: i32, demand: i32, behavior: &Behavior, count: usize) -> Vec<i32> {
    let (mut history, mut current) = (History::default(), start);
    let mut counts = vec![start];
    for minute in 0..count as i64 {
        let (now, bounds) = (NOW + minute * MINUTE, Bounds { current, min: 0, max: 1000 });
        let next = limit_rate(bounds, demand, behavior, &history, &settings(), now, &mut Trace::off()).0;
        if next != current {
            history.record_rescale(Some(behavior), current, next, now);
            current = next;
        }
        counts.push(current);
    }
    counts
}

#[test]
fn steady_demand_under_a_percentage() {
    let ten_down = down(&[policy(Percent, 10, 60)]);
    assert_eq!(steps(100, 0, &ten_down, 8), [100, 90, 81, 72, 64, 57, 51, 45, 40], "B39");
    assert_eq!(steps(10, 0, &ten_down, 10), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "B40");
    let half_up = up(&[policy(Percent, 50, 60)]);
    assert_eq!(steps(1, 1000, &half_up, 8), [1, 2, 3, 5, 8, 12, 18, 27, 41], "B41");
}

#[test]
fn stabilisation_windows() {
    use Stabilization::*;
    // (id, up window, down window, recommendations with their ages, raw, current, expected count)
    type Recs<'a> = &'a [(i32, i64)];
    type Window<'a> = (&'a str, i32, i32, Recs<'a>, i32, i32, i32, Option<Stabilization>);
    let rows: [Window; 11] = [
        ("S1", 0, 180, &[(4, 2 * MINUTE), (5, MINUTE)], 3, 100, 5, None),
        ("S2", 300, 0, &[(4, 2 * MINUTE), (5, MINUTE)], 7, 1, 4, None),
        ("S3", 300, 0, &[(10, 100 * MINUTE), (6, MINUTE), (5, 2 * MINUTE), (9, 3 * MINUTE)], 100, 1, 5, None),
        ("S4", 300, 300, &[(2, 10 * MINUTE), (3, 3 * MINUTE)], 1, 2, 2, None),
        ("S5", 300, 300, &[(2, 10 * MINUTE), (1, 3 * MINUTE)], 3, 2, 2, None),
        ("S6", 0, 300, &[(5, 299_900)], 3, 5, 5, Some(ScaleDownStabilized)),
        ("S7", 0, 300, &[(5, 300_000)], 3, 5, 3, Some(ReadyForNewScale)),
        ("S8", 60, 300, &[(5, 10 * SECOND)], 8, 5, 5, Some(ScaleUpStabilized)),
        ("S9", 60, 300, &[(6, 10 * SECOND), (9, 50 * SECOND)], 8, 5, 6, Some(ScaleUpStabilized)),
        ("S10", 60, 300, &[(8, 10 * SECOND)], 2, 5, 5, Some(ScaleDownStabilized)),
        ("S11", 120, 120, &[(8, 60 * SECOND), (15, 30 * SECOND)], 12, 10, 10, None),
    ];
    for (id, up_window, down_window, recs, raw, current, expected, stabilization) in rows {
        let mut behavior = Behavior {
            scale_up: direction(&[policy(Pods, 1000, 15)]),
            scale_down: direction(&[policy(Percent, 100, 15)]),
        };
        behavior.scale_up.window_seconds = Some(up_window);
        behavior.scale_down.window_seconds = Some(down_window);
        let recommendations =
            recs.iter().map(|(n, age)| Recommendation { replicas: *n, at_ms: NOW - age }).collect();
        let mut history = History { recommendations, ..History::default() };
        let bounds = Bounds { current, min: 1, max: 1000 };
        let result = with_behavior(bounds, raw, &behavior, &history, &settings(), NOW, &mut Trace::on());
        assert_eq!(result.replicas, expected, "{id}");
        assert!(stabilization.is_none_or(|s| s == result.stabilization), "{id}: {:?}", result.stabilization);
        history.commit(current, Some(result.record), NOW);
        if id == "S3" {
            let reused = Recommendation { replicas: 100, at_ms: NOW };
            assert_eq!(history.recommendations[0], reused, "S3: the first slot is reused");
        }
    }
}

#[test]
fn growth_from_unlimited_demand() {
    let growth = |start: i32| {
        let (mut history, mut current, mut counts) = (History::default(), start, Vec::new());
        let behavior = default_behavior();
        for second in 0..90 {
            let (now, bounds) = (NOW + second * SECOND, Bounds { current, min: 0, max: 1000 });
            let next = limit_rate(bounds, 1000, &behavior, &history, &settings(), now, &mut Trace::off()).0;
            if next != current {
                history.record_rescale(Some(&behavior), current, next, now);
                current = next;
                counts.push((second, next));
            }
        }
        counts
    };
    // Evaluated every second, yet the policies let a step through only each 15 s.
    assert_eq!(growth(1), [(0, 5), (15, 10), (30, 20), (45, 40), (60, 80), (75, 160)]);
    assert_eq!(growth(0)[..3], [(0, 4), (15, 8), (30, 16)]);
}
