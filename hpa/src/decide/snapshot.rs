//! Everything one decision looks at, as plain values.

use super::rules::{Rules, Settings};
use std::sync::Arc;

/// Inputs of [`decide`](super::decide). Borrowed, so that one pod list and one metrics answer serve many HPAs.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The HPA's compiled spec.
    pub rules: &'a Rules,
    /// The controller's settings.
    pub settings: &'a Settings,
    /// The target's scale as read.
    pub scale: Scale,
    /// Result of the selector check; a failure stops the evaluation.
    pub selector: Result<(), &'a SelectorFailure>,
    /// Pods in the HPA's namespace that the scale's selector matches.
    pub pods: &'a [Pod],
    /// One entry per entry of `rules.metrics`, same order. Not looked at on the branches that read no metrics.
    pub inputs: &'a [Input],
    /// Whether the condition ScaledToZero is True now.
    pub scaled_to_zero: bool,
}

/// Replica counts of the scale subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`, called current everywhere.
    pub spec_replicas: i32,
    /// `status.replicas`.
    pub status_replicas: i32,
}

/// Why the selector of the scale cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorFailure {
    /// Reason of the Warning event; `None` records no event.
    pub event_reason: Option<&'static str>,
    /// Text of the event and of the failure.
    pub text: String,
    /// Reason and message of ScalingActive=False; `None` leaves the condition alone.
    pub condition: Option<(&'static str, String)>,
}

impl SelectorFailure {
    /// The scale has no selector.
    pub fn missing() -> Self {
        SelectorFailure {
            event_reason: Some("SelectorRequired"),
            text: "selector is required".into(),
            condition: Some(("InvalidSelector", "the HPA target's scale is missing a selector".into())),
        }
    }

    /// It is no selector.
    pub fn unparsable(error: &dyn std::fmt::Display) -> Self {
        let text =
            format!("couldn't convert selector into a corresponding internal selector object: {error}");
        SelectorFailure::with_reason("InvalidSelector", text)
    }

    /// A failure whose event and condition say the same.
    pub fn with_reason(reason: &'static str, text: String) -> Self {
        SelectorFailure { event_reason: Some(reason), condition: Some((reason, text.clone())), text }
    }
}

/// What the rules look at in a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Name, for the join with samples and for messages.
    pub name: Arc<str>,
    /// `status.phase`.
    pub phase: Phase,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `status.startTime` in unix milliseconds.
    pub start_ms: Option<i64>,
    /// The condition of type Ready, if there is one.
    pub ready: Option<Ready>,
    /// Its controller, if it has one; pods of one controller share it.
    pub owner: Option<Arc<Owner>>,
}

impl Pod {
    /// Whether it is Running and Ready; a terminating one may be.
    pub fn is_running_and_ready(&self) -> bool {
        self.phase == Phase::Running && self.ready.is_some_and(|ready| ready.status == Tristate::True)
    }
}

/// The owner reference that says `controller: true`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// The pod's label `pod-template-hash` (of Argo, `rollouts-pod-template-hash`), by which a ReplicaSet is named.
    pub template_hash: Option<String>,
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not yet started.
    Pending,
    /// Running.
    Running,
    /// All containers ended well.
    Succeeded,
    /// A container ended badly.
    Failed,
    /// The node does not answer, or the field is empty.
    Unknown,
}

/// The Ready condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Its status; `Unknown` is treated as not False by the CPU rule and as not True where Ready pods are counted.
    pub status: Tristate,
    /// `lastTransitionTime` in unix milliseconds.
    pub transition_ms: i64,
}

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tristate {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

/// The values one metric has at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Resource, ContainerResource and Pods.
    PerPod(PodSamples),
    /// Object: the one value.
    Object(Reading),
    /// External: all values in the order of the answer.
    External(Vec<Reading>),
    /// The metrics API failed; the text as upstream's metrics client words it.
    Failed(String),
    /// The metric cannot be asked for (its selector does not parse); the text stands without a prefix.
    Invalid(String),
}

/// A value that stands for no single pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Value in milli-units.
    pub value_milli: i64,
    /// When it was taken, unix milliseconds; 0 where the answer does not say.
    pub timestamp_ms: i64,
}

/// Samples of pods, joined to [`Snapshot::pods`] by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSamples {
    /// One entry per pod of the snapshot. `None`: the pod has no sample, which is not zero.
    pub samples: Vec<Option<PodSample>>,
    /// Samples of pods that the pod list does not hold (it lags, or the names differ).
    pub foreign: Vec<PodSample>,
    /// One request per pod in milli-units, or upstream's text about the first pod without one.
    /// Only looked at for utilisation.
    pub requests: Result<Vec<i64>, String>,
}

/// One pod's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodSample {
    /// Value in milli-units.
    pub value_milli: i64,
    /// End of the window, unix milliseconds.
    pub timestamp_ms: i64,
    /// Length of the window in milliseconds.
    pub window_ms: i64,
}
