//! Metric specs between their v1 and v2 shapes.

use super::super::{target_type, v1, v2};
use crate::quantity::Quantity;

impl From<v1::MetricSpec> for v2::MetricSpec {
    fn from(metric: v1::MetricSpec) -> v2::MetricSpec {
        v2::MetricSpec {
            type_: metric.type_,
            object: metric.object.map(object_to_v2),
            pods: metric.pods.map(|source| v2::PodsMetricSource {
                metric: v2::MetricIdentifier { name: source.metric_name, selector: source.selector },
                target: v2::MetricTarget {
                    type_: target_type::AVERAGE_VALUE.into(),
                    average_value: Some(source.target_average_value),
                    ..v2::MetricTarget::default()
                },
            }),
            resource: metric.resource.map(|source| v2::ResourceMetricSource {
                name: source.name,
                target: resource_target(source.target_average_utilization, source.target_average_value),
            }),
            container_resource: metric.container_resource.map(|source| v2::ContainerResourceMetricSource {
                name: source.name,
                target: resource_target(source.target_average_utilization, source.target_average_value),
                container: source.container,
            }),
            external: metric.external.map(external_to_v2),
        }
    }
}

fn object_to_v2(source: v1::ObjectMetricSource) -> v2::ObjectMetricSource {
    let average = source.average_value.is_some();
    let type_ = if average { target_type::AVERAGE_VALUE } else { target_type::VALUE };
    // v1 cannot leave the value out and writes 0 beside an average, which would be invalid in v2.
    let value = Some(source.target_value).filter(|value| !average || !value.is_zero());
    v2::ObjectMetricSource {
        described_object: source.target,
        target: v2::MetricTarget {
            type_: type_.into(),
            value,
            average_value: source.average_value,
            average_utilization: None,
        },
        metric: v2::MetricIdentifier { name: source.metric_name, selector: source.selector },
    }
}

fn external_to_v2(source: v1::ExternalMetricSource) -> v2::ExternalMetricSource {
    let type_ = if source.target_value.is_none() { target_type::AVERAGE_VALUE } else { target_type::VALUE };
    v2::ExternalMetricSource {
        metric: v2::MetricIdentifier { name: source.metric_name, selector: source.metric_selector },
        target: v2::MetricTarget {
            type_: type_.into(),
            value: source.target_value,
            average_value: source.target_average_value,
            average_utilization: None,
        },
    }
}

fn resource_target(average_utilization: Option<i32>, average_value: Option<Quantity>) -> v2::MetricTarget {
    let type_ =
        if average_utilization.is_none() { target_type::AVERAGE_VALUE } else { target_type::UTILIZATION };
    v2::MetricTarget { type_: type_.into(), value: None, average_value, average_utilization }
}

impl From<v2::MetricSpec> for v1::MetricSpec {
    fn from(metric: v2::MetricSpec) -> v1::MetricSpec {
        v1::MetricSpec {
            type_: metric.type_,
            object: metric.object.map(|source| v1::ObjectMetricSource {
                target: source.described_object,
                metric_name: source.metric.name,
                target_value: source.target.value.unwrap_or_default(),
                selector: source.metric.selector,
                average_value: source.target.average_value,
            }),
            pods: metric.pods.map(|source| v1::PodsMetricSource {
                metric_name: source.metric.name,
                target_average_value: source.target.average_value.unwrap_or_default(),
                selector: source.metric.selector,
            }),
            resource: metric.resource.map(|source| v1::ResourceMetricSource {
                name: source.name,
                target_average_utilization: source.target.average_utilization,
                target_average_value: source.target.average_value,
            }),
            container_resource: metric.container_resource.map(|source| v1::ContainerResourceMetricSource {
                name: source.name,
                target_average_utilization: source.target.average_utilization,
                target_average_value: source.target.average_value,
                container: source.container,
            }),
            external: metric.external.map(|source| v1::ExternalMetricSource {
                metric_name: source.metric.name,
                metric_selector: source.metric.selector,
                target_value: source.target.value,
                target_average_value: source.target.average_value,
            }),
        }
    }
}
