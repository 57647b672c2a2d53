//! Metric statuses between their v1 and v2 shapes. v1 cannot leave some values out; they come back as 0.

use super::super::{v1, v2};
use crate::quantity::Quantity;

fn values(
    value: Option<Quantity>,
    average_value: Option<Quantity>,
    percent: Option<i32>,
) -> v2::MetricValueStatus {
    v2::MetricValueStatus { value, average_value, average_utilization: percent }
}

impl From<v1::MetricStatus> for v2::MetricStatus {
    fn from(metric: v1::MetricStatus) -> v2::MetricStatus {
        v2::MetricStatus {
            type_: metric.type_,
            object: metric.object.map(|status| v2::ObjectMetricStatus {
                metric: v2::MetricIdentifier { name: status.metric_name, selector: status.selector },
                current: values(Some(status.current_value), status.average_value, None),
                described_object: status.target,
            }),
            pods: metric.pods.map(|status| v2::PodsMetricStatus {
                metric: v2::MetricIdentifier { name: status.metric_name, selector: status.selector },
                current: values(None, Some(status.current_average_value), None),
            }),
            resource: metric.resource.map(|status| v2::ResourceMetricStatus {
                name: status.name,
                current: values(None, Some(status.current_average_value), status.current_average_utilization),
            }),
            container_resource: metric.container_resource.map(|status| v2::ContainerResourceMetricStatus {
                name: status.name,
                current: values(None, Some(status.current_average_value), status.current_average_utilization),
                container: status.container,
            }),
            external: metric.external.map(|status| v2::ExternalMetricStatus {
                metric: v2::MetricIdentifier { name: status.metric_name, selector: status.metric_selector },
                current: values(Some(status.current_value), status.current_average_value, None),
            }),
        }
    }
}

impl From<v2::MetricStatus> for v1::MetricStatus {
    fn from(metric: v2::MetricStatus) -> v1::MetricStatus {
        v1::MetricStatus {
            type_: metric.type_,
            object: metric.object.map(|status| v1::ObjectMetricStatus {
                target: status.described_object,
                metric_name: status.metric.name,
                current_value: status.current.value.unwrap_or_default(),
                selector: status.metric.selector,
                average_value: status.current.average_value,
            }),
            pods: metric.pods.map(|status| v1::PodsMetricStatus {
                metric_name: status.metric.name,
                current_average_value: status.current.average_value.unwrap_or_default(),
                selector: status.metric.selector,
            }),
            resource: metric.resource.map(|status| v1::ResourceMetricStatus {
                name: status.name,
                current_average_utilization: status.current.average_utilization,
                current_average_value: status.current.average_value.unwrap_or_default(),
            }),
            container_resource: metric.container_resource.map(|status| v1::ContainerResourceMetricStatus {
                name: status.name,
                current_average_utilization: status.current.average_utilization,
                current_average_value: status.current.average_value.unwrap_or_default(),
                container: status.container,
            }),
            external: metric.external.map(|status| v1::ExternalMetricStatus {
                metric_name: status.metric.name,
                metric_selector: status.metric.selector,
                current_value: status.current.value.unwrap_or_default(),
                current_average_value: status.current.average_value,
            }),
        }
    }
}
