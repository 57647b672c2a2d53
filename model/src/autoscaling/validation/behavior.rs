//! Rules on `behavior`: V22 to V26.

use crate::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules};
use crate::autoscaling::{policy_type, select_policy};
use crate::field_error::FieldError;

/// Longest period of a scaling policy, seconds.
pub const MAX_PERIOD_SECONDS: i32 = 1800;
/// Longest stabilisation window, seconds.
pub const MAX_STABILIZATION_WINDOW_SECONDS: i32 = 3600;

const SELECT_POLICIES: &[&str] = &[select_policy::DISABLED, select_policy::MAX, select_policy::MIN];
const POLICY_TYPES: &[&str] = &[policy_type::PERCENT, policy_type::PODS];

pub(super) fn rules(rules: Option<&HPAScalingRules>, path: &str, faults: &mut Vec<FieldError>) {
    let Some(rules) = rules else {
        return;
    };
    if let Some(seconds) = rules.stabilization_window_seconds {
        let path = format!("{path}.stabilizationWindowSeconds");
        if seconds < 0 {
            faults.push(FieldError::invalid(path, seconds, "must be greater than or equal to zero"));
        } else if seconds > MAX_STABILIZATION_WINDOW_SECONDS {
            let rule = format!("must be less than or equal to {MAX_STABILIZATION_WINDOW_SECONDS}");
            faults.push(FieldError::invalid(path, seconds, rule));
        }
    }
    if let Some(select) = rules.select_policy.as_deref().filter(|select| !SELECT_POLICIES.contains(select)) {
        faults.push(FieldError::not_supported(format!("{path}.selectPolicy"), select, SELECT_POLICIES));
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        faults.push(FieldError::required(format!("{path}.policies"), "must specify at least one Policy"));
    }
    for (index, entry) in policies.iter().enumerate() {
        policy(entry, &format!("{path}.policies[{index}]"), faults);
    }
    if let Some(tolerance) = rules.tolerance.as_ref().filter(|tolerance| tolerance.is_negative()) {
        let rule = "must be greater than or equal to 0";
        faults.push(FieldError::invalid(format!("{path}.tolerance"), tolerance.to_string(), rule));
    }
}

fn policy(policy: &HPAScalingPolicy, path: &str, faults: &mut Vec<FieldError>) {
    if !POLICY_TYPES.contains(&policy.type_.as_str()) {
        faults.push(FieldError::not_supported(format!("{path}.type"), policy.type_.as_str(), POLICY_TYPES));
    }
    if policy.value <= 0 {
        faults.push(FieldError::invalid(format!("{path}.value"), policy.value, "must be greater than zero"));
    }
    let period_path = format!("{path}.periodSeconds");
    if policy.period_seconds <= 0 {
        faults.push(FieldError::invalid(period_path, policy.period_seconds, "must be greater than zero"));
    } else if policy.period_seconds > MAX_PERIOD_SECONDS {
        let rule = format!("must be less than or equal to {MAX_PERIOD_SECONDS}");
        faults.push(FieldError::invalid(period_path, policy.period_seconds, rule));
    }
}
