use proptest::prelude::*;

use super::*;

const START_NS: i64 = 1_700_000_000 * SECOND_NS;
const REQUEST_CORES: f64 = 0.2;

/// Feeds rates of one second each and keeps the counter.
struct Feed {
    series: Series,
    policy: Policy,
}

impl Feed {
    fn new(policy: Policy) -> Feed {
        let first = Point {
            timestamp_ns: START_NS,
            cpu_core_ns: 5_000_000_000,
            working_set_bytes: 1,
            start_ns: None,
        };
        Feed { series: Series::new(policy, first), policy }
    }

    fn second(&mut self, cores: f64) -> f64 {
        self.after_ms(1000, cores)
    }

    fn after_ms(&mut self, ms: i64, cores: f64) -> f64 {
        let last = self.series.last();
        let used = (cores * ms as f64 * 1e6) as u64;
        let timestamp_ns = last.timestamp_ns + ms * 1_000_000;
        self.series.push(self.policy, Point { timestamp_ns, cpu_core_ns: last.cpu_core_ns + used, ..last });
        self.cores()
    }

    fn cores(&self) -> f64 {
        self.series.usage().unwrap().cpu_nanocores as f64 / 1e9
    }

    fn window_s(&self) -> f64 {
        self.series.usage().unwrap().window_ns as f64 / 1e9
    }
}

/// Deterministic noise: normal deviates from a small generator.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().max(1e-12).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Log-normal with mean 1 and this coefficient of variation.
    fn factor(&mut self, cv: f64) -> f64 {
        let sigma = (1.0 + cv * cv).ln().sqrt();
        (sigma * self.normal() - sigma * sigma / 2.0).exp()
    }
}

#[test]
fn a_quiet_series_is_averaged_over_15_seconds() {
    let mut feed = Feed::new(Policy::ChangeAware);
    for second in 1..=60 {
        assert!((feed.second(0.1) - 0.1).abs() < 1e-6);
        assert_eq!(feed.window_s(), f64::from(second.min(15)), "{second}");
    }
}

/// An autoscaler counts a pod's CPU only when the whole window lies after the pod became ready.
#[test]
fn a_long_window_leaves_out_the_start() {
    let mut noise = Noise(11);
    let first = Point {
        timestamp_ns: START_NS + SECOND_NS,
        cpu_core_ns: 3_000_000,
        working_set_bytes: 1,
        start_ns: Some(START_NS),
    };
    let policy = Policy::ChangeAware;
    let mut feed = Feed { series: Series::new(policy, first), policy };
    for age in 2..=200 {
        feed.second(0.2 * noise.factor(0.3));
        let left_out = f64::from(age) - feed.window_s();
        assert!(age <= 30 || left_out >= 14.0, "age {age}: window {}", feed.window_s());
    }
    assert!(feed.window_s() > 30.0, "{}", feed.window_s());
}

/// A process that only starts and then sleeps: the burst of its start is no noise to be averaged for minutes.
#[test]
fn an_idle_container_has_the_shortest_window() {
    let first = Point {
        timestamp_ns: START_NS + 1_500_000_000,
        cpu_core_ns: 3_000_000,
        working_set_bytes: 1,
        start_ns: Some(START_NS),
    };
    let policy = Policy::ChangeAware;
    let mut feed = Feed { series: Series::new(policy, first), policy };
    for second in 0..120 {
        feed.second(if second % 17 == 3 { 0.0004 } else { 0.0 });
        assert!(feed.window_s() <= 15.5, "{second}: {}", feed.window_s());
    }
}

/// Row 2 of the promised figures: the step falls anywhere inside a second, so the first sample after it is a mixture.
#[test]
fn steps_show_after_two_samples() {
    for cv in [0.0, 0.02, 0.05] {
        for (from, to) in [(0.1, 0.8), (0.4, 0.8), (0.5, 0.8), (0.1, 1.0), (0.4, 1.0), (0.5, 1.0), (0.5, 2.0)]
        {
            let mut noise = Noise(7 + (cv * 1e4) as u64);
            let mut needed = Vec::new();
            for run in 0..200 {
                let mut feed = Feed::new(Policy::ChangeAware);
                for _ in 0..60 {
                    feed.second(REQUEST_CORES * from * noise.factor(cv));
                }
                let share_of_new = f64::from(run) / 200.0;
                let mut cores = feed.second(REQUEST_CORES * (from + (to - from) * share_of_new));
                let mut samples = 1;
                // The target is 60 % of the request, with a tolerance of a tenth.
                while cores <= 0.66 * REQUEST_CORES && samples < 60 {
                    cores = feed.second(REQUEST_CORES * to * noise.factor(cv));
                    samples += 1;
                }
                needed.push(samples);
            }
            needed.sort_unstable();
            let (median, p99) = (needed[100], needed[198]);
            assert!(median <= 2 && p99 <= 3, "cv {cv}, {from} to {to}: median {median}, p99 {p99}");
        }
    }
}

