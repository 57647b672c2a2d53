//! Metrics with one value per pod (reference: `GetResourceReplicas`, `calcPlainMetricReplicas`).
//!
//! One pass over the pods gathers sums per class, so nothing is allocated; upstream's maps of filled-in values are those
//! sums. A sample of a pod that the list does not hold counts toward the number of samples, and toward the sum only where
//! upstream adds it too (not for utilisation, which needs a request).

use super::go;
use super::population::{Class, classify};
use super::rules::{Settings, Tolerances};
use super::snapshot::{Pod, PodSamples};
use super::trace::{PerPodTrace, Trace};

/// Error text when the selector matches no pod.
pub const NO_PODS: &str = "no pods returned by selector while calculating replica count";
/// Error text when every sample belongs to an ignored or unready pod.
pub const NO_USABLE_SAMPLES: &str = "did not receive metrics for targeted pods (pods might be unready)";
/// Error text when no sample belongs to a pod with a request.
pub const NO_KNOWN_PODS: &str = "no metrics returned matched known pods";

/// What a metric asks for, and what is reported about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Replicas before any limit.
    pub replicas: i32,
    /// Utilisation in percent, where the target is one.
    pub utilization: Option<i32>,
    /// Average (or whole value) in milli-units.
    pub value_milli: i64,
}

/// Settings of one calculation.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// `scale.spec.replicas`.
    pub current: i32,
    /// Pods matched by the selector.
    pub pods: &'a [Pod],
    /// Dead band.
    pub tolerances: Tolerances,
    /// Controller's settings.
    pub settings: &'a Settings,
    /// Unix milliseconds.
    pub now_ms: i64,
    /// The CPU readiness rule applies.
    pub cpu: bool,
}

/// Sums over one class of pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    count: i64,
    usage: i64,
    requests: i64,
}

impl Sums {
    fn add(&mut self, usage: i64, request: i64) {
        self.count += 1;
        self.usage = self.usage.wrapping_add(usage);
        self.requests = self.requests.wrapping_add(request);
    }

    fn join(self, other: Sums) -> Sums {
        Sums {
            count: self.count + other.count,
            usage: self.usage.wrapping_add(other.usage),
            requests: self.requests.wrapping_add(other.requests),
        }
    }
}

/// What the pass over the pods finds.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    ready: Sums,
    /// `usage` is the fill for a falling load.
    missing: Sums,
    /// `usage` is zero: the fill for a rising load.
    unready: Sums,
}

fn tally(frame: &Frame, samples: &PodSamples, requests: Option<&[i64]>, fill: impl Fn(i64) -> i64) -> Tally {
    let mut tally = Tally::default();
    for (index, pod) in frame.pods.iter().enumerate() {
        let sample = samples.samples.get(index).and_then(Option::as_ref);
        let request = requests.map_or(0, |all| all.get(index).copied().unwrap_or(0));
        match classify(pod, sample, frame.cpu, frame.settings, frame.now_ms) {
            Class::Ignored => {}
            Class::Unready => tally.unready.add(0, request),
            Class::Missing => tally.missing.add(fill(request), request),
            Class::Ready => tally.ready.add(sample.map_or(0, |s| s.value_milli), request),
        }
    }
    tally
}

/// Utilisation target in percent of the request.
///
/// # Errors
///
/// Upstream's text when there are no pods, no usable samples, or a request is missing.
pub fn utilization(
    frame: Frame,
    samples: &PodSamples,
    target: i32,
    trace: &mut Trace,
) -> Result<Outcome, String> {
    let foreign = samples.foreign.len() as i64;
    if frame.pods.is_empty() {
        return Err(NO_PODS.into());
    }
    // Missing pods count as using all of their request while load falls, or the target where that is higher.
    let share = i64::from(target.max(100));
    let requests = samples.requests.as_deref().ok();
    let tally = tally(&frame, samples, requests, |request| request.wrapping_mul(share).wrapping_div(100));
    if tally.ready.count + foreign == 0 {
        return Err(NO_USABLE_SAMPLES.into());
    }
    if let Err(text) = &samples.requests {
        return Err(text.clone());
    }
    if tally.ready.requests == 0 {
        return Err(NO_KNOWN_PODS.into());
    }
    let percent = go::percent_i32(tally.ready.usage, tally.ready.requests);
    let average = tally.ready.usage.wrapping_div(tally.ready.count);
    let ratio_of = |sums: Sums| f64::from(go::percent_i32(sums.usage, sums.requests)) / f64::from(target);
    let replicas = replicas(&frame, samples, &tally, foreign, ratio_of, trace);
    Ok(Outcome { replicas, utilization: Some(percent), value_milli: average })
}

