//! Which pods count (reference: upstream's `groupPods`): the checks run in a fixed order, the first that applies wins.

use super::rules::Settings;
use super::snapshot::{Phase, Pod, PodSample, Tristate};
use serde::{Deserialize, Serialize};

/// Where the rules put a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Ended or going away; its sample is not used.
    Ignored,
    /// Not started, or its CPU value is still start-up noise; its sample is not used.
    Unready,
    /// No sample.
    Missing,
    /// Counts.
    Ready,
    /// Belongs to another workload; only with [`owned_pods`](super::Switches::owned_pods).
    Foreign,
}

/// The rule that put it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// `metadata.deletionTimestamp` is set.
    Deleting,
    /// Phase Failed or Succeeded.
    Ended,
    /// Phase Pending.
    Pending,
    /// No sample.
    NoSample,
    /// A sample older than the limit.
    StaleSample,
    /// CPU: no Ready condition or no start time.
    NoReadiness,
    /// CPU: within the start-up period and not Ready.
    Starting,
    /// CPU: within the start-up period, and the sample's window began before it was Ready.
    StartingSample,
    /// CPU: looks as if it had never become Ready.
    NeverReady,
    /// Another workload's.
    OtherOwner,
    /// None: the pod counts.
    Counts,
}

impl Cause {
    /// The class it leads to.
    pub fn class(self) -> Class {
        match self {
            Cause::Deleting | Cause::Ended => Class::Ignored,
            Cause::Pending
            | Cause::NoReadiness
            | Cause::Starting
            | Cause::StartingSample
            | Cause::NeverReady => Class::Unready,
            Cause::NoSample | Cause::StaleSample => Class::Missing,
            Cause::OtherOwner => Class::Foreign,
            Cause::Counts => Class::Ready,
        }
    }

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Cause::Deleting => "is being deleted",
            Cause::Ended => "has ended",
            Cause::Pending => "is pending",
            Cause::NoSample => "has no sample",
            Cause::StaleSample => "has only a sample older than the limit",
            Cause::NoReadiness => "has no Ready condition or no start time",
            Cause::Starting => "is starting and not Ready",
            Cause::StartingSample => "is starting: its sample reaches back before it was Ready",
            Cause::NeverReady => "has never been Ready",
            Cause::OtherOwner => "belongs to another workload",
            Cause::Counts => "counts",
        }
    }
}

/// Class of one pod with its cause. `cpu` switches the readiness rule on, which no other resource has.
pub fn classify(pod: &Pod, sample: Option<&PodSample>, cpu: bool, settings: &Settings, now_ms: i64) -> Cause {
    if pod.deleting {
        return Cause::Deleting;
    }
    match pod.phase {
        Phase::Failed | Phase::Succeeded => return Cause::Ended,
        Phase::Pending => return Cause::Pending,
        Phase::Running | Phase::Unknown => {}
    }
    let Some(sample) = sample else { return Cause::NoSample };
    if cpu { readiness(pod, sample, settings, now_ms) } else { Cause::Counts }
}

/// Within the start-up period a sample counts if the pod is ready and the sample's whole window lies after that; later it
/// counts unless the pod looks as if it had never become ready.
fn readiness(pod: &Pod, sample: &PodSample, settings: &Settings, now_ms: i64) -> Cause {
    let (Some(ready), Some(start_ms)) = (pod.ready, pod.start_ms) else { return Cause::NoReadiness };
    let is_false = ready.status == Tristate::False;
    if start_ms + settings.cpu_initialization_ms > now_ms {
        if is_false {
            Cause::Starting
        } else if sample.timestamp_ms < ready.transition_ms + sample.window_ms {
            Cause::StartingSample
        } else {
            Cause::Counts
        }
    } else if is_false && start_ms + settings.initial_readiness_delay_ms > ready.transition_ms {
        Cause::NeverReady
    } else {
        Cause::Counts
    }
}
