//! With tracing off, deciding allocates nothing, whatever the pods and the history are.

#![allow(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; every call goes to the system's allocator unchanged"
)]

use flyball_hpa::decide::{
    Behavior, Direction, History, Input, Metric, Overrides, Phase, Pod, PodSample, PodSamples, Policy,
    PolicyKind, Reading, Ready, Recommendation, Rules, Scale, ScaleEvent, ScaleTarget, Select, Settings,
    Snapshot, Source, Switches, Target, Trace, Tristate, decide,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

const NOW_MS: i64 = 1_700_000_000_000;

/// The system's allocator with a counter per thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn pod(rng: &mut fastrand::Rng, index: usize) -> Pod {
    let start_ms = NOW_MS - rng.i64(0..600_000);
    Pod {
        name: format!("web-{index}").into(),
        phase: if rng.u8(..) < 20 { Phase::Pending } else { Phase::Running },
        deleting: rng.u8(..) < 10,
        start_ms: Some(start_ms),
        ready: Some(Ready {
            status: if rng.u8(..) < 30 { Tristate::False } else { Tristate::True },
            transition_ms: start_ms + rng.i64(0..60_000),
        }),
        owner: None,
    }
}

fn behavior(rng: &mut fastrand::Rng) -> Behavior {
    let mut direction = || Direction {
        window_seconds: Some(rng.i32(0..600)),
        select: [Select::Max, Select::Min, Select::Disabled][rng.usize(..3)],
        policies: vec![
            Policy { kind: PolicyKind::Pods, value: rng.i32(1..9), period_seconds: rng.i32(1..300) },
            Policy { kind: PolicyKind::Percent, value: rng.i32(1..200), period_seconds: rng.i32(1..300) },
        ],
        tolerance: None,
    };
    Behavior { scale_up: direction(), scale_down: direction() }
}

fn history(rng: &mut fastrand::Rng) -> History {
    let recommendations =
        (0..8).map(|n| Recommendation { replicas: rng.i32(1..40), at_ms: NOW_MS - n * 20_000 }).collect();
    let mut events = || {
        (0..3)
            .map(|n| ScaleEvent { change: rng.i32(1..5), at_ms: NOW_MS - n * 9_000, outdated: false })
            .collect()
    };
    History { recommendations, scale_ups: events(), scale_downs: events(), ..History::default() }
}

fn metric(source: Source, target: Target) -> Metric {
    Metric { source, target, text: "a metric".into() }
}

fn per_pod(rng: &mut fastrand::Rng, count: usize) -> (Metric, Input) {
    let name = if rng.bool() { "cpu" } else { "memory" };
    let target =
        if rng.bool() { Target::Utilization(rng.i32(1..150)) } else { Target::AverageValue(rng.i64(1..900)) };
    let mut sample = |index: usize| {
        let sample = PodSample { value_milli: rng.i64(1..2_000), timestamp_ms: NOW_MS, window_ms: 15_000 };
        (index == 0 || rng.u8(..) > 40).then_some(sample)
    };
    let samples = PodSamples {
        samples: (0..count).map(&mut sample).collect(),
        foreign: Vec::new(),
        requests: Ok(vec![500; count]),
    };
    (metric(Source::Resource { name: name.into() }, target), Input::PerPod(samples))
}

fn whole(rng: &mut fastrand::Rng) -> (Metric, Input) {
    let selector_text = "nil".to_owned();
    let source = Source::External { name: "q".into(), selector: serde_json::Value::Null, selector_text };
    let target = if rng.bool() { Target::Value(1_000) } else { Target::AverageValue(1_000) };
    let reading = Reading { value_milli: rng.i64(0..90_000), timestamp_ms: NOW_MS };
    (metric(source, target), Input::External(vec![reading; 2]))
}

#[test]
fn deciding_allocates_nothing() {
    let rng = &mut fastrand::Rng::with_seed(7);
    let mut decided = 0;
    for round in 0..2_000 {
        let count = rng.usize(1..60);
        let mut pods: Vec<Pod> = (0..count).map(|index| pod(rng, index)).collect();
        pods[0] = Pod {
            phase: Phase::Running,
            deleting: false,
            ready: Some(Ready { status: Tristate::True, transition_ms: 0 }),
            start_ms: Some(0),
            ..pods[0].clone()
        };
        let (metric, input) = if round % 3 == 0 { whole(rng) } else { per_pod(rng, count) };
        let rules = Rules {
            namespace: "ns".into(),
            name: "web".into(),
            min: 1,
            max: 100,
            metrics: vec![metric],
            behavior: rng.bool().then(|| behavior(rng)),
            scale_target: ScaleTarget::default(),
            overrides: Overrides::default(),
        };
        let switches = Switches { surge_aware: rng.bool(), exact_ceiling: rng.bool(), ..Switches::default() };
        let settings = Settings { switches, ..Settings::default() };
        let history = history(rng);
        let inputs = [input];
        let snapshot = Snapshot {
            rules: &rules,
            settings: &settings,
            scale: Scale { spec_replicas: rng.i32(1..100), status_replicas: rng.i32(0..100) },
            selector: Ok(()),
            pods: &pods,
            inputs: &inputs,
            scaled_to_zero: false,
        };
        let before = ALLOCATIONS.with(Cell::get);
        let decision = decide(&snapshot, NOW_MS, &history, &mut Trace::off());
        let allocated = ALLOCATIONS.with(Cell::get) - before;
        assert_eq!(decision.failed_metrics(), 0, "only a failure has a text: {decision:?}");
        assert_eq!(allocated, 0, "round {round}");
        decided += 1;
    }
    assert_eq!(decided, 2_000);
}
