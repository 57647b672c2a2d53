//! `relabel_configs` and `metric_relabel_configs`. Pure.

use super::super::relabel::{Action, Draft, Rule};
use super::fields::{Fault, Item, Read};

/// Reads a list of rules.
pub(super) fn read(item: &Item<'_>) -> Read<Vec<Rule>> {
    item.items()?.iter().map(rule).collect()
}

fn rule(item: &Item<'_>) -> Read<Rule> {
    if item.is_null() {
        return Err(item.fault("it is empty"));
    }
    let mut fields = item.fields()?;
    let mut draft = Draft::default();
    let mut lines: Vec<(&'static str, Item<'_>)> = Vec::new();
    for key in ["action", "source_labels", "separator", "regex", "modulus", "target_label", "replacement"] {
        if let Some(field) = fields.take(key) {
            take(&mut draft, key, &field)?;
            lines.push((key, field));
        }
    }
    fields.finish()?;
    draft.check().map_err(|error| match lines.iter().find(|(key, _)| *key == error.field) {
        Some((_, field)) => field.fault(error.reason),
        None => {
            let Fault { line, field, .. } = item.fault("");
            Fault { line, field: format!("{field}.{}", error.field), reason: error.reason }
        }
    })
}

fn take(draft: &mut Draft, key: &str, field: &Item<'_>) -> Read<()> {
    match key {
        "action" => {
            let name = field.text()?;
            draft.action = Action::from_name(&name)
                .ok_or_else(|| field.fault(format!("there is no action {name:?}")))?;
        }
        "source_labels" => {
            let names = field.texts()?;
            if names.iter().any(String::is_empty) {
                return Err(field.fault("a label has no name"));
            }
            draft.source_labels = Some(names);
        }
        "separator" => draft.separator = field.text()?,
        "regex" => draft.regex = Some(field.text()?),
        "modulus" => draft.modulus = field.number()?,
        "target_label" => draft.target_label = field.text()?,
        _ => draft.replacement = field.text()?,
    }
    Ok(())
}
