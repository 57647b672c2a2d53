//! Rules on metrics: V8 to V21.

use crate::autoscaling::v2::{
    ContainerResourceMetricSource, ExternalMetricSource, HorizontalPodAutoscalerSpec, MetricIdentifier,
    MetricSpec, MetricTarget, ObjectMetricSource, PodsMetricSource, ResourceMetricSource,
};
use crate::autoscaling::{metric_type, target_type};
use crate::field_error::FieldError;
use crate::names;
use crate::selector::LabelSelector;

use super::{ApiVersionRule, path_segment, reference};

const METRIC_TYPES: &[&str] = &[
    metric_type::CONTAINER_RESOURCE,
    metric_type::EXTERNAL,
    metric_type::OBJECT,
    metric_type::PODS,
    metric_type::RESOURCE,
];

pub(super) fn metrics(
    spec: &HorizontalPodAutoscalerSpec,
    path: &str,
    rule: ApiVersionRule,
    faults: &mut Vec<FieldError>,
) {
    for (index, metric) in spec.metrics.iter().enumerate() {
        metric_spec(metric, &format!("{path}[{index}]"), rule, faults);
    }
    // V8: only metrics that are not per pod can tell when the first pod is needed.
    let wakes =
        |metric: &MetricSpec| [metric_type::OBJECT, metric_type::EXTERNAL].contains(&metric.type_.as_str());
    if spec.min_replicas == Some(0) && !spec.metrics.iter().any(wakes) {
        let rule = "must specify at least one Object or External metric to support scaling to zero replicas";
        faults.push(FieldError::forbidden(path, rule));
    }
}

/// V9 and V10
fn metric_spec(metric: &MetricSpec, path: &str, rule: ApiVersionRule, faults: &mut Vec<FieldError>) {
    if metric.type_.is_empty() {
        faults.push(FieldError::required(format!("{path}.type"), "must specify a metric source type"));
    }
    let expected = match metric.type_.as_str() {
        metric_type::OBJECT => Some("object"),
        metric_type::PODS => Some("pods"),
        metric_type::RESOURCE => Some("resource"),
        metric_type::CONTAINER_RESOURCE => Some("containerResource"),
        metric_type::EXTERNAL => Some("external"),
        _ => {
            faults.push(FieldError::not_supported(
                format!("{path}.type"),
                metric.type_.as_str(),
                METRIC_TYPES,
            ));
            None
        }
    };
    // Only the first source is looked into, in upstream's order.
    let mut present = Vec::new();
    if let Some(source) = &metric.object {
        object(source, &format!("{path}.object"), rule, faults);
        present.push("object");
    }
    if let Some(source) = &metric.external {
        if present.is_empty() {
            external(source, &format!("{path}.external"), faults);
        }
        present.push("external");
    }
    if let Some(source) = &metric.pods {
        if present.is_empty() {
            pods(source, &format!("{path}.pods"), faults);
        }
        present.push("pods");
    }
    if let Some(source) = &metric.resource {
        if present.is_empty() {
            resource(source, &format!("{path}.resource"), faults);
        }
        present.push("resource");
    }
    if let Some(source) = &metric.container_resource {
        if present.is_empty() {
            container_resource(source, &format!("{path}.containerResource"), faults);
        }
        present.push("containerResource");
    }
    if let Some(expected) = expected.filter(|expected| !present.contains(expected)) {
        let rule = "must populate information for the given metric source";
        faults.push(FieldError::required(format!("{path}.{expected}"), rule));
    }
    if present.len() > 1 {
        for extra in present.into_iter().filter(|name| Some(*name) != expected) {
            faults.push(FieldError::forbidden(
                format!("{path}.{extra}"),
                "must populate the given metric source only",
            ));
        }
    }
}

/// V11 to V13
fn object(source: &ObjectMetricSource, path: &str, rule: ApiVersionRule, faults: &mut Vec<FieldError>) {
    reference(&source.described_object, &format!("{path}.describedObject"), rule, faults);
    identifier(&source.metric, &format!("{path}.metric"), faults);
    target(&source.target, &format!("{path}.target"), faults);
    if source.target.value.is_none() && source.target.average_value.is_none() {
        let rule = "must set either a target value or averageValue";
        faults.push(FieldError::required(format!("{path}.target.averageValue"), rule));
    }
}

/// V12 and V14
fn external(source: &ExternalMetricSource, path: &str, faults: &mut Vec<FieldError>) {
    identifier(&source.metric, &format!("{path}.metric"), faults);
    target(&source.target, &format!("{path}.target"), faults);
    match (&source.target.value, &source.target.average_value) {
        (None, None) => {
            let rule = "must set either a target value for metric or a per-pod target";
            faults.push(FieldError::required(format!("{path}.target.averageValue"), rule));
        }
        (Some(_), Some(_)) => {
            let rule = "may not set both a target value for metric and a per-pod target";
            faults.push(FieldError::forbidden(format!("{path}.target.value"), rule));
        }
        _ => {}
    }
}

/// V12 and V15
fn pods(source: &PodsMetricSource, path: &str, faults: &mut Vec<FieldError>) {
    identifier(&source.metric, &format!("{path}.metric"), faults);
    target(&source.target, &format!("{path}.target"), faults);
    if source.target.average_value.is_none() {
        let rule = "must specify a positive target averageValue";
        faults.push(FieldError::required(format!("{path}.target.averageValue"), rule));
    }
}

