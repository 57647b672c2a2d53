//! Requests answered, under upstream's names: how many, how long they took, how large their answers were.
//!
//! Labels that a client chooses (group, version, resource, verb) are kept only where the server has such a resource, so
//! that nobody can fill the page with invented names.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::Semaphore;

use super::OwnMetrics;
use super::callers::CallerMetrics;
use crate::attributes::Attributes;
use crate::own_process::OwnProcess;

/// What every server counts.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    requests: Family<Answered, Counter>,
    durations: Family<Timed, Histogram, fn() -> Histogram>,
    /// Upstream has the same numbers under two names.
    promised_durations: Family<Route, Histogram, fn() -> Histogram>,
    sizes: Family<Route, Histogram, fn() -> Histogram>,
    handshake_errors: Counter,
    in_flight: Arc<OnceLock<InFlight>>,
    pub(crate) callers: CallerMetrics,
}

/// Upstream's bounds, in seconds; those of promised durations begin with the third.
const DURATION_BOUNDS_SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
const SIZE_BOUNDS_BYTES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

impl Default for ServerMetrics {
    fn default() -> Self {
        let durations: fn() -> Histogram = || Histogram::new(DURATION_BOUNDS_SECONDS);
        let promised: fn() -> Histogram = || Histogram::new(DURATION_BOUNDS_SECONDS[2..].iter().copied());
        let sizes: fn() -> Histogram = || Histogram::new(SIZE_BOUNDS_BYTES);
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            promised_durations: Family::new_with_constructor(promised),
            sizes: Family::new_with_constructor(sizes),
            handshake_errors: Counter::default(),
            in_flight: Arc::default(),
            callers: CallerMetrics::default(),
        }
    }
}

impl ServerMetrics {
    /// Counts into this registry.
    pub fn register(own: &OwnMetrics) -> Self {
        let metrics = Self::default();
        let mut registry = own.registry();
        registry.register(
            "apiserver_request",
            "[STABLE] Requests answered, by verb, resource, scope and code",
            metrics.requests.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "[STABLE] Time to answer, watches and streams aside",
            metrics.durations.clone(),
        );
        for name in ["apiserver_request_sli_duration_seconds", "apiserver_request_slo_duration_seconds"] {
            let help = "[ALPHA] Time to answer, watches and streams aside, without what other servers took";
            registry.register(name, help, metrics.promised_durations.clone());
        }
        registry.register(
            "apiserver_response_sizes",
            "[STABLE] Size of answers to reading requests in bytes, watches and streams aside",
            metrics.sizes.clone(),
        );
        registry.register(
            "apiserver_tls_handshake_errors",
            "[ALPHA] Connections that ended in the TLS handshake",
            metrics.handshake_errors.clone(),
        );
        registry.register_collector(Box::new(Places(metrics.in_flight.clone())));
        registry.register_collector(Box::new(OwnProcess));
        metrics.callers.register(&mut registry);
        drop(registry);
        metrics
    }

    pub(crate) fn tls_handshake_failed(&self) {
        self.handshake_errors.inc();
    }

    /// Tells where requests in flight are counted.
    pub(crate) fn serves(&self, reads: (&Arc<Semaphore>, usize), writes: (&Arc<Semaphore>, usize)) {
        let place = |(free, limit): (&Arc<Semaphore>, usize)| (free.clone(), limit);
        // The same metrics may stand for several listeners; the first one's places are shown.
        let _ = self.in_flight.set(InFlight { reads: place(reads), writes: place(writes) });
    }

    /// A request was answered. `served`: the server has the resource or path. What comes back takes the size of the answer.
    pub(crate) fn answered(
        &self,
        attributes: &Attributes,
        served: bool,
        code: StatusCode,
        took: Duration,
    ) -> Option<Histogram> {
        let route = Route::of(attributes, served);
        let answered = Answered { route: route.clone(), code: code.as_u16(), dry_run: "" };
        self.requests.get_or_create(&answered).inc();
        if attributes.is_long_running() {
            return None;
        }
        let seconds = took.as_secs_f64();
        self.durations.get_or_create(&Timed { route: route.clone(), dry_run: "" }).observe(seconds);
        self.promised_durations.get_or_create(&route).observe(seconds);
        attributes.is_read_only().then(|| self.sizes.get_or_create(&route).clone())
    }
}

/// Semaphores, and how many places they had at first.
#[derive(Debug)]
struct InFlight {
    reads: (Arc<Semaphore>, usize),
    writes: (Arc<Semaphore>, usize),
}

#[derive(Debug)]
struct Places(Arc<OnceLock<InFlight>>);

impl Collector for Places {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "apiserver_current_inflight_requests",
            "[STABLE] Requests being answered that count against a limit",
            None,
            MetricType::Gauge,
        )?;
        let taken = |(free, limit): &(Arc<Semaphore>, usize)| limit.saturating_sub(free.available_permits());
        let (writes, reads) =
            self.0.get().map_or((0, 0), |places| (taken(&places.writes), taken(&places.reads)));
        for (kind, count) in [("mutating", writes), ("readOnly", reads)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&[("request_kind", kind)])?)?;
        }
        Ok(())
    }
}

