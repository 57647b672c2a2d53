//! Which pods count (reference: upstream's `groupPods`): the checks run in a fixed order, the first that applies wins.

use super::rules::Settings;
use super::snapshot::{Phase, Pod, PodSample, Tristate};
use serde::Serialize;

/// Where the rules put a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Class {
    /// Ended or going away; its sample is not used.
    Ignored,
    /// Not started, or its CPU value is still start-up noise; its sample is not used.
    Unready,
    /// No sample.
    Missing,
    /// Counts.
    Ready,
}

/// Class of one pod. `cpu` switches the readiness rule on, which no other resource has.
pub fn classify(pod: &Pod, sample: Option<&PodSample>, cpu: bool, settings: &Settings, now_ms: i64) -> Class {
    if pod.deleting || matches!(pod.phase, Phase::Failed | Phase::Succeeded) {
        return Class::Ignored;
    }
    if pod.phase == Phase::Pending {
        return Class::Unready;
    }
    let Some(sample) = sample else { return Class::Missing };
    if cpu && is_starting(pod, sample, settings, now_ms) { Class::Unready } else { Class::Ready }
}

/// Within the start-up period a sample counts if the pod is ready and the sample's whole window lies after that; later it
/// counts unless the pod looks as if it had never become ready.
fn is_starting(pod: &Pod, sample: &PodSample, settings: &Settings, now_ms: i64) -> bool {
    let (Some(ready), Some(start_ms)) = (pod.ready, pod.start_ms) else { return true };
    if start_ms + settings.cpu_initialization_ms > now_ms {
        ready.status == Tristate::False || sample.timestamp_ms < ready.transition_ms + sample.window_ms
    } else {
        ready.status == Tristate::False
            && start_ms + settings.initial_readiness_delay_ms > ready.transition_ms
    }
}

/// Pods that are Running and Ready; terminating ones that are still Ready are among them.
pub fn running_and_ready(pods: &[Pod]) -> i64 {
    let ready = |pod: &&Pod| {
        pod.phase == Phase::Running && pod.ready.is_some_and(|ready| ready.status == Tristate::True)
    };
    pods.iter().filter(ready).count() as i64
}
