//! Metrics with one value per pod: the pass over the pods.
//!
//! One pass gathers sums per class, so nothing is allocated; upstream's maps of filled-in values are those sums. A sample
//! of a pod that the list does not hold counts toward the number of samples, and toward the sum only where upstream adds
//! it too (not for utilisation, which needs a request).

use super::population::{Cause, Class, classify};
use super::rules::{Settings, Target, Tolerances};
use super::snapshot::{Pod, PodSample, PodSamples};
use super::switches::ScaleTarget;
use super::tally::{Aim, Tally};
use super::trace::{Excluded, Numbers, PerPodTrace, Trace};

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
    /// What is scaled, for the question whose pods these are.
    pub scale_target: &'a ScaleTarget,
    /// Unix milliseconds.
    pub now_ms: i64,
    /// The CPU readiness rule applies.
    pub cpu: bool,
}

impl Frame<'_> {
    pub(super) fn aim(&self, target: Target) -> Aim {
        Aim { target, current: self.current, tolerances: self.tolerances, switches: self.settings.switches }
    }

    fn counts(&self, pod: &Pod) -> bool {
        !self.settings.switches.leaves_out(pod, self.scale_target)
    }

    fn fresh<'s>(&self, sample: Option<&'s PodSample>) -> Option<&'s PodSample> {
        sample.filter(|sample| self.settings.switches.is_fresh(sample.timestamp_ms, self.now_ms))
    }

    /// Whether no pod is left to look at.
    pub(super) fn has_no_pods(&self) -> bool {
        !self.pods.iter().any(|pod| self.counts(pod))
    }

    /// Pods that are Running and Ready; terminating ones that are still Ready are among them.
    pub(super) fn running_and_ready(&self) -> i64 {
        self.pods.iter().filter(|pod| self.counts(pod) && pod.is_running_and_ready()).count() as i64
    }
}

fn tally(frame: &Frame, samples: &PodSamples, requests: Option<&[i64]>, fill: impl Fn(i64) -> i64) -> Tally {
    let mut tally = Tally::default();
    for (index, pod) in frame.pods.iter().enumerate() {
        if !frame.counts(pod) {
            continue;
        }
        let sample = frame.fresh(samples.samples.get(index).and_then(Option::as_ref));
        let request = requests.map_or(0, |all| all.get(index).copied().unwrap_or(0));
        match classify(pod, sample, frame.cpu, frame.settings, frame.now_ms).class() {
            Class::Ignored | Class::Foreign => {}
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
    if frame.has_no_pods() {
        return Err(NO_PODS.into());
    }
    // Missing pods count as using all of their request while load falls, or the target where that is higher.
    let share = i64::from(target.max(100));
    let requests = samples.requests.as_deref().ok();
    let mut tally = tally(&frame, samples, requests, |request| request.wrapping_mul(share).wrapping_div(100));
    tally.foreign =
        samples.foreign.iter().filter(|sample| frame.fresh(Some(sample)).is_some()).count() as i64;
    if tally.ready.count + tally.foreign == 0 {
        return Err(NO_USABLE_SAMPLES.into());
    }
    if let Err(missing) = &samples.requests {
        return Err(missing.clone());
    }
    if tally.ready.requests_milli == 0 {
        return Err(NO_KNOWN_PODS.into());
    }
    let target = Target::Utilization(target);
    let percent = tally.level(target, tally.ready) as i32;
    let average = tally.ready.usage_milli.wrapping_div(tally.ready.count);
    let replicas = replicas(&frame, samples, &tally, target, trace);
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
    if frame.has_no_pods() {
        return Err(NO_PODS.into());
    }
    let mut tally = tally(&frame, samples, None, |_| target_milli);
    // Here foreign samples enter the sum as well; only the count of ready pods stays what it is.
    for sample in samples.foreign.iter().filter_map(|sample| frame.fresh(Some(sample))) {
        tally.foreign += 1;
        tally.ready.usage_milli = tally.ready.usage_milli.wrapping_add(sample.value_milli);
    }
    if tally.ready.count + tally.foreign == 0 {
        return Err(NO_USABLE_SAMPLES.into());
    }
    let target = Target::AverageValue(target_milli);
    let value_milli = tally.level(target, tally.ready);
    let replicas = replicas(&frame, samples, &tally, target, trace);
    Ok(Outcome { replicas, utilization: None, value_milli })
}

fn replicas(frame: &Frame, samples: &PodSamples, tally: &Tally, target: Target, trace: &mut Trace) -> i32 {
    let calculated = tally.replicas(&frame.aim(target));
    trace.numbers(|| {
        Numbers::PerPod(PerPodTrace {
            tally: *tally,
            ratio: calculated.ratio,
            filled: calculated.filled,
            filled_ratio: calculated.filled_ratio,
            filled_samples: calculated.filled_samples,
            excluded: excluded(frame, samples),
            result: calculated.replicas,
        })
    });
    calculated.replicas
}

/// Only built while tracing: the pods that do not count, with the reason.
fn excluded(frame: &Frame, samples: &PodSamples) -> Vec<Excluded> {
    let cause = |(index, pod): (usize, &Pod)| {
        let sample = samples.samples.get(index).and_then(Option::as_ref);
        let fresh = frame.fresh(sample);
        let cause = match classify(pod, fresh, frame.cpu, frame.settings, frame.now_ms) {
            _ if !frame.counts(pod) => Cause::OtherOwner,
            Cause::NoSample if sample.is_some() => Cause::StaleSample,
            cause => cause,
        };
        (pod.name.to_string(), cause)
    };
    let causes = frame.pods.iter().enumerate().map(cause);
    causes
        .filter(|(_, cause)| cause.class() != Class::Ready)
        .map(|(pod, cause)| Excluded { pod, class: cause.class(), reason: cause.text().into() })
        .collect()
}
