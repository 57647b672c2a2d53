//! An autoscaling/v2 object to compiled rules. Pure.

use crate::decide::{
    Behavior, Described, Direction, Metric, Policy, PolicyKind, Rules, ScaleTarget, Select, Source, Target,
};
use crate::switches;
use flyball_model::autoscaling::{metric_type, policy_type, select_policy, target_type, v2};
use flyball_model::quantity::Quantity;
use serde_json::Value;

/// Compiles the spec, whose defaults must be filled in.
pub fn compile(hpa: &v2::HorizontalPodAutoscaler) -> Rules {
    let spec = &hpa.spec;
    Rules {
        namespace: hpa.metadata.namespace.clone(),
        name: hpa.metadata.name.clone(),
        min: spec.min_replicas.unwrap_or(1),
        max: spec.max_replicas,
        metrics: spec.metrics.iter().map(metric).collect(),
        behavior: spec.behavior.as_ref().map(behavior),
        scale_target: scale_target(&spec.scale_target_ref),
        overrides: switches::read(&hpa.metadata.annotations).0,
    }
}

fn scale_target(reference: &v2::CrossVersionObjectReference) -> ScaleTarget {
    let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
    ScaleTarget { group: group.to_owned(), kind: reference.kind.clone(), name: reference.name.clone() }
}

fn metric(spec: &v2::MetricSpec) -> Metric {
    let unknown = || Metric {
        source: Source::Unknown { kind: spec.type_.clone() },
        target: Target::Absent,
        text: String::new(),
    };
    let compiled = match spec.type_.as_str() {
        metric_type::RESOURCE => spec.resource.as_ref().map(resource),
        metric_type::CONTAINER_RESOURCE => spec.container_resource.as_ref().map(container_resource),
        metric_type::PODS => spec.pods.as_ref().map(pods),
        metric_type::OBJECT => spec.object.as_ref().map(object),
        metric_type::EXTERNAL => spec.external.as_ref().map(external),
        _ => None,
    };
    compiled.unwrap_or_else(unknown)
}

/// Resource metrics go by the field that is set, `averageValue` first; `target.type` is not looked at.
fn resource_target(target: &v2::MetricTarget) -> Target {
    match (&target.average_value, target.average_utilization) {
        (Some(value), _) => Target::AverageValue(value.milli_value()),
        (None, Some(percent)) => Target::Utilization(percent),
        (None, None) => Target::Absent,
    }
}

fn resource(spec: &v2::ResourceMetricSource) -> Metric {
    let (name, target) = (spec.name.clone(), resource_target(&spec.target));
    let text = match target {
        Target::Utilization(_) => format!("{name} resource utilization (percentage of request)"),
        _ => format!("{name} resource"),
    };
    Metric { source: Source::Resource { name }, target, text }
}

fn container_resource(spec: &v2::ContainerResourceMetricSource) -> Metric {
    let (name, target) = (spec.name.clone(), resource_target(&spec.target));
    let text = match target {
        Target::Utilization(_) => format!("{name} container resource utilization (percentage of request)"),
        _ => format!("{name} resource"),
    };
    Metric { source: Source::ContainerResource { name, container: spec.container.clone() }, target, text }
}

fn pods(spec: &v2::PodsMetricSource) -> Metric {
    let name = spec.metric.name.clone();
    let target =
        spec.target.average_value.as_ref().map_or(Target::Absent, |q| Target::AverageValue(q.milli_value()));
    let text = format!("pods metric {name}");
    Metric { source: Source::Pods { name, selector: selector(&spec.metric) }, target, text }
}

/// Object metrics go by `target.type` together with the field it names.
fn object(spec: &v2::ObjectMetricSource) -> Metric {
    let name = spec.metric.name.clone();
    let milli = |quantity: &Option<Quantity>| quantity.as_ref().map(Quantity::milli_value);
    let target = match spec.target.type_.as_str() {
        target_type::VALUE => milli(&spec.target.value).map(Target::Value),
        target_type::AVERAGE_VALUE => milli(&spec.target.average_value).map(Target::AverageValue),
        _ => None,
    };
    let text = match target {
        // Upstream's own wording, wrong noun included.
        Some(Target::AverageValue(_)) => external_text(&spec.metric),
        _ => format!("{} metric {name}", spec.described_object.kind),
    };
    let described = Described {
        kind: spec.described_object.kind.clone(),
        name: spec.described_object.name.clone(),
        api_version: spec.described_object.api_version.clone(),
    };
    let source = Source::Object { name, selector: selector(&spec.metric), described };
    Metric { source, target: target.unwrap_or(Target::Absent), text }
}

/// External metrics go by the field that is set, `averageValue` first.
fn external(spec: &v2::ExternalMetricSource) -> Metric {
    let target = match (&spec.target.average_value, &spec.target.value) {
        (Some(value), _) => Target::AverageValue(value.milli_value()),
        (None, Some(value)) => Target::Value(value.milli_value()),
        (None, None) => Target::Absent,
    };
    let source = Source::External {
        name: spec.metric.name.clone(),
        selector: selector(&spec.metric),
        selector_text: go_selector(spec.metric.selector.as_ref()),
    };
    Metric { source, target, text: external_text(&spec.metric) }
}

