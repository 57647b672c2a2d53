//! Answers of metrics.k8s.io, one per namespace and selector, shared by all HPAs that need them.

use crate::cluster::{Answer, ResourceMetrics};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Namespace and selector text.
pub(crate) type MetricsKey = (String, String);

type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

/// The answers in use.
pub(crate) struct Answers {
    api: ResourceMetrics,
    slots: Mutex<HashMap<MetricsKey, Slot>>,
}

impl Answers {
    pub(super) fn new(api: ResourceMetrics) -> Self {
        Answers { api, slots: Mutex::default() }
    }

    fn slot(&self, key: &MetricsKey) -> Slot {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }

    /// The last answer if it is young enough, else a new one. Those who ask together share one request.
    pub(super) async fn current(&self, key: &MetricsKey, max_age_ms: i64, now_ms: i64) -> Answer {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some(answer) = slot.as_ref().filter(|answer| now_ms - answer.fetched_ms <= max_age_ms) {
            return answer.clone();
        }
        let answer = self.api.list(&key.0, &key.1, now_ms).await;
        *slot = Some(answer.clone());
        answer
    }

    /// A new answer.
    pub(super) async fn refresh(&self, key: &MetricsKey, now_ms: i64) -> Answer {
        let answer = self.api.list(&key.0, &key.1, now_ms).await;
        *self.slot(key).lock().await = Some(answer.clone());
        answer
    }

    /// New answers to many questions by one; `None` where that is not allowed or cannot be read.
    pub(super) async fn sweep(&self, keys: &[MetricsKey], now_ms: i64) -> Option<Vec<Answer>> {
        match self.api.list_all(keys, now_ms).await {
            Ok(answers) => {
                for (key, answer) in keys.iter().zip(&answers) {
                    *self.slot(key).lock().await = Some(answer.clone());
                }
                Some(answers)
            }
            Err(error) => {
                tracing::info!(%error, "metrics of all namespaces are of no use at once: asking for each selector");
                None
            }
        }
    }

    /// Drops answers that nobody needs any more.
    pub(super) fn forget(&self, key: &MetricsKey) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
