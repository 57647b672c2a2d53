//! Answers of custom.metrics.k8s.io and external.metrics.k8s.io, one per question, shared by all HPAs that ask it.
//!
//! Promises: those who ask together share one request; an answer is of the question that was asked, however the HPA or its
//! pods change meanwhile; what nobody asks any more is forgotten.

use super::answers::MetricsKey;
use crate::cluster::{CustomMetrics, Question, Values};
use crate::decide::{Rules, Source};
use flyball_model::selector::LabelSelector;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What was answered, and when, by the steady clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at_ms: i64,
    pub(super) values: Result<Values, String>,
}

impl Told {
    /// The oldest and the newest time among the values.
    pub(super) fn times_ms(&self) -> Option<(i64, i64)> {
        self.values.as_ref().ok()?.times_ms()
    }
}

#[derive(Default)]
struct Entry {
    /// Held by the one who asks.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Option<Arc<Told>>>,
}

impl Entry {
    fn last(&self) -> Option<Arc<Told>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The answers in use.
pub(crate) struct CustomAnswers {
    api: CustomMetrics,
    entries: Mutex<HashMap<Arc<Question>, Arc<Entry>>>,
}

impl CustomAnswers {
    pub(super) fn new(api: CustomMetrics) -> Self {
        CustomAnswers { api, entries: Mutex::default() }
    }

    fn entry(&self, question: &Arc<Question>) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.entry(question.clone()).or_default().clone()
    }

    /// The last answer if it is no older than `max_age_ms`, else a new one.
    pub(super) async fn current(&self, question: &Arc<Question>, max_age_ms: i64, now_ms: i64) -> Arc<Told> {
        let entry = self.entry(question);
        let young = || entry.last().filter(|told| now_ms - told.at_ms < max_age_ms);
        if let Some(told) = young() {
            return told;
        }
        let _turn = entry.turn.lock().await;
        match young() {
            Some(told) => told,
            None => self.ask(question, &entry, now_ms).await,
        }
    }

    /// A new answer; whether it says anything new.
    pub(super) async fn refresh(&self, question: &Arc<Question>, now_ms: i64) -> (Arc<Told>, bool) {
        let entry = self.entry(question);
        let _turn = entry.turn.lock().await;
        let before = entry.last();
        let told = self.ask(question, &entry, now_ms).await;
        let is_news = before.is_none_or(|before| before.values != told.values);
        (told, is_news)
    }

    async fn ask(&self, question: &Question, entry: &Entry, now_ms: i64) -> Arc<Told> {
        let values = Box::pin(self.api.ask(question)).await;
        let told = Arc::new(Told { at_ms: now_ms, values });
        *entry.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(told.clone());
        told
    }

    /// Drops an answer that nobody needs any more.
    pub(super) fn forget(&self, question: &Question) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(question);
    }

    /// Answers that are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The question that a metric of an HPA is asked by; `None` for those that are no custom or external ones.
///
/// # Errors
///
/// The metric's selector is none.
pub(super) fn question_of(
    rules: &Rules,
    source: &Source,
    key: &MetricsKey,
) -> Result<Option<Question>, String> {
    let namespace = rules.namespace.clone();
    Ok(match source {
        Source::Pods { name, selector } => {
            let (metric, pods, selector) = (name.clone(), key.1.clone(), selector_text(selector)?);
            Some(Question::Pods { namespace, metric, pods, selector })
        }
        Source::Object { name, selector, described } => {
            let (metric, described, selector) = (name.clone(), described.clone(), selector_text(selector)?);
            Some(Question::Object { namespace, metric, described, selector })
        }
        Source::External { name, selector, .. } => {
            let (metric, selector) = (name.clone(), selector_text(selector)?);
            Some(Question::External { namespace, metric, selector })
        }
        Source::Resource { .. } | Source::ContainerResource { .. } | Source::Unknown { .. } => None,
    })
}

/// A metric's selector as a query; empty for none.
fn selector_text(selector: &Value) -> Result<String, String> {
    if selector.is_null() {
        return Ok(String::new());
    }
    LabelSelector::from_json(selector).map(|selector| selector.to_string()).map_err(|error| error.to_string())
}
