//! What is remembered about each HPA while the process runs.

use crate::checkpoint::{self, Pending, Restored, Stored};
use crate::cluster::ScaleObject;
use crate::config::Config;
use crate::decide::History;
use crate::own_metrics::Counts;
use crate::watch::{HpaEntry, Writer};
use flyball_model::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A wall clock that is off by less is only being slewed.
const MIN_JUMP_MS: i64 = 1_000;

/// A scale as last read.
pub(super) struct KnownScale {
    pub(super) scale: ScaleObject,
    /// By the steady clock.
    pub(super) read_ms: i64,
    /// Pods behind its selector then; another number means that it may have changed.
    pub(super) pods: usize,
}

/// State of one HPA.
#[derive(Default)]
pub(super) struct HpaState {
    pub(super) history: History,
    pub(super) stored: Stored,
    /// A rescale of before a restart that may not have been written.
    pub(super) pending: Option<Pending>,
    /// After a failed checkpoint: not tried again before, unless a scale is to be written.
    pub(super) checkpoint_after_ms: i64,
    pub(super) scale: Option<KnownScale>,
    /// Status as last written, with the version it got; the watch may still show an older one.
    pub(super) written: Option<(u64, HorizontalPodAutoscalerStatus)>,
    pub(super) status_written_ms: i64,
    /// When our field manager last wrote the status, as far as this process knows; `None`: not known.
    pub(super) own_mark: Option<Option<i64>>,
    /// Both clocks at the last evaluation: where they part, the wall clock was set.
    pub(super) clocks: Option<(i64, i64)>,
    /// When our decision was last compared with another controller's, by the steady clock.
    pub(super) compared_ms: Option<i64>,
    /// Counts as last told as metrics.
    pub(super) counts: Option<Counts>,
    /// Who wrote the target's replica count last, as far as it was looked at.
    pub(super) writer: Option<Writer>,
    /// We wrote the scale since.
    pub(super) rescaled: bool,
    /// How often others overwrote our count lately, and when last.
    pub(super) overwritten: (u32, i64),
}

impl HpaState {
    /// Moves what is remembered along with a wall clock that was set, so that windows and periods keep their length.
    pub(super) fn follow_clock(&mut self, wall_ms: i64, steady_ms: i64) {
        let before = self.clocks.replace((wall_ms, steady_ms));
        let Some((wall_before_ms, steady_before_ms)) = before else { return };
        let jump_ms = (wall_ms - wall_before_ms) - (steady_ms - steady_before_ms);
        if jump_ms.abs() >= MIN_JUMP_MS {
            checkpoint::shift(&mut self.history, jump_ms);
            self.stored.at_ms += jump_ms;
            self.status_written_ms += jump_ms;
            self.checkpoint_after_ms += jump_ms;
        }
    }

    /// With the scale read after a restart it is known whether the last rescale was written.
    pub(super) fn settle(&mut self, current: i32) {
        if let Some(pending) = self.pending.take_if(|pending| pending.from == current) {
            Restored::take_back(&mut self.history, pending);
        }
        self.pending = None;
    }

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
    fn key<'a>(entry: &'a HpaEntry, config: &Config) -> Cow<'a, str> {
        if config.compat_upstream {
            format!("{}/{}", entry.key.0, entry.key.1).into()
        } else {
            entry.uid.as_str().into()
        }
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
        if let Some(state) = states.get(&*key) {
            return state.clone();
        }
        let text = self.restored.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.uid);
        let restored = text.and_then(|text| checkpoint::decode(&text, now_ms));
        let (history, pending) = restored.map_or_else(Default::default, |r| (r.history, r.pending));
        let state = Arc::new(tokio::sync::Mutex::new(HpaState { history, pending, ..HpaState::default() }));
        states.insert(key.into_owned(), state.clone());
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
            Some((uid.clone(), checkpoint::encode(&state.history, None, None)))
        };
        states.iter().filter(|(uid, _)| is_ours(uid)).filter_map(entry).collect()
    }
}
