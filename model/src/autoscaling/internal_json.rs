//! The JSON of upstream's internal `behavior` type: no field tags, so capitalised keys and `null` for what is absent.
//!
//! It is kept in the annotation `autoscaling.alpha.kubernetes.io/behavior` of v1 objects. Go reads keys in any case;
//! capitalised and camel case are read here.

use serde::{Deserialize, Serialize};

use super::v2;
use crate::quantity::Quantity;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Behavior {
    #[serde(alias = "scaleUp")]
    scale_up: Option<Rules>,
    #[serde(alias = "scaleDown")]
    scale_down: Option<Rules>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Rules {
    #[serde(alias = "stabilizationWindowSeconds")]
    stabilization_window_seconds: Option<i32>,
    #[serde(alias = "selectPolicy")]
    select_policy: Option<String>,
    #[serde(alias = "policies")]
    policies: Option<Vec<Policy>>,
    #[serde(alias = "tolerance")]
    tolerance: Option<Quantity>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Policy {
    #[serde(rename = "Type", alias = "type")]
    type_: String,
    #[serde(alias = "value")]
    value: i32,
    #[serde(alias = "periodSeconds")]
    period_seconds: i32,
}

impl From<&v2::HorizontalPodAutoscalerBehavior> for Behavior {
    fn from(behavior: &v2::HorizontalPodAutoscalerBehavior) -> Behavior {
        let rules = |rules: &v2::HPAScalingRules| Rules {
            stabilization_window_seconds: rules.stabilization_window_seconds,
            select_policy: rules.select_policy.clone(),
            policies: rules.policies.as_ref().map(|policies| {
                let policy = |policy: &v2::HPAScalingPolicy| Policy {
                    type_: policy.type_.clone(),
                    value: policy.value,
                    period_seconds: policy.period_seconds,
                };
                policies.iter().map(policy).collect()
            }),
            tolerance: rules.tolerance,
        };
        Behavior {
            scale_up: behavior.scale_up.as_ref().map(rules),
            scale_down: behavior.scale_down.as_ref().map(rules),
        }
    }
}

impl From<Behavior> for v2::HorizontalPodAutoscalerBehavior {
    fn from(behavior: Behavior) -> v2::HorizontalPodAutoscalerBehavior {
        let rules = |rules: Rules| v2::HPAScalingRules {
            stabilization_window_seconds: rules.stabilization_window_seconds,
            select_policy: rules.select_policy,
            policies: rules.policies.map(|policies| {
                let policy = |policy: Policy| v2::HPAScalingPolicy {
                    type_: policy.type_,
                    value: policy.value,
                    period_seconds: policy.period_seconds,
                };
                policies.into_iter().map(policy).collect()
            }),
            tolerance: rules.tolerance,
        };
        v2::HorizontalPodAutoscalerBehavior {
            scale_up: behavior.scale_up.map(rules),
            scale_down: behavior.scale_down.map(rules),
        }
    }
}