/// Plain target per pod, in milli-units.
///
/// # Errors
///
/// Upstream's text when there are no pods or no usable samples.
pub fn plain(
    frame: Frame,
    samples: &PodSamples,
    target_milli: i64,
    trace: &mut Trace,
) -> Result<Outcome, String> {
    if frame.pods.is_empty() {
        return Err(NO_PODS.into());
    }
    let mut tally = tally(&frame, samples, None, |_| target_milli);
    let ready = tally.ready.count;
    // Here foreign samples enter the sums as well; only the count of ready pods stays what it is.
    for value in &samples.foreign {
        tally.ready.add(*value, 0);
    }
    if tally.ready.count == 0 {
        return Err(NO_USABLE_SAMPLES.into());
    }
    let average = |sums: Sums| sums.usage.wrapping_div(sums.count);
    let ratio_of = |sums: Sums| average(sums) as f64 / target_milli as f64;
    let value_milli = average(tally.ready);
    let foreign = tally.ready.count - ready;
    let counted = Tally { ready: Sums { count: ready, ..tally.ready }, ..tally };
    let with_foreign = |sums: Sums| ratio_of(Sums { count: sums.count + foreign, ..sums });
    let replicas = replicas(&frame, samples, &counted, foreign, with_foreign, trace);
    Ok(Outcome { replicas, utilization: None, value_milli })
}

/// From the ratio to replicas: fill-ins, tolerance and the checks of direction.
fn replicas(
    frame: &Frame,
    samples: &PodSamples,
    tally: &Tally,
    foreign: i64,
    ratio_of: impl Fn(Sums) -> f64,
    trace: &mut Trace,
) -> i32 {
    let ratio = ratio_of(tally.ready);
    let hot_unready = tally.unready.count > 0 && ratio > 1.0;
    let mut filled = tally.ready;
    let mut filled_ratio = ratio;
    let result = if !hot_unready && tally.missing.count == 0 {
        if frame.tolerances.contain(ratio) {
            frame.current
        } else {
            go::ceil_i32(ratio * tally.ready.count as f64)
        }
    } else {
        if ratio < 1.0 {
            filled = filled.join(tally.missing);
        } else if ratio > 1.0 {
            filled = filled.join(Sums { usage: 0, ..tally.missing });
        }
        if hot_unready {
            filled = filled.join(tally.unready);
        }
        filled_ratio = ratio_of(filled);
        after_fill(frame, ratio, filled_ratio, filled.count + foreign)
    };
    trace.per_pod(|| PerPodTrace {
        ready: tally.ready.count,
        unready: tally.unready.count,
        missing: tally.missing.count,
        foreign,
        usage_milli: tally.ready.usage,
        requests_milli: tally.ready.requests,
        ratio,
        filled_ratio,
        filled_samples: filled.count + foreign,
        tolerance_edges: [1.0 - frame.tolerances.down, 1.0 + frame.tolerances.up],
        excluded: excluded(frame, samples),
        result,
    });
    result
}

fn after_fill(frame: &Frame, ratio: f64, filled_ratio: f64, samples: i64) -> i32 {
    let flips = (ratio < 1.0 && filled_ratio > 1.0) || (ratio > 1.0 && filled_ratio < 1.0);
    if frame.tolerances.contain(filled_ratio) || flips {
        return frame.current;
    }
    let wanted = go::ceil_i32(filled_ratio * samples as f64);
    let contradicts =
        (filled_ratio < 1.0 && wanted > frame.current) || (filled_ratio > 1.0 && wanted < frame.current);
    if contradicts { frame.current } else { wanted }
}

/// Only built while tracing: the pods that do not count, with the reason.
fn excluded(frame: &Frame, samples: &PodSamples) -> Vec<(String, Class)> {
    let class = |(index, pod): (usize, &Pod)| {
        let sample = samples.samples.get(index).and_then(Option::as_ref);
        (pod.name.clone(), classify(pod, sample, frame.cpu, frame.settings, frame.now_ms))
    };
    frame.pods.iter().enumerate().map(class).filter(|(_, class)| *class != Class::Ready).collect()
}
