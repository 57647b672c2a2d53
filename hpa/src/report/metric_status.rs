//! `status.currentMetrics`: one element per metric of the spec; a failed metric leaves an element with an empty type, as
//! upstream does.

use crate::decide::replicas::Outcome;
use crate::decide::{Branch, Decision};
use flyball_model::autoscaling::{metric_type, v2};
use flyball_model::quantity::{Quantity, QuantityFormat};

/// Statuses of all metrics; empty on branches that read none.
pub(super) fn of_all(specs: &[v2::MetricSpec], decision: &Decision) -> Vec<v2::MetricStatus> {
    if !matches!(decision.branch, Branch::Evaluated | Branch::Fallback | Branch::MetricsFailed) {
        return Vec::new();
    }
    let one = |(spec, proposal): (&v2::MetricSpec, &crate::decide::Proposal)| {
        proposal.as_ref().ok().and_then(|outcome| of_one(spec, outcome)).unwrap_or_default()
    };
    specs.iter().zip(decision.proposals.iter()).map(one).collect()
}

fn of_one(spec: &v2::MetricSpec, outcome: &Outcome) -> Option<v2::MetricStatus> {
    let mut status = v2::MetricStatus { type_: spec.type_.clone(), ..Default::default() };
    match spec.type_.as_str() {
        metric_type::RESOURCE => {
            let name = spec.resource.as_ref()?.name.clone();
            let current = per_pod(format_of(&name), outcome);
            status.resource = Some(v2::ResourceMetricStatus { name, current });
        }
        metric_type::CONTAINER_RESOURCE => {
            let source = spec.container_resource.as_ref()?;
            let (name, container) = (source.name.clone(), source.container.clone());
            let current = per_pod(format_of(&name), outcome);
            status.container_resource = Some(v2::ContainerResourceMetricStatus { name, current, container });
        }
        metric_type::PODS => {
            let metric = spec.pods.as_ref()?.metric.clone();
            let current = per_pod(QuantityFormat::DecimalSi, outcome);
            status.pods = Some(v2::PodsMetricStatus { metric, current });
        }
        metric_type::OBJECT => {
            let source = spec.object.as_ref()?;
            let is_average = source.target.type_ == flyball_model::autoscaling::target_type::AVERAGE_VALUE;
            status.object = Some(v2::ObjectMetricStatus {
                metric: source.metric.clone(),
                current: whole(is_average, outcome),
                described_object: source.described_object.clone(),
            });
        }
        metric_type::EXTERNAL => {
            let source = spec.external.as_ref()?;
            let current = whole(source.target.average_value.is_some(), outcome);
            status.external = Some(v2::ExternalMetricStatus { metric: source.metric.clone(), current });
        }
        _ => return None,
    }
    Some(status)
}

fn format_of(resource: &str) -> QuantityFormat {
    if resource == "memory" { QuantityFormat::BinarySi } else { QuantityFormat::DecimalSi }
}

fn per_pod(format: QuantityFormat, outcome: &Outcome) -> v2::MetricValueStatus {
    v2::MetricValueStatus {
        average_value: Some(Quantity::from_milli(outcome.value_milli, format)),
        average_utilization: outcome.utilization,
        ..Default::default()
    }
}

fn whole(is_average: bool, outcome: &Outcome) -> v2::MetricValueStatus {
    let value = Some(Quantity::from_milli(outcome.value_milli, QuantityFormat::DecimalSi));
    match is_average {
        true => v2::MetricValueStatus { average_value: value, ..Default::default() },
        false => v2::MetricValueStatus { value, ..Default::default() },
    }
}
