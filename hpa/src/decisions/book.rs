//! The last decision and the last changes of every HPA, as this process knows them.

use super::evidence::{Outcome, Page};
use crate::report::rescale_reason;
use crate::watch::{HpaEntry, Key};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Changes remembered of each HPA.
const MAX_CHANGES: usize = 16;

/// A rescale that was made, or, where this HPA is not ours, would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rescaled {
    pub(crate) at_ms: i64,
    pub(crate) from: i32,
    pub(crate) to: i32,
    pub(crate) reason: String,
    pub(crate) outcome: Outcome,
}

/// What is known about one HPA.
#[derive(Clone)]
pub(crate) struct Chapter {
    pub(crate) entry: Arc<HpaEntry>,
    /// `None`: the target's scale was never read.
    pub(crate) page: Option<Arc<Page>>,
    /// Why the last evaluation did not come to a decision, and when.
    pub(crate) unreadable: Option<(String, i64)>,
    /// Oldest first.
    pub(crate) changes: VecDeque<Rescaled>,
}

/// All chapters by namespace and name.
#[derive(Default)]
pub(crate) struct Book(Mutex<HashMap<Key, Chapter>>);

impl Book {
    fn edit(&self, entry: &Arc<HpaEntry>, edit: impl FnOnce(&mut Chapter)) {
        let mut chapters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chapter) = chapters.get_mut(&entry.key).filter(|chapter| chapter.entry.uid == entry.uid) {
            chapter.entry = entry.clone();
            return edit(chapter);
        }
        let mut chapter =
            Chapter { entry: entry.clone(), page: None, unreadable: None, changes: VecDeque::new() };
        edit(&mut chapter);
        chapters.insert(entry.key.clone(), chapter);
    }

    /// Takes in a decision.
    pub(crate) fn decided(&self, page: Page) {
        let entry = page.evidence.entry.clone();
        self.edit(&entry, |chapter| {
            chapter.unreadable = None;
            let decision = &page.decision;
            let change = Rescaled {
                at_ms: page.evidence.at_ms,
                from: decision.current,
                to: decision.desired,
                reason: if decision.rescales() {
                    rescale_reason(&entry.rules, decision)
                } else {
                    String::new()
                },
                outcome: page.rescale,
            };
            // One that is withheld or fails is decided again each time; it is remembered once.
            let is_repeated = chapter.changes.back().is_some_and(|last| {
                page.rescale != Outcome::Done
                    && (last.from, last.to, last.outcome) == (change.from, change.to, change.outcome)
            });
            if decision.rescales() && !is_repeated {
                if chapter.changes.len() == MAX_CHANGES {
                    chapter.changes.pop_front();
                }
                chapter.changes.push_back(change);
            }
            chapter.page = Some(Arc::new(page));
        });
    }

    /// The scale of the target could not be read.
    pub(crate) fn unreadable(&self, entry: &Arc<HpaEntry>, why: &str, now_ms: i64) {
        self.edit(entry, |chapter| chapter.unreadable = Some((why.to_owned(), now_ms)));
    }

    /// An HPA is gone.
    pub(crate) fn forget(&self, entry: &HpaEntry) {
        let mut chapters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if chapters.get(&entry.key).is_some_and(|chapter| chapter.entry.uid == entry.uid) {
            chapters.remove(&entry.key);
        }
    }

    /// Another replica decides from now on.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// One chapter.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Chapter> {
        let key = (namespace.to_owned(), name.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// All chapters, of one namespace or of all, by namespace and name.
    pub(crate) fn list(&self, namespace: Option<&str>) -> Vec<Chapter> {
        let chapters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |key: &&Key| namespace.is_none_or(|namespace| key.0 == namespace);
        let mut keys: Vec<&Key> = chapters.keys().filter(wanted).collect();
        keys.sort();
        keys.into_iter().filter_map(|key| chapters.get(key).cloned()).collect()
    }
}
