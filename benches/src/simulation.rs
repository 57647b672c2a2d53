//! One autoscaled workload in simulated time: real windowing, real decision, invented pods.
//!
//! Demand is shared evenly by the pods that are Ready; each pod's use of each second carries log-normal noise. Counters
//! are sampled, turned into usage by the metrics server's own window, and decided on by the autoscaler's own `decide`.
//! Two timings run on the same trace of noise:
//!
//! * [`Timing::Flyball`]: the collector sweeps each second, is scraped at once, and the decision follows the sample.
//! * [`Timing::Upstream`]: the kubelet samples each 10 s, metrics-server scrapes each 15 s with its two-point rule, the
//!   controller evaluates each 15 s; the three phases are drawn at random.
//!
//! Everything follows from the seed.

use flyball_hpa::decide::{
    History, Input, Metric, Overrides, Phase, Pod, PodSample, PodSamples, Ready, Rules, Scale, ScaleTarget,
    Settings, Snapshot, Source, Target, Trace, Tristate, decide,
};
use flyball_metrics_server::window::{Point, Policy, Series};

/// Length of a simulation step.
const STEP_MS: i64 = 100;
const STEPS_A_SECOND: i64 = 10;
/// Any moment will do; sample times must not be zero.
const EPOCH_MS: i64 = 1_800_000_000_000;
/// CPU request of each pod.
pub const REQUEST_MILLICORES: f64 = 100.0;
/// The HPA's target, percent of the request.
pub const TARGET_PERCENT: i32 = 60;

/// Who measures and decides, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Each second, on sample arrival.
    Flyball,
    /// 10 s, 15 s, 15 s.
    Upstream,
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Replicas at the start, which is also the minimum if `hold_minimum`.
    pub replicas: i32,
    /// Whether the HPA may not go below the starting count.
    pub hold_minimum: bool,
    /// Demand before the step, as percent of the starting pods' requests.
    pub before_percent: f64,
    /// Demand from the step on, likewise.
    pub after_percent: f64,
    /// When the step comes.
    pub step_at_ms: i64,
    /// When the simulation ends.
    pub end_ms: i64,
    /// Coefficient of variation of each pod's use of one second.
    pub noise_cv: f64,
    /// Time from a scale request to Ready.
    pub start_delay_ms: i64,
    /// What everything random follows from.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Scale requests: time and new count.
    pub rescales: Vec<(i64, i32)>,
    /// Pods times time.
    pub pod_hours: f64,
    /// Replicas at the end.
    pub last: i32,
}

impl Outcome {
    /// Time from `step_at_ms` to the first request above `before`.
    #[must_use]
    pub fn first_request_ms(&self, step_at_ms: i64, before: i32) -> Option<i64> {
        self.rescales.iter().find(|(at, to)| *at >= step_at_ms && *to > before).map(|(at, _)| at - step_at_ms)
    }

    /// Time from `step_at_ms` to the first request for at least `count`.
    #[must_use]
    pub fn reached_ms(&self, step_at_ms: i64, count: i32) -> Option<i64> {
        self.rescales.iter().find(|(at, to)| *at >= step_at_ms && *to >= count).map(|(at, _)| at - step_at_ms)
    }
}

struct SimulatedPod {
    started_ms: i64,
    ready_ms: i64,
    /// CPU used since the start, in core-nanoseconds.
    cpu_core_ns: f64,
    noise: f64,
    /// What the node last sampled: the time and the counter.
    sampled: Option<(i64, f64)>,
    series: Option<Series>,
}

/// When each of the three loops turns, as period and phase.
struct Clockwork {
    sample: (i64, i64),
    scrape: (i64, i64),
    decide: (i64, i64),
    policy: Policy,
    settings: Settings,
}

impl Clockwork {
    fn new(timing: Timing, random: &mut fastrand::Rng) -> Self {
        let mut phase = |period: i64| random.i64(0..period / STEP_MS) * STEP_MS;
        match timing {
            Timing::Flyball => {
                let together = phase(1_000);
                let decide_after = (together + STEP_MS) % 1_000;
                Self {
                    sample: (1_000, together),
                    scrape: (1_000, together),
                    decide: (1_000, decide_after),
                    policy: Policy::ChangeAware,
                    settings: Settings::default(),
                }
            }
            Timing::Upstream => Self {
                sample: (10_000, phase(10_000)),
                scrape: (15_000, phase(15_000)),
                decide: (15_000, phase(15_000)),
                policy: Policy::TwoPoints { resolution_ns: 15_000_000_000 },
                settings: Settings { growth_period_ms: None, ..Settings::default() },
            },
        }
    }
}