fn selector(metric: &v2::MetricIdentifier) -> Value {
    metric.selector.clone().unwrap_or(Value::Null)
}

fn external_text(metric: &v2::MetricIdentifier) -> String {
    format!("external metric {}({})", metric.name, go_selector(metric.selector.as_ref()))
}

/// A label selector as Go's `%+v` prints the pointer to it.
fn go_selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector.filter(|value| !value.is_null()) else { return "nil".into() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut labels: Vec<(String, String)> = selector["matchLabels"]
        .as_object()
        .map(|map| map.iter().map(|(key, value)| (key.clone(), text(value))).collect())
        .unwrap_or_default();
    labels.sort();
    let labels: String = labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let requirement = |item: &Value| {
        let values: Vec<String> =
            item["values"].as_array().map(|v| v.iter().map(text).collect()).unwrap_or_default();
        let (key, operator) = (text(&item["key"]), text(&item["operator"]));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let expressions: String = selector["matchExpressions"]
        .as_array()
        .map(|items| items.iter().map(requirement).collect())
        .unwrap_or_default();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn behavior(spec: &v2::HorizontalPodAutoscalerBehavior) -> Behavior {
    use flyball_model::autoscaling::{default_scale_down, default_scale_up};
    Behavior {
        scale_up: direction(spec.scale_up.as_ref().unwrap_or(&default_scale_up())),
        scale_down: direction(spec.scale_down.as_ref().unwrap_or(&default_scale_down())),
    }
}

fn direction(rules: &v2::HPAScalingRules) -> Direction {
    let select = match rules.select_policy.as_deref() {
        Some(select_policy::DISABLED) => Select::Disabled,
        Some(select_policy::MIN) => Select::Min,
        _ => Select::Max,
    };
    let policy = |policy: &v2::HPAScalingPolicy| Policy {
        kind: if policy.type_ == policy_type::PODS { PolicyKind::Pods } else { PolicyKind::Percent },
        value: policy.value,
        period_seconds: policy.period_seconds,
    };
    Direction {
        window_seconds: rules.stabilization_window_seconds,
        select,
        policies: rules.policies.iter().flatten().map(policy).collect(),
        tolerance: rules.tolerance.as_ref().map(Quantity::as_f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(spec: Value) -> Rules {
        let object = json!({ "metadata": { "name": "web", "namespace": "ns" }, "spec": spec });
        let mut hpa: v2::HorizontalPodAutoscaler = serde_json::from_value(object).unwrap();
        flyball_model::autoscaling::apply_defaults(&mut hpa);
        compile(&hpa)
    }

    #[test]
    fn defaults() {
        let rules = rules(json!({ "maxReplicas": 5, "behavior": { "scaleUp": { "tolerance": "570m" } } }));
        assert_eq!((rules.min, rules.max), (1, 5));
        assert_eq!(rules.metrics[0].target, Target::Utilization(80));
        let behavior = rules.behavior.unwrap();
        assert_eq!(behavior.scale_up.tolerance, Some(570.0 * 1e-3), "D28");
        assert_eq!(behavior.scale_up.window_seconds, Some(0));
        assert_eq!(behavior.scale_down.window_seconds, None);
        assert_eq!(behavior.scale_up.policies.len(), 2);
    }

    #[test]
    fn texts_of_metrics() {
        let labels = json!({ "matchLabels": { "k": "v" } });
        let target = json!({ "type": "AverageValue", "averageValue": "10" });
        let rules = rules(json!({ "maxReplicas": 5, "metrics": [
            { "type": "Resource", "resource": { "name": "memory", "target": target } },
            { "type": "ContainerResource", "containerResource": { "name": "cpu", "container": "c",
                "target": { "type": "Utilization", "averageUtilization": 50 } } },
            { "type": "Pods", "pods": { "metric": { "name": "rps" }, "target": target } },
            { "type": "Object", "object": { "metric": { "name": "rps" }, "target": { "type": "Value", "value": "1" },
                "describedObject": { "kind": "Service", "name": "svc" } } },
            { "type": "Object", "object": { "metric": { "name": "rps" }, "target": target,
                "describedObject": { "kind": "Service", "name": "svc" } } },
            { "type": "External", "external": { "metric": { "name": "queue", "selector": labels }, "target": target } },
            { "type": "Odd" },
        ] }));
        let texts: Vec<&str> = rules.metrics.iter().map(|metric| metric.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "memory resource",
                "cpu container resource utilization (percentage of request)",
                "pods metric rps",
                "Service metric rps",
                "external metric rps(nil)",
                "external metric queue(&LabelSelector{MatchLabels:map[string]string{k: v,},\
             MatchExpressions:[]LabelSelectorRequirement{},})",
                "",
            ]
        );
        assert_eq!(rules.metrics[6].source, Source::Unknown { kind: "Odd".into() });
    }
}