/// V16 and V18
fn resource(source: &ResourceMetricSource, path: &str, faults: &mut Vec<FieldError>) {
    if source.name.is_empty() {
        faults.push(FieldError::required(format!("{path}.name"), "must specify a resource name"));
    }
    resource_target(&source.target, &format!("{path}.target"), faults);
}

/// V16 to V18
fn container_resource(source: &ContainerResourceMetricSource, path: &str, faults: &mut Vec<FieldError>) {
    if source.name.is_empty() {
        faults.push(FieldError::required(format!("{path}.name"), "must specify a resource name"));
    } else {
        container_resource_name(&source.name, &format!("{path}.name"), faults);
    }
    if source.container.is_empty() {
        faults.push(FieldError::required(format!("{path}.container"), "must specify a container"));
    } else {
        for message in names::dns1123_label(&source.container) {
            faults.push(FieldError::invalid(format!("{path}.container"), source.container.as_str(), message));
        }
    }
    resource_target(&source.target, &format!("{path}.target"), faults);
}

/// Resources a container can ask for: three names, huge pages, native ones with a prefix, or an extended resource.
fn container_resource_name(name: &str, path: &str, faults: &mut Vec<FieldError>) {
    let name_faults = names::label_key(name);
    let well_formed = name_faults.is_empty();
    for message in name_faults {
        faults.push(FieldError::invalid(path, name, message));
    }
    let standard = ["cpu", "memory", "ephemeral-storage"].contains(&name) || name.starts_with("hugepages-");
    if !name.contains('/') {
        if !standard {
            if well_formed && !is_quota_resource(name) {
                let rule = "must be a standard resource type or fully qualified";
                faults.push(FieldError::invalid(path, name, rule));
            }
            faults.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !name.contains("kubernetes.io/") {
        let in_quota = names::label_key(&format!("requests.{name}")).is_empty();
        if name.starts_with("requests.") || !in_quota {
            faults.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
        }
    }
}

/// Names without prefix that mean something in a ResourceQuota, though not to a container.
fn is_quota_resource(name: &str) -> bool {
    const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    const COUNTED: [&str; 10] = [
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "storage",
        "services.nodeports",
        "services.loadbalancers",
    ];
    let compute = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| COMPUTE.contains(&rest));
    COUNTED.contains(&name)
        || compute("requests.")
        || compute("limits.")
        || name == "requests.storage"
        || name.starts_with("requests.hugepages-")
}

/// V12
fn identifier(metric: &MetricIdentifier, path: &str, faults: &mut Vec<FieldError>) {
    if metric.name.is_empty() {
        faults.push(FieldError::required(format!("{path}.name"), "must specify a metric name"));
    } else {
        path_segment(&metric.name, &format!("{path}.name"), faults);
    }
}

/// V12, of selectors; only where they are asked about.
pub(super) fn selectors(spec: &HorizontalPodAutoscalerSpec, path: &str, faults: &mut Vec<FieldError>) {
    for (index, metric) in spec.metrics.iter().enumerate() {
        let sources = [
            ("object", metric.object.as_ref().map(|source| &source.metric)),
            ("external", metric.external.as_ref().map(|source| &source.metric)),
            ("pods", metric.pods.as_ref().map(|source| &source.metric)),
        ];
        for (source, identifier) in sources {
            if let Some(selector) = identifier.and_then(|identifier| identifier.selector.as_ref())
                && let Err(error) = LabelSelector::from_json(selector)
            {
                let path = format!("{path}[{index}].{source}.metric.selector");
                faults.push(FieldError::invalid(path, selector.clone(), error.to_string()));
            }
        }
    }
}

/// V18
fn resource_target(value: &MetricTarget, path: &str, faults: &mut Vec<FieldError>) {
    target(value, path, faults);
    match (value.average_utilization, &value.average_value) {
        (None, None) => {
            let rule = "must set either a target raw value or a target utilization";
            faults.push(FieldError::required(format!("{path}.averageUtilization"), rule));
        }
        (Some(_), Some(_)) => {
            let rule = "may not set both a target raw value and a target utilization";
            faults.push(FieldError::forbidden(format!("{path}.averageValue"), rule));
        }
        _ => {}
    }
}

/// V19 to V21
fn target(target: &MetricTarget, path: &str, faults: &mut Vec<FieldError>) {
    let type_ = target.type_.as_str();
    if type_.is_empty() {
        faults.push(FieldError::required(format!("{path}.type"), "must specify a metric target type"));
    }
    if ![target_type::UTILIZATION, target_type::VALUE, target_type::AVERAGE_VALUE].contains(&type_) {
        let rule = "must be either Utilization, Value, or AverageValue";
        faults.push(FieldError::invalid(format!("{path}.type"), type_, rule));
    }
    for (field, quantity) in [("value", &target.value), ("averageValue", &target.average_value)] {
        if let Some(quantity) = quantity.as_ref().filter(|quantity| !quantity.is_positive()) {
            faults.push(FieldError::invalid(
                format!("{path}.{field}"),
                quantity.to_string(),
                "must be positive",
            ));
        }
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        faults.push(FieldError::invalid(
            format!("{path}.averageUtilization"),
            percent,
            "must be greater than 0",
        ));
    }
}
