//! Which HPA selects which pods: two that select the same pod both stop.

use super::{Key, Population};
use flyball_model::selector::LabelSelector;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// HPAs named in the message about an ambiguity.
const MAX_NAMED: usize = 2;

/// The last known selector of every HPA, by namespace. An HPA that was never evaluated selects nothing yet.
#[derive(Default)]
pub(crate) struct Selectors {
    namespaces: Mutex<HashMap<String, BTreeMap<String, Option<LabelSelector>>>>,
}

impl Selectors {
    /// Makes an HPA known.
    pub(crate) fn register(&self, key: &Key) {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        namespaces.entry(key.0.clone()).or_default().entry(key.1.clone()).or_default();
    }

    /// Forgets an HPA.
    pub(crate) fn remove(&self, key: &Key) {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = namespaces.get_mut(&key.0) {
            names.remove(&key.1);
            if names.is_empty() {
                namespaces.remove(&key.0);
            }
        }
    }

    /// Stores the selector of a known HPA; false if it is gone.
    pub(crate) fn update(&self, key: &Key, selector: &LabelSelector) -> bool {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = namespaces.get_mut(&key.0).and_then(|names| names.get_mut(&key.1));
        slot.map(|slot| *slot = Some(selector.clone())).is_some()
    }

    /// HPAs of a namespace that select any of these pods, as Go prints the list, if there is more than one.
    pub(crate) fn ambiguity(&self, namespace: &str, population: &Population) -> Option<String> {
        let namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let names = namespaces.get(namespace)?;
        let selects =
            |selector: &&LabelSelector| population.labels().any(|labels| selector.matches_map(labels));
        let selecting: Vec<String> = names
            .iter()
            .filter(|(_, selector)| selector.as_ref().filter(selects).is_some())
            .take(MAX_NAMED)
            .map(|(name, _)| format!("{{{name} {namespace}}}"))
            .collect();
        (selecting.len() > 1).then(|| format!("[{}]", selecting.join(" ")))
    }
}
