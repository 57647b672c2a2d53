//! What is remembered about each HPA while the process runs.

use crate::checkpoint::{self, Stored};
use crate::cluster::ScaleObject;
use crate::config::Config;
use crate::decide::{History, Input};
use crate::watch::HpaEntry;
use flyball_model::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A scale as last read.
pub(super) struct KnownScale {
    pub(super) scale: ScaleObject,
    pub(super) read_ms: i64,
    /// Pods behind its selector then; another number means that it may have changed.
    pub(super) pods: usize,
}

/// State of one HPA.
#[derive(Default)]
pub(super) struct HpaState {
    pub(super) history: History,
    pub(super) stored: Stored,
    /// After a failed checkpoint: not tried again before, unless a scale is to be written.
    pub(super) checkpoint_after_ms: i64,
    pub(super) scale: Option<KnownScale>,
    /// Status as last written, with the version it got; the watch may still show an older one.
    pub(super) written: Option<(u64, HorizontalPodAutoscalerStatus)>,
    pub(super) status_written_ms: i64,
    /// When our field manager last wrote the status, as far as this process knows; `None`: not known.
    pub(super) own_mark: Option<Option<i64>>,
    /// Last values of custom and external metrics by position, with their time.
    pub(super) custom: HashMap<usize, (i64, Input)>,
}

impl HpaState {
    /// The HPA with the newest status known.
    pub(super) fn newest<'a>(&mut self, entry: &'a HpaEntry) -> Cow<'a, HorizontalPodAutoscaler> {
        match (&self.written, entry.version()) {
            (Some((written, status)), Some(seen)) if seen < *written => {
                Cow::Owned(HorizontalPodAutoscaler { status: status.clone(), ..entry.hpa.clone() })
            }
            _ => {
                self.written = None;
                Cow::Borrowed(&entry.hpa)
            }
        }
    }
}

type SharedState = Arc<tokio::sync::Mutex<HpaState>>;

/// States of all HPAs: by UID, or by name where upstream's forgetting is asked for.
#[derive(Default)]
pub(crate) struct States {
    states: Mutex<HashMap<String, SharedState>>,
    /// Stored histories not yet asked for, by UID.
    restored: Mutex<HashMap<String, String>>,
}

impl States {
    fn key(entry: &HpaEntry, config: &Config) -> String {
        if config.compat_upstream { format!("{}/{}", entry.key.0, entry.key.1) } else { entry.uid.clone() }
    }

    /// Forgets everything: another replica has been acting, or is about to.
    pub(super) fn clear(&self) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.restored.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes in the histories read when the term began.
    pub(super) fn restore(&self, entries: HashMap<String, String>) {
        *self.restored.lock().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    /// The state of an HPA, made from its stored history the first time.
    pub(super) fn of(&self, entry: &HpaEntry, config: &Config, now_ms: i64) -> SharedState {
        let key = Self::key(entry, config);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(&key) {
            return state.clone();
        }
        let text = self.restored.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.uid);
        let history = text.and_then(|text| checkpoint::decode(&text, now_ms)).unwrap_or_default();
        let state = Arc::new(tokio::sync::Mutex::new(HpaState { history, ..HpaState::default() }));
        states.insert(key, state.clone());
        state
    }

    /// Forgets a deleted HPA. By name, upstream forgets only when an evaluation finds the HPA gone, so one that is made
    /// again under its name within a period inherits the history; that is kept.
    pub(super) fn remove(&self, entry: &HpaEntry, config: &Config) {
        if !config.compat_upstream {
            self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.uid);
        }
    }

    /// Entries for a clean shutdown, of the HPAs that are ours: exact, by UID.
    pub(super) fn exact_entries(&self, is_ours: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |(uid, state): (&String, &SharedState)| {
            let state = state.try_lock().ok()?;
            Some((uid.clone(), checkpoint::encode(&state.history, None)))
        };
        states.iter().filter(|(uid, _)| is_ours(uid)).filter_map(entry).collect()
    }
}