#[test]
fn steps_down_show_as_fast() {
    let mut feed = Feed::new(Policy::ChangeAware);
    for _ in 0..60 {
        feed.second(0.4);
    }
    feed.second(0.2);
    let cores = feed.second(0.1);
    assert!(cores < 0.16, "{cores}");
    let cores = feed.second(0.1);
    assert!((cores - 0.1).abs() < 0.035, "{cores}");
}

#[test]
fn a_ramp_is_followed() {
    let mut feed = Feed::new(Policy::ChangeAware);
    for _ in 0..60 {
        feed.second(0.1);
    }
    for step in 1..=5 {
        feed.second(0.1 + 0.14 * f64::from(step));
    }
    feed.second(0.8);
    let cores = feed.second(0.8);
    assert!(cores > 0.7, "{cores}");
}

/// 100m limit: the quota is dealt out each 100 ms, so one-second readings alternate between 90m and 110m.
#[test]
fn quota_quantisation_is_no_change() {
    for pattern in [&[0.09, 0.11][..], &[0.09, 0.09, 0.11, 0.11], &[0.1, 0.11, 0.09, 0.1, 0.09, 0.11]] {
        let mut feed = Feed::new(Policy::ChangeAware);
        for (second, cores) in pattern.iter().cycle().take(600).enumerate() {
            let average = feed.second(*cores);
            if second > 60 {
                assert!((average - 0.1).abs() < 0.002, "{pattern:?} second {second}: {average}");
                assert!(feed.window_s() >= 15.0, "{pattern:?} second {second}: {}", feed.window_s());
            }
        }
    }
}

#[test]
fn one_outlier_is_no_change() {
    let mut feed = Feed::new(Policy::ChangeAware);
    for _ in 0..60 {
        feed.second(0.1);
    }
    feed.second(1.0);
    feed.second(0.1);
    assert_eq!(feed.window_s(), 15.0);
}

#[test]
fn steady_noise_keeps_the_average() {
    for cv in [0.1, 0.2, 0.3] {
        let mut short = 0;
        for seed in 1..=20 {
            let mut noise = Noise(seed * 7919);
            let mut feed = Feed::new(Policy::ChangeAware);
            for second in 0..720 {
                feed.second(0.3 * noise.factor(cv));
                short += usize::from(second > 120 && feed.window_s() < 14.0);
            }
        }
        // Of 12,000 answers about steady noise, at most one in a hundred is a short average.
        assert!(short <= 120, "cv {cv}: {short} short windows");
    }
}

/// One sample in some hours lies anywhere: beside one that is only high it is noise, beside another such it is a step.
#[test]
fn a_tail_of_noise_is_no_step() {
    for (older, newer, follows) in [(1.35, 3.5, false), (2.6, 3.5, true)] {
        for seed in [42, 43, 44] {
            let mut noise = Noise(seed);
            let mut feed = Feed::new(Policy::ChangeAware);
            for _ in 0..120 {
                feed.second(0.3 * noise.factor(0.2));
            }
            feed.second(0.3 * older);
            let cores = feed.second(0.3 * newer);
            assert_eq!(cores > 0.3 * 1.8, follows, "{older}, {newer}, seed {seed}: {cores}");
        }
    }
}

/// And real steps of noisy series show before pods have started, upward and downward.
#[test]
fn steps_of_noisy_series_show_soon() {
    let (low, high) = (0.05, 0.2);
    for (cv, from, to, most) in [
        (0.1, low, high, (2, 4)),
        (0.15, low, high, (3, 8)),
        (0.2, low, high, (4, 12)),
        (0.1, high, low, (3, 8)),
        (0.15, high, low, (6, 10)),
        (0.2, high, low, (6, 10)),
    ] {
        let mut noise = Noise(31 + (cv * 1e4) as u64);
        let mut needed: Vec<usize> = (0..200)
            .map(|_| {
                let mut feed = Feed::new(Policy::ChangeAware);
                for _ in 0..90 {
                    feed.second(from * noise.factor(cv));
                }
                let seconds = (1..60).find(|_| (feed.second(to * noise.factor(cv)) - to).abs() <= 0.0375);
                seconds.unwrap_or(60)
            })
            .collect();
        needed.sort_unstable();
        let (median, p90) = (needed[100], needed[180]);
        assert!(median <= most.0 && p90 <= most.1, "cv {cv}, {from} to {to}: median {median}, p90 {p90}");
    }
}

