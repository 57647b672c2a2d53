//! What kube-apiserver refuses in an autoscaler: rules V1 to V28 of hpa.md 1.5, in upstream's order and words.
//!
//! Callers apply [`super::apply_defaults`] first, as upstream does. Rules on metadata other than the name are the
//! object store's, since they are the same for every kind.

mod behavior;
mod metrics;

use super::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec};
use super::{metric_type, v2};
use crate::field_error::FieldError;
use crate::names;

pub use behavior::{MAX_PERIOD_SECONDS, MAX_STABILIZATION_WINDOW_SECONDS};

/// Upstream's feature gates that decide what is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gates {
    /// `HPAScaleToZero`: `minReplicas` may be 0. On by default since v1.37.
    pub scale_to_zero: bool,
    /// Selectors of metrics must be selectors. kube-apiserver takes any; its controller fails with those that are none.
    pub metric_selectors: bool,
}

impl Default for Gates {
    fn default() -> Gates {
        Gates { scale_to_zero: true, metric_selectors: false }
    }
}

/// How strictly a reference's `apiVersion` is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiVersionRule {
    /// Not at all.
    Any,
    /// It must parse.
    EmptyGroupAllowed,
    /// It must parse and name a group.
    GroupRequired,
}

/// What depends on the object that is replaced.
struct Options {
    min_replicas_bound: i32,
    scale_target: ApiVersionRule,
    described_object: ApiVersionRule,
    metric_selectors: bool,
}

/// Faults of a new autoscaler. None: it is valid.
pub fn validate_create(autoscaler: &HorizontalPodAutoscaler, gates: Gates) -> Vec<FieldError> {
    let mut faults = Vec::new();
    metadata(autoscaler, &mut faults);
    spec(&autoscaler.spec, &options(autoscaler, None, gates), &mut faults);
    faults
}

/// Faults of an autoscaler that replaces `old`. Some faults that `old` has already are let pass, as upstream does.
pub fn validate_update(
    new: &HorizontalPodAutoscaler,
    old: &HorizontalPodAutoscaler,
    gates: Gates,
) -> Vec<FieldError> {
    let mut faults = Vec::new();
    spec(&new.spec, &options(new, Some(old), gates), &mut faults);
    faults
}

/// Faults of a new status.
pub fn validate_status_update(
    new: &HorizontalPodAutoscaler,
    _old: &HorizontalPodAutoscaler,
) -> Vec<FieldError> {
    const RULE: &str = "must be greater than or equal to 0";
    let status = &new.status;
    let mut faults = Vec::new();
    for (field, count) in
        [("currentReplicas", status.current_replicas), ("desiredReplicas", status.desired_replicas)]
    {
        if count < 0 {
            faults.push(FieldError::invalid(format!("status.{field}"), count, RULE));
        }
    }
    for (index, condition) in status.conditions.iter().enumerate() {
        if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
            let path = format!("status.conditions[{index}].observedGeneration");
            faults.push(FieldError::invalid(path, generation, RULE));
        }
    }
    faults
}

fn options(new: &HorizontalPodAutoscaler, old: Option<&HorizontalPodAutoscaler>, gates: Gates) -> Options {
    let old_had_zero = old.is_some_and(|old| old.spec.min_replicas == Some(0));
    let target = &new.spec.scale_target_ref;
    let same_target = old.is_some_and(|old| {
        let old = &old.spec.scale_target_ref;
        old.api_version == target.api_version && old.kind == target.kind
    });
    let described = |metric: &v2::MetricSpec| {
        let object = metric.object.as_ref().filter(|_| metric.type_ == metric_type::OBJECT)?;
        api_version_fault(&object.described_object, ApiVersionRule::EmptyGroupAllowed)
    };
    let old_was_invalid =
        old.is_some_and(|old| old.spec.metrics.iter().any(|metric| described(metric).is_some()));
    Options {
        min_replicas_bound: if gates.scale_to_zero || old_had_zero { 0 } else { 1 },
        scale_target: match target.kind.as_str() {
            _ if same_target => ApiVersionRule::Any,
            // The only scalable type of the core group.
            "ReplicationController" => ApiVersionRule::EmptyGroupAllowed,
            _ => ApiVersionRule::GroupRequired,
        },
        described_object: if old_was_invalid {
            ApiVersionRule::Any
        } else {
            ApiVersionRule::EmptyGroupAllowed
        },
        metric_selectors: gates.metric_selectors,
    }
}

