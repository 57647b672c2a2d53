//! Conditions of an HPA: each type once, and the transition time moves only with the status.

use flyball_model::autoscaling::v2::HorizontalPodAutoscalerCondition;
use flyball_model::time::rfc3339_seconds;

/// Sets a condition of ours to True with this reason and message, or removes it.
pub fn set_condition(
    list: &mut Vec<HorizontalPodAutoscalerCondition>,
    kind: &str,
    told: Option<(&'static str, String)>,
    now_ms: i64,
) {
    let mut conditions = Conditions::new(list, now_ms);
    match told {
        Some((reason, message)) => conditions.set(kind, true, reason, message),
        None => conditions.remove(kind),
    }
}

/// A list of conditions being changed at one moment.
pub(super) struct Conditions<'a> {
    list: &'a mut Vec<HorizontalPodAutoscalerCondition>,
    now_ms: i64,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(list: &'a mut Vec<HorizontalPodAutoscalerCondition>, now_ms: i64) -> Self {
        Conditions { list, now_ms }
    }

    pub(super) fn set(&mut self, kind: &str, is_true: bool, reason: &str, message: String) {
        let status = if is_true { "True" } else { "False" };
        let index = self.list.iter().position(|condition| condition.type_ == kind).unwrap_or_else(|| {
            self.list.push(HorizontalPodAutoscalerCondition { type_: kind.into(), ..Default::default() });
            self.list.len() - 1
        });
        let condition = &mut self.list[index];
        if condition.status != status {
            condition.last_transition_time = Some(rfc3339_seconds(self.now_ms));
            condition.status = status.into();
        }
        condition.reason = reason.into();
        condition.message = message;
    }

    pub(super) fn remove(&mut self, kind: &str) {
        self.list.retain(|condition| condition.type_ != kind);
    }
}
