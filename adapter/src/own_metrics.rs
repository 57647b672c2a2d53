//! What the adapter says about itself: upstream's names where upstream has one.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::own_metrics::OwnMetrics;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use crate::backends::{Answer, Backend, BackendError, Found, Types};
use crate::state::{Asked, Backends};

/// Upstream's buckets of freshness, seconds: 1 to 364.3 in 20 steps.
const FRESHNESS_START_S: f64 = 1.0;
const FRESHNESS_FACTOR: f64 = 1.364;
const FRESHNESS_BUCKETS: usize = 20;
/// Upper bounds of backends' times in seconds: upstream's range.
const DURATION_BOUNDS_S: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabels {
    path: &'static str,
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    server: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupLabels {
    group: &'static str,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// Metrics that requests update.
#[derive(Clone, Debug)]
pub(crate) struct AdapterMetrics {
    questions: Durations<QuestionLabels>,
    failures: Family<FailureLabels, Counter>,
    freshness: Durations<GroupLabels>,
}

impl AdapterMetrics {
    pub(crate) fn register(own: &OwnMetrics) -> AdapterMetrics {
        let durations: fn() -> Histogram = || Histogram::new(DURATION_BOUNDS_S);
        let freshness: fn() -> Histogram = || {
            // Multiplied one by one, as Go's library does it: the bounds are compared as text.
            let next = |bound: &f64| Some(bound * FRESHNESS_FACTOR);
            Histogram::new(std::iter::successors(Some(FRESHNESS_START_S), next).take(FRESHNESS_BUCKETS))
        };
        let metrics = AdapterMetrics {
            questions: Family::new_with_constructor(durations),
            failures: Family::default(),
            freshness: Family::new_with_constructor(freshness),
        };
        let mut registry = own.registry();
        registry.register(
            "prometheus_adapter_prometheus_client_request_duration_seconds",
            "Time of questions to backends, by path and by the name of the source",
            metrics.questions.clone(),
        );
        registry.register(
            "flyball_adapter_backend_failures",
            "Questions to backends without an answer",
            metrics.failures.clone(),
        );
        registry.register(
            "metrics_apiserver_metric_freshness_seconds",
            "Age of the values that were answered",
            metrics.freshness.clone(),
        );
        drop(registry);
        metrics
    }

    /// A value was answered.
    pub(crate) fn served(&self, group: &'static str, now_ms: i64, timestamp_ms: i64) {
        let age = (now_ms.saturating_sub(timestamp_ms) as f64 / 1e3).max(0.0);
        self.freshness.get_or_create(&GroupLabels { group }).observe(age);
    }

    /// The same backends, measured.
    pub(crate) fn measured(&self, backends: Backends) -> Backends {
        let measured = backends.into_iter().map(|(name, asked)| {
            let backend: Arc<dyn Backend> =
                Arc::new(Measured { inner: asked.backend, metrics: self.clone() });
            (name, Asked { backend, ..asked })
        });
        measured.collect::<BTreeMap<_, _>>()
    }

    async fn measure<T>(
        &self,
        server: &str,
        path: &'static str,
        question: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let began = Instant::now();
        let answer = question.await;
        let labels = QuestionLabels { path, server: server.to_owned() };
        self.questions.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
        if let Err(error) = &answer {
            let reason = match error {
                BackendError::Timeout { .. } => "timeout",
                BackendError::Unreachable { .. } => "unreachable",
                BackendError::Refused { .. } => "refused",
                BackendError::Garbage { .. } => "garbage",
                BackendError::TooLarge { .. } => "too large",
                BackendError::Settings { .. } => "settings",
            };
            self.failures.get_or_create(&FailureLabels { server: server.to_owned(), reason }).inc();
        }
        answer
    }
}

/// A backend whose questions are counted.
struct Measured {
    inner: Arc<dyn Backend>,
    metrics: AdapterMetrics,
}

impl Backend for Measured {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn query<'a>(&'a self, query: &'a str, time_ms: i64) -> BoxFuture<'a, Result<Answer, BackendError>> {
        self.metrics.measure(self.name(), "/api/v1/query", self.inner.query(query, time_ms)).boxed()
    }

    fn discover<'a>(
        &'a self,
        selector: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Found, BackendError>> {
        self.metrics.measure(self.name(), "/api/v1/series", self.inner.discover(selector, since_ms)).boxed()
    }

    fn types(&self) -> BoxFuture<'_, Result<Types, BackendError>> {
        self.metrics.measure(self.name(), "/api/v1/metadata", self.inner.types()).boxed()
    }
}
