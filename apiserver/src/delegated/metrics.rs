//! How often and how long the cluster was asked about callers, under upstream's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::own_metrics::OwnMetrics;

/// Upstream's buckets, seconds.
const BOUNDS_SECONDS: [f64; 8] = [0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0];

/// Calls of one kind, by the code of their answer; `<error>` where there was none.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    total: Family<CodeLabel, Counter>,
    durations: Family<CodeLabel, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

impl Default for Calls {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BOUNDS_SECONDS);
        Self { total: Family::default(), durations: Family::new_with_constructor(histogram) }
    }
}

impl Calls {
    fn register(&self, own: &OwnMetrics, kind: &str, what: &str) {
        let mut registry = own.registry();
        let name = |rest: &str| format!("apiserver_delegated_{kind}_request{rest}");
        registry.register(name(""), format!("Calls about {what}, by status code"), self.total.clone());
        let durations = self.durations.clone();
        registry.register(name("_duration_seconds"), format!("Time of calls about {what}"), durations);
    }

    pub(super) fn answered<T>(&self, answer: &Result<T, kube::Error>, took: Duration) {
        let code = match answer {
            Ok(_) => "201".to_owned(),
            Err(kube::Error::Api(status)) => status.code.to_string(),
            Err(_) => "<error>".to_owned(),
        };
        let label = CodeLabel { code };
        self.total.get_or_create(&label).inc();
        self.durations.get_or_create(&label).observe(took.as_secs_f64());
    }
}

/// TokenReviews and SubjectAccessReviews.
#[derive(Clone, Debug, Default)]
pub struct DelegationMetrics {
    pub(super) tokens: Calls,
    pub(super) access: Calls,
}

impl DelegationMetrics {
    /// Counts into this registry.
    pub fn register(own: &OwnMetrics) -> Self {
        let metrics = Self::default();
        metrics.tokens.register(own, "authn", "tokens");
        metrics.access.register(own, "authz", "permissions");
        metrics
    }
}
