//! Calls of a client to the API server, under the names of upstream's client library.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::OwnMetrics;

/// Upstream's bounds, in seconds.
const BOUNDS_SECONDS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// Counts of calls. Clones share them.
#[derive(Clone, Debug)]
pub struct ClientMetrics {
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    /// `<error>` where there was no answer.
    code: String,
    host: String,
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    host: String,
    verb: String,
}

impl Default for ClientMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BOUNDS_SECONDS);
        Self { requests: Family::default(), durations: Family::new_with_constructor(histogram) }
    }
}

impl ClientMetrics {
    /// Shows them on this page.
    pub fn register(&self, own: &OwnMetrics) {
        let mut registry = own.registry();
        registry.register(
            "rest_client_requests",
            "[ALPHA] Calls to the API server, by code, method and host",
            self.requests.clone(),
        );
        registry.register(
            "rest_client_request_duration_seconds",
            "[ALPHA] Time until the API server began to answer, by method and host",
            self.durations.clone(),
        );
    }

    /// A client whose calls are counted here.
    ///
    /// # Errors
    /// A configuration that cannot be used.
    pub fn client(&self, config: kube::Config) -> kube::Result<Client> {
        let host = config.cluster_url.authority().map_or("", |authority| authority.as_str()).to_owned();
        let counting = Counting { metrics: self.clone(), host };
        Ok(ClientBuilder::try_from(config)?.with_layer(&counting).build())
    }

    fn answered(&self, host: &str, method: &str, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        let (host, method) = (host.to_owned(), method.to_owned());
        self.durations
            .get_or_create(&Asked { host: host.clone(), verb: method.clone() })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&Answered { code, host, method }).inc();
    }
}

/// Counts the calls of one client.
#[derive(Clone, Debug)]
struct Counting {
    metrics: ClientMetrics,
    host: String,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, counting: self.clone() }
    }
}

#[derive(Clone, Debug)]
struct Counted<S> {
    inner: S,
    counting: Counting,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (counting, method) = (self.counting.clone(), request.method().clone());
        let began = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            counting.metrics.answered(&counting.host, method.as_str(), code, began.elapsed());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::{ServiceExt as _, service_fn};

    #[tokio::test]
    async fn calls_are_counted_by_code_method_and_host() {
        let (own, metrics) = (OwnMetrics::new(), ClientMetrics::default());
        metrics.register(&own);
        let counting = Counting { metrics, host: "api:6443".to_owned() };
        let answer = |request: Request<Body>| async move {
            match request.uri().path() {
                "/broken" => Err("broken off"),
                _ => Ok(Response::builder().status(403).body(()).unwrap()),
            }
        };
        for path in ["/x", "/x", "/broken"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let _ = counting.layer(service_fn(answer)).oneshot(request).await;
        }
        let page = own.body(flyball_model::exposition::Format::Text004).unwrap();
        for line in [
            "rest_client_requests_total{code=\"403\",host=\"api:6443\",method=\"GET\"} 2",
            "rest_client_requests_total{code=\"<error>\",host=\"api:6443\",method=\"GET\"} 1",
            "rest_client_request_duration_seconds_count{host=\"api:6443\",verb=\"GET\"} 3",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} in\n{page}");
        }
    }
}