fn due((period_ms, phase_ms): (i64, i64), now_ms: i64) -> bool {
    now_ms % period_ms == phase_ms
}

/// Runs `scenario` with `timing`.
#[must_use]
pub fn run(scenario: &Scenario, timing: Timing) -> Outcome {
    // The noise has a generator of its own, so that both timings see the same demand as long as their pods agree.
    let mut noise = fastrand::Rng::with_seed(scenario.seed);
    let mut phases = fastrand::Rng::with_seed(scenario.seed ^ 0x5eed);
    let clockwork = Clockwork::new(timing, &mut phases);
    let rules = rules(if scenario.hold_minimum { scenario.replicas } else { 1 });
    let mut pods: Vec<SimulatedPod> =
        (0..scenario.replicas).map(|_| SimulatedPod::new(-3_600_000, -3_600_000)).collect();
    let (mut history, mut outcome) =
        (History::default(), Outcome { last: scenario.replicas, ..Outcome::default() });
    let mut now_ms = 0;
    while now_ms < scenario.end_ms {
        let percent =
            if now_ms < scenario.step_at_ms { scenario.before_percent } else { scenario.after_percent };
        let demand_millicores = f64::from(scenario.replicas) * REQUEST_MILLICORES * percent / 100.0;
        burn(&mut pods, demand_millicores, now_ms, scenario.noise_cv, &mut noise);
        outcome.pod_hours += pods.len() as f64 * STEP_MS as f64 / 3_600_000.0;
        now_ms += STEP_MS;
        if due(clockwork.sample, now_ms) {
            pods.iter_mut().for_each(|pod| pod.sampled = Some((now_ms, pod.cpu_core_ns)));
        }
        if due(clockwork.scrape, now_ms) {
            pods.iter_mut().for_each(|pod| pod.scrape(clockwork.policy));
        }
        if due(clockwork.decide, now_ms) {
            let current = i32::try_from(pods.len()).unwrap_or(i32::MAX);
            let desired = evaluate(&rules, &clockwork.settings, &pods, current, now_ms, &mut history);
            if desired != current {
                outcome.rescales.push((now_ms, desired));
                resize(&mut pods, desired, now_ms, scenario.start_delay_ms);
            }
        }
    }
    outcome.last = i32::try_from(pods.len()).unwrap_or(i32::MAX);
    outcome
}

impl SimulatedPod {
    fn new(started_ms: i64, ready_ms: i64) -> Self {
        Self { started_ms, ready_ms, cpu_core_ns: 1.0, noise: 1.0, sampled: None, series: None }
    }

    fn scrape(&mut self, policy: Policy) {
        let Some((at_ms, cpu_core_ns)) = self.sampled else { return };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter of simulated seconds"
        )]
        let point = Point {
            timestamp_ns: (EPOCH_MS + at_ms) * 1_000_000,
            cpu_core_ns: cpu_core_ns as u64,
            working_set_bytes: 1 << 20,
            start_ns: Some((EPOCH_MS + self.started_ms) * 1_000_000),
        };
        match &mut self.series {
            Some(series) => series.push(policy, point),
            None => self.series = Some(Series::new(policy, point)),
        }
    }
}

/// Lets every Ready pod use its share of the demand for one step.
fn burn(pods: &mut [SimulatedPod], demand_millicores: f64, now_ms: i64, cv: f64, noise: &mut fastrand::Rng) {
    let ready = pods.iter().filter(|pod| pod.ready_ms <= now_ms).count().max(1);
    let share = demand_millicores / ready as f64 / 1000.0;
    let new_second = (now_ms / STEP_MS) % STEPS_A_SECOND == 0;
    for pod in pods.iter_mut() {
        if new_second {
            pod.noise = log_normal(cv, noise);
        }
        if pod.ready_ms <= now_ms {
            pod.cpu_core_ns += share * pod.noise * STEP_MS as f64 * 1e6;
        }
    }
}

/// A log-normal value of mean 1 and coefficient of variation `cv`, by Box and Muller.
pub(crate) fn log_normal(cv: f64, random: &mut fastrand::Rng) -> f64 {
    let variance = (1.0 + cv * cv).ln();
    let (u, v) = (1.0 - random.f64(), random.f64());
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    (variance.sqrt() * normal - variance / 2.0).exp()
}