#[test]
fn noisy_series_get_longer_windows() {
    let window_s = |cv: f64| {
        let mut noise = Noise(42);
        let mut feed = Feed::new(Policy::ChangeAware);
        for _ in 0..900 {
            feed.second(0.3 * noise.factor(cv));
        }
        feed.window_s()
    };
    let windows = [0.02, 0.1, 0.2].map(window_s);
    assert!(windows.is_sorted() && windows[0] == 15.0 && windows[2] >= 30.0, "{windows:?}");
}

#[test]
fn a_fixed_window_stays() {
    let mut feed = Feed::new(Policy::Fixed { window_ns: 5 * SECOND_NS });
    for _ in 0..30 {
        feed.second(0.1);
    }
    assert_eq!(feed.window_s(), 5.0);
    assert!((feed.second(0.6) - 0.2).abs() < 1e-6);
    assert_eq!(feed.window_s(), 5.0);
}

#[test]
fn slow_collectors_get_one_interval() {
    let mut feed = Feed::new(Policy::ChangeAware);
    for _ in 0..20 {
        feed.after_ms(15_200, 0.1);
        assert_eq!(feed.window_s(), 15.2);
    }
}

fn point(second: f64, cpu_s: f64, start: Option<f64>) -> Point {
    let ns = |seconds: f64| START_NS + (seconds * 1e9) as i64;
    Point {
        timestamp_ns: ns(second),
        cpu_core_ns: (cpu_s * 1e9) as u64,
        working_set_bytes: 1024,
        start_ns: start.map(ns),
    }
}

const KUBELET: Policy = Policy::TwoPoints { resolution_ns: 15 * SECOND_NS };

/// Upstream's rules for kubelets, sections 14.3 and 14.4 of the reference, and edge cases 5 to 7.
#[test]
fn kubelet_rules() {
    use NoUsage::{CounterWentBack, OneSample, StartWentBack};
    let old = Some(-1000.0);
    for (id, points, expected) in [
        ("one sample", vec![point(0.0, 1.0, old)], Err(OneSample)),
        ("two samples", vec![point(0.0, 1.0, old), point(10.0, 3.0, old)], Ok((0.2, 10.0))),
        (
            "repeated second sample",
            vec![point(0.0, 1.0, old), point(10.0, 3.0, old), point(10.0, 3.0, old)],
            Ok((0.2, 10.0)),
        ),
        ("repeated first sample", vec![point(0.0, 1.0, old), point(0.0, 1.0, old)], Err(OneSample)),
        (
            "older sample, still after the first",
            vec![point(0.0, 1.0, old), point(10.0, 3.0, old), point(5.0, 2.0, old)],
            Ok((0.2, 5.0)),
        ),
        (
            "older than both",
            vec![point(0.0, 1.0, old), point(10.0, 3.0, old), point(-5.0, 0.5, old)],
            Err(OneSample),
        ),
        (
            "an hour back",
            vec![
                point(0.0, 1.0, Some(-9000.0)),
                point(-3600.0, 3.0, Some(-9000.0)),
                point(-3590.0, 5.0, Some(-9000.0)),
            ],
            Ok((0.2, 10.0)),
        ),
        ("an hour ahead", vec![point(0.0, 1.0, old), point(3600.0, 361.0, old)], Ok((0.1, 3600.0))),
        ("counter back", vec![point(0.0, 5.0, old), point(10.0, 3.0, old)], Err(CounterWentBack)),
        ("start back", vec![point(0.0, 1.0, old), point(10.0, 3.0, Some(-2000.0))], Err(StartWentBack)),
        ("restarted", vec![point(0.0, 9.0, old), point(10.0, 0.5, Some(5.0))], Err(OneSample)),
        (
            "second after the restart",
            vec![point(0.0, 9.0, old), point(10.0, 0.5, Some(5.0)), point(25.0, 3.5, Some(5.0))],
            Ok((0.2, 15.0)),
        ),
        ("fresh at 9.9 s", vec![point(9.9, 1.0, Some(0.0))], Err(OneSample)),
        ("fresh at 10 s", vec![point(10.0, 1.0, Some(0.0))], Ok((0.1, 10.0))),
        ("fresh at 14.9 s", vec![point(14.9, 2.98, Some(0.0))], Ok((0.2, 14.9))),
        ("not fresh at 15 s", vec![point(15.0, 3.0, Some(0.0))], Err(OneSample)),
        (
            "fresh goes before the second point",
            vec![point(3.0, 0.1, Some(0.0)), point(12.0, 1.2, Some(0.0))],
            Ok((0.1, 12.0)),
        ),
        ("node without start", vec![point(0.0, 1.0, None), point(10.0, 3.0, None)], Ok((0.2, 10.0))),
    ] {
        let mut series = Series::new(KUBELET, points[0]);
        points[1..].iter().for_each(|point| series.push(KUBELET, *point));
        let usage = series.usage().map(|usage| (usage.cpu_nanocores, usage.window_ns));
        let expected =
            expected.map(|(cores, window_s): (f64, f64)| ((cores * 1e9) as u64, (window_s * 1e9) as i64));
        match (usage, expected) {
            (Ok((nanocores, window)), Ok((expected, expected_window))) => {
                assert!(nanocores.abs_diff(expected) <= 1 && window == expected_window, "{id}: {usage:?}");
            }
            _ => assert_eq!(usage, expected, "{id}"),
        }
    }
}

