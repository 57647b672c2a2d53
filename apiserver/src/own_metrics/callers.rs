//! Who asked and what came of it, under upstream's names: authentication and authorization, by outcome.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::authorization::Decision;

/// Counts of callers.
#[derive(Clone, Debug)]
pub(crate) struct CallerMetrics {
    authentications: Outcomes,
    authorizations: Outcomes,
    users: Family<UserLabel, Counter>,
    certificates: Histogram,
}

/// Attempts of one kind.
#[derive(Clone, Debug)]
struct Outcomes {
    attempts: Family<ResultLabel, Counter>,
    durations: Family<ResultLabel, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UserLabel {
    username: &'static str,
}

/// Upstream's bounds, in seconds: a millisecond, doubled fourteen times.
const STEPS: i32 = 15;
const MINUTE_SECONDS: f64 = 60.0;
const HOUR_SECONDS: f64 = 60.0 * MINUTE_SECONDS;
const DAY_SECONDS: f64 = 24.0 * HOUR_SECONDS;
/// Upstream's bounds of the time that certificates are still valid.
const REMAINING_BOUNDS_SECONDS: [f64; 14] = [
    0.0,
    30.0 * MINUTE_SECONDS,
    HOUR_SECONDS,
    2.0 * HOUR_SECONDS,
    6.0 * HOUR_SECONDS,
    12.0 * HOUR_SECONDS,
    DAY_SECONDS,
    2.0 * DAY_SECONDS,
    4.0 * DAY_SECONDS,
    7.0 * DAY_SECONDS,
    30.0 * DAY_SECONDS,
    90.0 * DAY_SECONDS,
    180.0 * DAY_SECONDS,
    360.0 * DAY_SECONDS,
];

impl Default for CallerMetrics {
    fn default() -> Self {
        Self {
            authentications: Outcomes::default(),
            authorizations: Outcomes::default(),
            users: Family::default(),
            certificates: Histogram::new(REMAINING_BOUNDS_SECONDS),
        }
    }
}

impl Default for Outcomes {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new((0..STEPS).map(|step| 0.001 * 2_f64.powi(step)));
        Self { attempts: Family::default(), durations: Family::new_with_constructor(histogram) }
    }
}

impl Outcomes {
    fn register(&self, registry: &mut Registry, kind: &str, what: &str) {
        registry.register(
            format!("{kind}_attempts"),
            format!("[ALPHA] {what}, by outcome"),
            self.attempts.clone(),
        );
        registry.register(
            format!("{kind}_duration_seconds"),
            format!("[ALPHA] Time of {what}, by outcome"),
            self.durations.clone(),
        );
    }

    fn count(&self, result: &'static str, took: Duration) {
        self.attempts.get_or_create(&ResultLabel { result }).inc();
        self.durations.get_or_create(&ResultLabel { result }).observe(took.as_secs_f64());
    }
}

impl CallerMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.authentications.register(registry, "authentication", "authentications of requests");
        self.authorizations.register(registry, "authorization", "authorizations of requests");
        registry.register(
            "authenticated_user_requests",
            "[ALPHA] Requests by kinds of user names",
            self.users.clone(),
        );
        registry.register(
            "apiserver_client_certificate_expiration_seconds",
            "[ALPHA] How long the certificates are still valid that requests were authenticated with",
            self.certificates.clone(),
        );
    }

    /// A request is somebody's. `certificate_remains_seconds`: for so long the client's certificate is valid, if it shows one.
    pub(crate) fn authenticated(
        &self,
        user_name: &str,
        certificate_remains_seconds: Option<f64>,
        took: Duration,
    ) {
        self.authentications.count("success", took);
        self.users.get_or_create(&UserLabel { username: kind_of(user_name) }).inc();
        if let Some(seconds) = certificate_remains_seconds {
            self.certificates.observe(seconds);
        }
    }

    /// Credentials were not accepted, or there were none where some are needed.
    pub(crate) fn not_authenticated(&self, credentials: bool, took: Duration) {
        self.authentications.count(if credentials { "error" } else { "failure" }, took);
    }

    /// The authorizer has said this. Whether a refusal is a rule's or the lack of one it does not tell; with RBAC it is the
    /// latter.
    pub(crate) fn authorized(&self, decision: &Result<Decision, String>, took: Duration) {
        let result = match decision {
            Ok(Decision::Allow) => "allowed",
            Ok(Decision::Deny { .. }) => "no-opinion",
            Err(_) => "error",
        };
        self.authorizations.count(result, took);
    }
}

/// As upstream shortens names, so that there are few.
fn kind_of(user_name: &str) -> &'static str {
    match user_name {
        "admin" => "admin",
        "client" => "client",
        "kube_proxy" => "kube_proxy",
        "kubelet" => "kubelet",
        "system:serviceaccount:kube-system:default" => "system:serviceaccount:kube-system:default",
        address if address.contains('@') => "email_id",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_metrics::OwnMetrics;

    #[test]
    fn callers_are_counted_under_upstreams_names() {
        let (own, callers) = (OwnMetrics::new(), CallerMetrics::default());
        callers.register(&mut own.registry());
        callers.authenticated("admin", Some(3000.0), Duration::from_micros(100));
        callers.authenticated("a@example.com", None, Duration::ZERO);
        callers.authenticated("system:anonymous", None, Duration::ZERO);
        callers.not_authenticated(true, Duration::ZERO);
        callers.authorized(&Ok(Decision::Allow), Duration::ZERO);
        callers.authorized(&Ok(Decision::deny()), Duration::ZERO);
        callers.authorized(&Err("down".to_owned()), Duration::ZERO);
        let page = own.body(flyball_model::exposition::Format::Text004).unwrap();
        for line in [
            "# TYPE authentication_attempts counter",
            "authentication_attempts{result=\"success\"} 3",
            "authentication_attempts{result=\"error\"} 1",
            "authentication_duration_seconds_bucket{le=\"0.001\",result=\"success\"} 3",
            "authentication_duration_seconds_bucket{le=\"16.384\",result=\"success\"} 3",
            "# TYPE authorization_attempts_total counter",
            "authorization_attempts_total{result=\"allowed\"} 1",
            "authorization_attempts_total{result=\"no-opinion\"} 1",
            "authorization_attempts_total{result=\"error\"} 1",
            "# TYPE authenticated_user_requests counter",
            "authenticated_user_requests{username=\"admin\"} 1",
            "authenticated_user_requests{username=\"email_id\"} 1",
            "authenticated_user_requests{username=\"other\"} 1",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"1800\"} 0",
            "apiserver_client_certificate_expiration_seconds_bucket{le=\"3600\"} 1",
            "apiserver_client_certificate_expiration_seconds_count 1",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} in\n{page}");
        }
    }
}