fn resize(pods: &mut Vec<SimulatedPod>, desired: i32, now_ms: i64, start_delay_ms: i64) {
    let desired = usize::try_from(desired).unwrap_or(0);
    pods.truncate(desired);
    while pods.len() < desired {
        pods.push(SimulatedPod::new(now_ms, now_ms + start_delay_ms));
    }
}

fn rules(min: i32) -> Rules {
    let metric = Metric {
        source: Source::Resource { name: "cpu".to_owned() },
        target: Target::Utilization(TARGET_PERCENT),
        text: "cpu resource utilization (percentage of request)".to_owned(),
    };
    let (namespace, name) = ("default".to_owned(), "workload".to_owned());
    let (scale_target, overrides) = (ScaleTarget::default(), Overrides::default());
    Rules { namespace, name, min, max: 1_000, metrics: vec![metric], behavior: None, scale_target, overrides }
}

fn evaluate(
    rules: &Rules,
    settings: &Settings,
    pods: &[SimulatedPod],
    current: i32,
    now_ms: i64,
    history: &mut History,
) -> i32 {
    let now_ms = EPOCH_MS + now_ms;
    let views: Vec<Pod> = pods.iter().enumerate().map(|(index, pod)| view(index, pod, now_ms)).collect();
    let samples = PodSamples {
        samples: pods.iter().map(sample).collect(),
        foreign: Vec::new(),
        #[allow(clippy::cast_possible_truncation, reason = "a constant of 100")]
        requests: Ok(vec![REQUEST_MILLICORES as i64; pods.len()]),
    };
    let inputs = [Input::PerPod(samples)];
    let snapshot = Snapshot {
        rules,
        settings,
        scale: Scale { spec_replicas: current, status_replicas: current },
        selector: Ok(()),
        pods: &views,
        inputs: &inputs,
        scaled_to_zero: false,
    };
    let decision = decide(&snapshot, now_ms, history, &mut Trace::off());
    history.remember(&decision, now_ms);
    if let Some(period_ms) = settings.growth_period_ms {
        history.forget_growth(now_ms - period_ms);
    }
    if decision.desired != current {
        history.record_rescale(rules.behavior.as_ref(), current, decision.desired, now_ms);
    }
    decision.desired
}

fn view(index: usize, pod: &SimulatedPod, now_ms: i64) -> Pod {
    let ready_ms = EPOCH_MS + pod.ready_ms;
    let started_ms = EPOCH_MS + pod.started_ms;
    let ready = if ready_ms <= now_ms {
        Ready { status: Tristate::True, transition_ms: ready_ms }
    } else {
        Ready { status: Tristate::False, transition_ms: started_ms }
    };
    Pod {
        name: format!("pod-{index}").into(),
        phase: Phase::Running,
        deleting: false,
        start_ms: Some(started_ms),
        ready: Some(ready),
        owner: None,
    }
}

fn sample(pod: &SimulatedPod) -> Option<PodSample> {
    let usage = pod.series.as_ref()?.usage().ok()?;
    Some(PodSample {
        value_milli: i64::try_from(usage.cpu_nanocores.div_ceil(1_000_000)).ok()?,
        timestamp_ms: usage.timestamp_ns / 1_000_000,
        window_ms: usage.window_ns / 1_000_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(seed: u64) -> Scenario {
        Scenario {
            replicas: 4,
            hold_minimum: true,
            before_percent: 40.0,
            after_percent: 200.0,
            step_at_ms: 120_000,
            end_ms: 240_000,
            noise_cv: 0.02,
            start_delay_ms: 2_000,
            seed,
        }
    }

    #[test]
    fn a_step_scales_out_and_the_same_seed_tells_the_same_story() {
        let outcome = run(&step(1), Timing::Flyball);
        assert!(outcome.first_request_ms(120_000, 4).is_some_and(|ms| ms <= 4_000), "{outcome:?}");
        assert_eq!(outcome, run(&step(1), Timing::Flyball));
        assert!(outcome.last >= 13, "{outcome:?}");
    }

    #[test]
    fn upstream_timing_reacts_too_but_later() {
        let flyball = run(&step(2), Timing::Flyball).first_request_ms(120_000, 4);
        let upstream = run(&step(2), Timing::Upstream).first_request_ms(120_000, 4);
        assert!(flyball < upstream && upstream.is_some(), "{flyball:?} {upstream:?}");
    }
}