#[test]
fn collector_rules() {
    let old = Some(-1000.0);
    for (id, points, expected) in [
        ("start is a point", vec![point(2.0, 0.2, Some(0.0))], Ok(2.0)),
        ("too young", vec![point(0.5, 0.2, Some(0.0))], Err(NoUsage::OneSample)),
        ("seen young", vec![point(0.5, 0.2, Some(0.0)), point(1.5, 0.4, Some(0.0))], Ok(1.0)),
        (
            "repeated sample",
            vec![point(0.0, 1.0, None), point(1.0, 2.0, None), point(1.0, 2.0, None)],
            Ok(1.0),
        ),
        (
            "found running 9 s ago",
            vec![point(0.0, 1.0, old), point(9.0, 2.0, old)],
            Err(NoUsage::ShortWindow),
        ),
        ("found running 10 s ago", vec![point(0.0, 1.0, old), point(9.8, 2.0, old)], Ok(9.8)),
        (
            "clock set back",
            vec![point(0.0, 1.0, old), point(1.0, 2.0, old), point(-3600.0, 3.0, old)],
            Err(NoUsage::OneSample),
        ),
        (
            "clock set back, next",
            vec![point(0.0, 1.0, None), point(-3600.0, 3.0, None), point(-3599.0, 3.1, None)],
            Ok(1.0),
        ),
        ("clock set ahead", vec![point(0.0, 1.0, old), point(3600.0, 2.0, old)], Err(NoUsage::OneSample)),
        ("counter back", vec![point(0.0, 1.0, None), point(1.0, 0.5, None)], Err(NoUsage::OneSample)),
        ("restarted a second ago", vec![point(0.0, 9.0, old), point(10.0, 0.5, Some(8.5))], Ok(1.5)),
    ] {
        let mut series = Series::new(Policy::ChangeAware, points[0]);
        points[1..].iter().for_each(|point| series.push(Policy::ChangeAware, *point));
        let window = series.usage().map(|usage| usage.window_ns as f64 / 1e9);
        assert_eq!(window, expected, "{id}");
    }
}

#[test]
fn from_kubelet_to_collector_and_back() {
    let mut series = Series::new(KUBELET, point(0.0, 1.0, None));
    series.push(KUBELET, point(15.0, 2.5, None));
    for second in 16..40 {
        series.push(Policy::ChangeAware, point(f64::from(second), 2.5 + 0.1 * f64::from(second - 15), None));
        assert!((series.usage().unwrap().cpu_nanocores as f64 / 1e8 - 1.0).abs() < 0.01, "{second}");
    }
    series.push(KUBELET, point(50.0, 5.9, None));
    assert_eq!(series.usage().unwrap().window_ns, 11 * SECOND_NS);
}

proptest! {
    /// Whatever comes, in whatever order: no panic, bounded memory, a positive window, and a rate between the extremes.
    #[test]
    fn any_points_are_survived(
        points in proptest::collection::vec((-50_i64..200_000, 0_u64..40_000_000_000, proptest::option::of(-50_i64..100)), 1..300),
        kubelet: bool,
    ) {
        let policy = if kubelet { KUBELET } else { Policy::ChangeAware };
        let build = |(ms, cpu, start): (i64, u64, Option<i64>)| Point {
            timestamp_ns: START_NS + ms * 1_000_000,
            cpu_core_ns: cpu,
            working_set_bytes: 1,
            start_ns: start.map(|seconds| START_NS + seconds * SECOND_NS),
        };
        let mut series = Series::new(policy, build(points[0]));
        for point in &points[1..] {
            series.push(policy, build(*point));
            if let Before::Window(window) = &series.before {
                prop_assert!(window.earlier.len() <= MAX_POINTS);
            }
            if let Ok(usage) = series.usage() {
                prop_assert!(usage.window_ns > 0);
            }
        }
    }

    #[test]
    fn usage_lies_between_the_rates(rates in proptest::collection::vec(0.0_f64..4.0, 2..120)) {
        let mut feed = Feed::new(Policy::ChangeAware);
        for rate in &rates {
            let cores = feed.second(*rate);
            let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let high = rates.iter().copied().fold(0.0, f64::max);
            prop_assert!(cores >= low - 1e-6 && cores <= high + 1e-6);
            prop_assert!(feed.window_s() <= 90.5);
        }
    }
}
