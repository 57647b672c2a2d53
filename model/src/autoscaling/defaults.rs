//! Defaults of `autoscaling/v2` (hpa.md 1.4 lists them; upstream `pkg/apis/autoscaling/v2/defaults.go`).

use super::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler, MetricSpec, MetricTarget,
    ResourceMetricSource,
};
use super::{metric_type, policy_type, select_policy, target_type};

/// Percent of the CPU request that an autoscaler without metrics aims at.
pub const DEFAULT_CPU_UTILIZATION_PERCENT: i32 = 80;

const DEFAULT_PERIOD_SECONDS: i32 = 15;

/// Fills in what was not given. A `behavior` that is not there stays so: the controller then uses the older limits.
pub fn apply_defaults(autoscaler: &mut HorizontalPodAutoscaler) {
    let spec = &mut autoscaler.spec;
    spec.min_replicas.get_or_insert(1);
    if spec.metrics.is_empty() {
        spec.metrics.push(cpu_utilization(DEFAULT_CPU_UTILIZATION_PERCENT));
    }
    if let Some(behavior) = &mut spec.behavior {
        behavior.scale_up = Some(filled(behavior.scale_up.take(), default_scale_up()));
        behavior.scale_down = Some(filled(behavior.scale_down.take(), default_scale_down()));
    }
}

/// A metric of CPU at a percentage of the request.
pub(super) fn cpu_utilization(percent: i32) -> MetricSpec {
    MetricSpec {
        type_: metric_type::RESOURCE.into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: target_type::UTILIZATION.into(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

/// Limits on growing where `behavior` says nothing about them: at once, by 4 pods or 100 percent each 15 s.
pub fn default_scale_up() -> HPAScalingRules {
    HPAScalingRules {
        stabilization_window_seconds: Some(0),
        select_policy: Some(select_policy::MAX.into()),
        policies: Some(vec![policy(policy_type::PODS, 4), policy(policy_type::PERCENT, 100)]),
        tolerance: None,
    }
}

/// Limits on shrinking where `behavior` says nothing about them. The window stays `None`: it is the controller's setting.
pub fn default_scale_down() -> HPAScalingRules {
    HPAScalingRules {
        stabilization_window_seconds: None,
        select_policy: Some(select_policy::MAX.into()),
        policies: Some(vec![policy(policy_type::PERCENT, 100)]),
        tolerance: None,
    }
}

fn policy(type_: &str, value: i32) -> HPAScalingPolicy {
    HPAScalingPolicy { type_: type_.into(), value, period_seconds: DEFAULT_PERIOD_SECONDS }
}

fn filled(given: Option<HPAScalingRules>, default: HPAScalingRules) -> HPAScalingRules {
    let given = given.unwrap_or_default();
    HPAScalingRules {
        stabilization_window_seconds: given
            .stabilization_window_seconds
            .or(default.stabilization_window_seconds),
        select_policy: given.select_policy.or(default.select_policy),
        policies: given.policies.or(default.policies),
        tolerance: given.tolerance.or(default.tolerance),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The spec after defaulting.
    fn defaulted(spec: Value) -> Value {
        let mut autoscaler: HorizontalPodAutoscaler =
            serde_json::from_value(json!({ "spec": spec })).unwrap();
        apply_defaults(&mut autoscaler);
        serde_json::to_value(autoscaler).unwrap()["spec"].take()
    }

    #[test]
    fn d1_min_replicas_is_one() {
        assert_eq!(defaulted(json!({}))["minReplicas"], 1);
        assert_eq!(defaulted(json!({"minReplicas": null}))["minReplicas"], 1);
        assert_eq!(defaulted(json!({"minReplicas": 0}))["minReplicas"], 0);
    }

    #[test]
    fn d2_metrics_are_cpu_at_80_percent() {
        let cpu = json!([{"type": "Resource", "resource":
            {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
        assert_eq!(defaulted(json!({}))["metrics"], cpu);
        assert_eq!(defaulted(json!({"metrics": []}))["metrics"], cpu);
        assert_eq!(defaulted(json!({"metrics": [{"type": "Pods"}]}))["metrics"], json!([{"type": "Pods"}]));
    }

    #[test]
    fn d3_absent_behavior_stays_absent() {
        assert_eq!(defaulted(json!({})).get("behavior"), None);
        assert_eq!(defaulted(json!({"behavior": null})).get("behavior"), None);
    }

    #[test]
    fn d4_behavior_is_filled_field_by_field() {
        assert_eq!(
            defaulted(json!({"behavior": {}}))["behavior"],
            json!({
                "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                    {"type": "Pods", "value": 4, "periodSeconds": 15},
                    {"type": "Percent", "value": 100, "periodSeconds": 15}]},
                "scaleDown": {"selectPolicy": "Max", "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": 15}]},
            })
        );
        let given = json!({"behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 7, "tolerance": "0.05"},
            "scaleDown": {"selectPolicy": "Min", "policies": []},
        }});
        let behavior = defaulted(given)["behavior"].take();
        assert_eq!(behavior["scaleUp"]["stabilizationWindowSeconds"], 7);
        assert_eq!(behavior["scaleUp"]["tolerance"], "50m");
        assert_eq!(behavior["scaleUp"]["selectPolicy"], "Max");
        assert_eq!(behavior["scaleDown"]["selectPolicy"], "Min");
        assert_eq!(behavior["scaleDown"]["policies"], json!([]), "an empty list survives");
        assert_eq!(behavior["scaleDown"].get("stabilizationWindowSeconds"), None);
    }
}
