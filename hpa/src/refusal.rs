//! Autoscalers of our own kind that are not acted on, and why. Pure.
//!
//! The CRD's schema refuses most of what is wrong when it is written. What it let pass, or what is older than the schema, is
//! refused here by the same rules as the built-in kind's, V1 to V28, each naming its field.

use crate::decide::Rules;
use crate::watch::HpaEntry;
use flyball_model::autoscaling::{Gates, validate_create};

/// Faults named in one message.
const MAX_FAULTS: usize = 5;

/// Reason and message of AbleToScale=False; `None`: it is acted on. `owner`: the built-in autoscaler of the same target.
pub(crate) fn refusal(entry: &HpaEntry, owner: Option<&str>) -> Option<(&'static str, String)> {
    let faults = validate_create(&entry.hpa, Gates { scale_to_zero: true, metric_selectors: true });
    if !faults.is_empty() {
        let mut texts: Vec<String> = faults.iter().take(MAX_FAULTS).map(ToString::to_string).collect();
        if faults.len() > MAX_FAULTS {
            texts.push(format!("and {} more", faults.len() - MAX_FAULTS));
        }
        return Some(("InvalidSpec", texts.join("; ")));
    }
    let target = &entry.hpa.spec.scale_target_ref;
    let Rules { namespace, .. } = &entry.rules;
    owner.map(|owner| {
        let (kind, name) = (&target.kind, &target.name);
        let message = format!(
            "{kind} {name} is scaled by horizontalpodautoscalers.autoscaling {namespace}/{owner} already: delete one of the two"
        );
        ("TargetOwned", message)
    })
}