/// What was asked for, as far as labels tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    component: &'static str,
    group: String,
    resource: String,
    scope: &'static str,
    subresource: String,
    verb: &'static str,
    version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    code: u16,
    dry_run: &'static str,
    #[prometheus(flatten)]
    route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    dry_run: &'static str,
    #[prometheus(flatten)]
    route: Route,
}

/// Paths that are counted by themselves.
const PROBES: [&str; 3] = ["/healthz", "/livez", "/readyz"];

impl Route {
    fn of(attributes: &Attributes, served: bool) -> Route {
        let verb = verb(&attributes.verb);
        let path = attributes.path.trim_end_matches('/');
        let (component, subresource) = match (served, attributes.resource_request, path) {
            (true, true, _) => ("apiserver", attributes.subresource.as_str()),
            (true, false, "/apis") => ("apiserver", "apis"),
            (true, false, probe) if PROBES.contains(&probe) => ("", probe),
            _ => ("", ""),
        };
        let known = served && attributes.resource_request;
        let text = |text: &str| if known { text.to_owned() } else { String::new() };
        Route {
            component,
            group: text(&attributes.group),
            resource: text(&attributes.resource),
            scope: if known { scope(attributes) } else { "" },
            subresource: subresource.to_owned(),
            verb,
            version: text(&attributes.version),
        }
    }
}

/// Upstream names changes of objects by the method; methods may be any word.
fn verb(verb: &str) -> &'static str {
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "connect" => "CONNECT",
        _ => "other",
    }
}

/// Upstream's scopes: a single object, a namespace, or the cluster.
fn scope(attributes: &Attributes) -> &'static str {
    match (attributes.name.is_empty(), attributes.namespace.is_empty()) {
        (false, _) => "resource",
        (true, false) => "namespace",
        (true, true) => "cluster",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_carry_upstreams_names_and_nobody_elses() {
        let own = OwnMetrics::new();
        let metrics = ServerMetrics::register(&own);
        let pods = Attributes {
            version: "v1".into(),
            ..Attributes::resource("list", "metrics.k8s.io", "pods", "", "")
        };
        let size = metrics.answered(&pods, true, StatusCode::OK, Duration::from_millis(2));
        size.expect("a reading request").observe(1234.0);
        metrics.answered(&pods, true, StatusCode::BAD_REQUEST, Duration::ZERO);
        let invented = Attributes::resource("invented", "nonsense", "x", "", "");
        metrics.answered(&invented, false, StatusCode::NOT_FOUND, Duration::ZERO);
        let livez = Attributes { path: "/livez".into(), verb: "get".into(), ..Attributes::default() };
        metrics.answered(&livez, true, StatusCode::OK, Duration::ZERO);
        let watch = Attributes { verb: "watch".into(), ..pods.clone() };
        assert!(metrics.answered(&watch, true, StatusCode::OK, Duration::ZERO).is_none());
        let (reads, writes) = (Arc::new(Semaphore::new(4)), Arc::new(Semaphore::new(2)));
        let _place = reads.clone().try_acquire_owned().unwrap();
        metrics.serves((&reads, 4), (&writes, 2));
        let page = own.body(flyball_model::exposition::Format::Text004).unwrap();
        let of_pods = r#"component="apiserver",group="metrics.k8s.io",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1""#;
        for line in [
            format!("apiserver_request_total{{code=\"200\",dry_run=\"\",{of_pods}}} 1"),
            format!("apiserver_request_total{{code=\"400\",dry_run=\"\",{of_pods}}} 1"),
            format!(
                "apiserver_request_total{{code=\"200\",dry_run=\"\",{}}} 1",
                of_pods.replace("LIST", "WATCH")
            ),
            format!("apiserver_request_duration_seconds_bucket{{le=\"0.005\",dry_run=\"\",{of_pods}}} 2"),
            format!("apiserver_request_sli_duration_seconds_bucket{{le=\"0.05\",{of_pods}}} 2"),
            format!("apiserver_request_slo_duration_seconds_count{{{of_pods}}} 2"),
            format!("apiserver_response_sizes_bucket{{le=\"1000\",{of_pods}}} 0"),
            format!("apiserver_response_sizes_sum{{{of_pods}}} 1234"),
            "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1".to_owned(),
            "apiserver_current_inflight_requests{request_kind=\"mutating\"} 0".to_owned(),
        ] {
            assert!(page.contains(&line), "{line} in\n{page}");
        }
        assert!(page.contains("subresource=\"/livez\",verb=\"GET\""), "{page}");
        assert!(page.contains("verb=\"other\"") && !page.contains("nonsense"), "{page}");
        assert!(!page.to_lowercase().contains("invented"), "{page}");
    }
}
