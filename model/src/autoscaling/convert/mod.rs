//! Conversion between `autoscaling/v1` and `autoscaling/v2`, as kube-apiserver does it.
//!
//! v1 has room for one CPU percentage. What else a v2 object says travels in four annotations of the v1 object, which
//! exist only there: they are taken out of the object in either direction and written anew. An annotation that does
//! not decode is ignored, as upstream does. Converting to v1 and back puts the CPU percentage last among the metrics.

mod metric_spec;
mod metric_status;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::defaults::{DEFAULT_CPU_UTILIZATION_PERCENT, cpu_utilization};
use super::{ObjectMeta, internal_json, metric_type, v1, v2};

/// Metrics that v1 cannot express.
pub const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";
/// All metric statuses.
pub const CURRENT_METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
/// Conditions.
pub const CONDITIONS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/conditions";
/// `behavior`, with the capitalised keys of upstream's internal type.
pub const BEHAVIOR_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/behavior";
/// Tolerance, written by old versions only.
pub const SCALE_UP_TOLERANCE_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/scale-up-tolerance";
/// Tolerance, written by old versions only.
pub const SCALE_DOWN_TOLERANCE_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/scale-down-tolerance";

const ALL_ANNOTATIONS: [&str; 6] = [
    METRICS_ANNOTATION,
    CURRENT_METRICS_ANNOTATION,
    CONDITIONS_ANNOTATION,
    BEHAVIOR_ANNOTATION,
    SCALE_UP_TOLERANCE_ANNOTATION,
    SCALE_DOWN_TOLERANCE_ANNOTATION,
];

/// The object does not have the shape of its version.
#[derive(Debug, Error)]
#[error("not a HorizontalPodAutoscaler of {version}: {source}")]
pub struct ConvertError {
    /// `autoscaling/v1` or `autoscaling/v2`.
    version: &'static str,
    source: serde_json::Error,
}

fn read<T: DeserializeOwned>(object: Value, version: &'static str) -> Result<T, ConvertError> {
    serde_json::from_value(object).map_err(|source| ConvertError { version, source })
}

fn write<T: Serialize>(object: &T, version: &'static str) -> Result<Value, ConvertError> {
    serde_json::to_value(object).map_err(|source| ConvertError { version, source })
}

/// A v1 object as v2. `minReplicas` is not defaulted here.
///
/// # Errors
/// When the object does not have the shape of v1.
pub fn v1_to_v2(object: Value) -> Result<Value, ConvertError> {
    write(&upgrade(read(object, v1::API_VERSION)?), v2::API_VERSION)
}

/// A v2 object as v1.
///
/// # Errors
/// When the object does not have the shape of v2.
pub fn v2_to_v1(object: Value) -> Result<Value, ConvertError> {
    write(&downgrade(read(object, v2::API_VERSION)?), v1::API_VERSION)
}

fn annotation<T: DeserializeOwned>(metadata: &ObjectMeta, name: &str) -> Option<T> {
    // Go decodes `null` into an empty list; so does `Option`, read as "not there".
    serde_json::from_str::<Option<T>>(metadata.annotations.get(name)?).ok()?
}

fn drop_annotations(metadata: &mut ObjectMeta) {
    for name in ALL_ANNOTATIONS {
        metadata.annotations.remove(name);
    }
}

fn annotate<T: Serialize>(metadata: &mut ObjectMeta, name: &str, value: &T) {
    // Writing types of ours as JSON text does not fail: no map has a key that is not text.
    if let Ok(text) = serde_json::to_string(value) {
        metadata.annotations.insert(name.to_owned(), text);
    }
}