/// V1
fn metadata(autoscaler: &HorizontalPodAutoscaler, faults: &mut Vec<FieldError>) {
    let metadata = &autoscaler.metadata;
    // A trailing dash is fine in the start of a name: a suffix follows it.
    let start = metadata.generate_name.strip_suffix('-').unwrap_or(&metadata.generate_name);
    if !metadata.generate_name.is_empty() {
        for message in names::dns1123_subdomain(&format!("{start}a")) {
            faults.push(FieldError::invalid(
                "metadata.generateName",
                metadata.generate_name.as_str(),
                message,
            ));
        }
    }
    if metadata.name.is_empty() {
        faults.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        for message in names::dns1123_subdomain(&metadata.name) {
            faults.push(FieldError::invalid("metadata.name", metadata.name.as_str(), message));
        }
    }
}

/// V2 to V8, and what they contain.
fn spec(spec: &HorizontalPodAutoscalerSpec, options: &Options, faults: &mut Vec<FieldError>) {
    let bound = options.min_replicas_bound;
    if let Some(min) = spec.min_replicas.filter(|min| *min < bound) {
        let rule = format!("must be greater than or equal to {bound}");
        faults.push(FieldError::invalid("spec.minReplicas", min, rule));
    }
    if spec.max_replicas == 0 {
        faults.push(FieldError::required("spec.maxReplicas", ""));
    } else if spec.max_replicas < 0 {
        let rule = "must be greater than or equal to 1";
        faults.push(FieldError::invalid("spec.maxReplicas", spec.max_replicas, rule));
    }
    if spec.min_replicas.is_some_and(|min| spec.max_replicas < min) {
        let rule = "must be greater than or equal to `minReplicas`";
        faults.push(FieldError::invalid("spec.maxReplicas", spec.max_replicas, rule));
    }
    reference(&spec.scale_target_ref, "spec.scaleTargetRef", options.scale_target, faults);
    metrics::metrics(spec, "spec.metrics", options.described_object, faults);
    if options.metric_selectors {
        metrics::selectors(spec, "spec.metrics", faults);
    }
    if let Some(behavior) = &spec.behavior {
        behavior::rules(behavior.scale_up.as_ref(), "spec.behavior.scaleUp", faults);
        behavior::rules(behavior.scale_down.as_ref(), "spec.behavior.scaleDown", faults);
    }
}

/// V5, V6, V7 and V11
fn reference(
    reference: &CrossVersionObjectReference,
    path: &str,
    rule: ApiVersionRule,
    faults: &mut Vec<FieldError>,
) {
    for (field, value) in [("kind", &reference.kind), ("name", &reference.name)] {
        let path = format!("{path}.{field}");
        if value.is_empty() {
            faults.push(FieldError::required(path, ""));
        } else {
            path_segment(value, &path, faults);
        }
    }
    if let Some(fault) = api_version_fault(reference, rule) {
        faults.push(FieldError::invalid(format!("{path}.apiVersion"), reference.api_version.as_str(), fault));
    }
}

fn path_segment(value: &str, path: &str, faults: &mut Vec<FieldError>) {
    for message in names::path_segment(value) {
        faults.push(FieldError::invalid(path, value, message));
    }
}

fn api_version_fault(reference: &CrossVersionObjectReference, rule: ApiVersionRule) -> Option<String> {
    let text = reference.api_version.as_str();
    if rule == ApiVersionRule::Any {
        return None;
    }
    if text != "/" && text.matches('/').count() > 1 {
        return Some(format!("unexpected GroupVersion string: {text}"));
    }
    let group = text.split_once('/').map_or("", |(group, _)| group);
    let missing = group.is_empty() && rule == ApiVersionRule::GroupRequired;
    missing.then(|| "apiVersion must specify API group".into())
}

#[cfg(test)]
mod tests;
