//! Which HPA selects which pods: two that select the same pod both stop.

use super::{Key, Population};
use flyball_model::selector::LabelSelector;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// HPAs named in the message about an ambiguity.
const MAX_NAMED: usize = 2;

/// The last known selector of every HPA, by namespace. An HPA that was never evaluated selects nothing yet.
#[derive(Default)]
pub(crate) struct Selectors(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Number of the last change of any namespace.
    changes: u64,
    namespaces: HashMap<String, Namespace>,
}

#[derive(Default)]
struct Namespace {
    /// Number of its last change.
    revision: u64,
    names: BTreeMap<String, Option<Arc<LabelSelector>>>,
}

impl Selectors {
    /// Makes an HPA known.
    pub(crate) fn register(&self, key: &Key) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.namespaces.entry(key.0.clone()).or_default().names.entry(key.1.clone()).or_default();
    }

    /// Forgets an HPA.
    pub(crate) fn remove(&self, key: &Key) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { changes, namespaces } = &mut *known;
        let Some(found) = namespaces.get_mut(&key.0) else { return };
        found.names.remove(&key.1);
        found.change(changes);
        if found.names.is_empty() {
            namespaces.remove(&key.0);
        }
    }

    /// Stores the selector of a known HPA; false if it is gone.
    pub(crate) fn update(&self, key: &Key, selector: &Arc<LabelSelector>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { changes, namespaces } = &mut *known;
        let Some(found) = namespaces.get_mut(&key.0) else { return false };
        let Some(slot) = found.names.get_mut(&key.1) else { return false };
        if slot.as_ref() != Some(selector) {
            *slot = Some(selector.clone());
            found.change(changes);
        }
        true
    }

    /// HPAs of a namespace that select any of these pods, as Go prints the list, if there is more than one.
    pub(crate) fn ambiguity(&self, namespace: &str, population: &Population) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.namespaces.get(namespace)?;
        let mut known = population.ambiguity.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, ambiguity)) = known.as_ref()
            && *revision == found.revision
        {
            return ambiguity.clone();
        }
        let ambiguity = found.ambiguity(namespace, population);
        *known = Some((found.revision, ambiguity.clone()));
        ambiguity
    }
}

impl Namespace {
    fn change(&mut self, changes: &mut u64) {
        *changes += 1;
        self.revision = *changes;
    }

    fn ambiguity(&self, namespace: &str, population: &Population) -> Option<String> {
        let selects =
            |selector: &&Arc<LabelSelector>| population.labels().any(|labels| selector.matches_map(labels));
        let selecting: Vec<String> = self
            .names
            .iter()
            .filter(|(_, selector)| selector.as_ref().filter(selects).is_some())
            .take(MAX_NAMED)
            .map(|(name, _)| format!("{{{name} {namespace}}}"))
            .collect();
        (selecting.len() > 1).then(|| format!("[{}]", selecting.join(" ")))
    }
}