/// The typed form of [`v1_to_v2`].
pub fn upgrade(object: v1::HorizontalPodAutoscaler) -> v2::HorizontalPodAutoscaler {
    let v1::HorizontalPodAutoscaler { metadata, spec, status, .. } = object;
    let mut metrics: Vec<v2::MetricSpec> = annotation::<Vec<v1::MetricSpec>>(&metadata, METRICS_ANNOTATION)
        .map(|metrics| metrics.into_iter().map(Into::into).collect())
        .unwrap_or_default();
    metrics.extend(spec.target_cpu_utilization_percentage.map(cpu_utilization));
    if metrics.is_empty() {
        metrics.push(cpu_utilization(DEFAULT_CPU_UTILIZATION_PERCENT));
    }
    let current_metrics = match annotation::<Vec<v1::MetricStatus>>(&metadata, CURRENT_METRICS_ANNOTATION) {
        Some(current) => current.into_iter().map(Into::into).collect(),
        None => status.current_cpu_utilization_percentage.map(current_cpu).into_iter().collect(),
    };
    let behavior = annotation::<internal_json::Behavior>(&metadata, BEHAVIOR_ANNOTATION)
        .filter(|behavior| *behavior != internal_json::Behavior::default());
    let mut upgraded = v2::HorizontalPodAutoscaler {
        spec: v2::HorizontalPodAutoscalerSpec {
            scale_target_ref: spec.scale_target_ref,
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            metrics,
            behavior: behavior.map(Into::into),
        },
        status: v2::HorizontalPodAutoscalerStatus {
            observed_generation: status.observed_generation,
            last_scale_time: status.last_scale_time,
            current_replicas: status.current_replicas,
            desired_replicas: status.desired_replicas,
            current_metrics,
            conditions: annotation(&metadata, CONDITIONS_ANNOTATION).unwrap_or_default(),
        },
        metadata,
        ..v2::HorizontalPodAutoscaler::default()
    };
    drop_annotations(&mut upgraded.metadata);
    upgraded
}

/// The typed form of [`v2_to_v1`].
pub fn downgrade(object: v2::HorizontalPodAutoscaler) -> v1::HorizontalPodAutoscaler {
    let v2::HorizontalPodAutoscaler { mut metadata, spec, status, .. } = object;
    drop_annotations(&mut metadata);
    let target_cpu_utilization_percentage = spec.metrics.iter().find_map(cpu_percentage);
    // Every CPU percentage is left out, not only the first: upstream loses further ones, and so does this.
    let others: Vec<v1::MetricSpec> =
        spec.metrics.into_iter().filter(|metric| cpu_percentage(metric).is_none()).map(Into::into).collect();
    if !others.is_empty() {
        annotate(&mut metadata, METRICS_ANNOTATION, &others);
    }
    let current_cpu_utilization_percentage =
        status.current_metrics.iter().filter_map(current_cpu_percentage).next_back();
    let current: Vec<v1::MetricStatus> = status.current_metrics.into_iter().map(Into::into).collect();
    if !current.is_empty() {
        annotate(&mut metadata, CURRENT_METRICS_ANNOTATION, &current);
    }
    if let Some(behavior) = &spec.behavior {
        annotate(&mut metadata, BEHAVIOR_ANNOTATION, &internal_json::Behavior::from(behavior));
    }
    if !status.conditions.is_empty() {
        annotate(&mut metadata, CONDITIONS_ANNOTATION, &status.conditions);
    }
    v1::HorizontalPodAutoscaler {
        kind: v2::KIND.into(),
        api_version: v1::API_VERSION.into(),
        metadata,
        spec: v1::HorizontalPodAutoscalerSpec {
            scale_target_ref: spec.scale_target_ref,
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            target_cpu_utilization_percentage,
        },
        status: v1::HorizontalPodAutoscalerStatus {
            observed_generation: status.observed_generation,
            last_scale_time: status.last_scale_time,
            current_replicas: status.current_replicas,
            desired_replicas: status.desired_replicas,
            current_cpu_utilization_percentage,
        },
    }
}

/// The percentage of a CPU utilisation metric.
fn cpu_percentage(metric: &v2::MetricSpec) -> Option<i32> {
    let resource = metric.resource.as_ref().filter(|resource| resource.name == "cpu")?;
    if metric.type_ != metric_type::RESOURCE {
        return None;
    }
    resource.target.average_utilization
}

fn current_cpu_percentage(metric: &v2::MetricStatus) -> Option<i32> {
    let resource = metric.resource.as_ref().filter(|resource| resource.name == "cpu")?;
    if metric.type_ != metric_type::RESOURCE {
        return None;
    }
    resource.current.average_utilization
}

fn current_cpu(percent: i32) -> v2::MetricStatus {
    v2::MetricStatus {
        type_: metric_type::RESOURCE.into(),
        resource: Some(v2::ResourceMetricStatus {
            name: "cpu".into(),
            current: v2::MetricValueStatus {
                average_utilization: Some(percent),
                ..v2::MetricValueStatus::default()
            },
        }),
        ..v2::MetricStatus::default()
    }
}

#[cfg(test)]
mod tests;
