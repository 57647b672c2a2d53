//! An API server of the least that a metrics server asks for: nodes and pods in pages, watches in which nothing happens,
//! collectors on all nodes or none, the authentication settings, and reviews that believe everybody.
//!
//! HTTP/1.1 and HTTP/2 over TLS on a loopback address (Go's clients show their token to nobody else). It answers in JSON,
//! whatever is asked for.

#![allow(clippy::disallowed_methods, reason = "edge: opens the API server's listener")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flyball_apiserver::CertificateAuthority;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::world::World;

/// Most objects of one page, whatever is asked for.
const PAGE: usize = 5000;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is going on.
#[derive(Debug, Default)]
struct Traffic {
    /// Open watches, by path.
    watches: Mutex<BTreeMap<String, usize>>,
    sent_bytes: AtomicU64,
}

impl Traffic {
    fn watches(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watch that is open.
struct OpenWatch(Arc<Traffic>, String);

impl OpenWatch {
    fn new(traffic: &Arc<Traffic>, path: &str) -> OpenWatch {
        *traffic.watches().entry(path.to_owned()).or_default() += 1;
        OpenWatch(traffic.clone(), path.to_owned())
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        if let Some(count) = self.0.watches().get_mut(&self.1) {
            *count -= 1;
        }
    }
}

/// The running server; it ends when this goes.
#[derive(Debug)]
pub struct Cluster {
    /// Where it listens.
    pub address: SocketAddr,
    traffic: Arc<Traffic>,
    runtime: Option<Runtime>,
}

impl Cluster {
    /// Serves this world without collectors.
    ///
    /// # Errors
    /// No thread, no listener or no certificate.
    pub fn start(world: World) -> anyhow::Result<Cluster> {
        Cluster::start_with(world, false)
    }

    /// Serves this world, with a collector on each node or none.
    ///
    /// # Errors
    /// No thread, no listener or no certificate.
    pub fn start_with(world: World, collectors: bool) -> anyhow::Result<Cluster> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let authority = CertificateAuthority::new("simulated cluster")?;
        let acceptor = acceptor(&authority, address)?;
        let traffic = Arc::new(Traffic::default());
        let cluster = Arc::new(Simulated {
            world,
            collectors: if collectors { world.size.nodes } else { 0 },
            authority_pem: authority.certificate_pem(),
            traffic: traffic.clone(),
        });
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(cluster.clone(), acceptor.clone(), socket));
            }
        });
        Ok(Cluster { address, traffic, runtime: Some(runtime) })
    }

    /// Watches that are open now, by path.
    #[must_use]
    pub fn watches(&self) -> BTreeMap<String, usize> {
        self.traffic.watches().iter().filter(|(_, count)| **count > 0).map(|(k, v)| (k.clone(), *v)).collect()
    }

    /// Bytes of bodies sent so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.traffic.sent_bytes.load(Ordering::Relaxed)
    }

    /// A kubeconfig for it.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://{}", self.address), "insecure-skip-tls-verify": true
            }}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
        })
        .to_string()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Simulated {
    world: World,
    collectors: usize,
    /// Who signs the certificates of clients and of the front proxy, as the authentication settings have it.
    authority_pem: String,
    traffic: Arc<Traffic>,
}

fn acceptor(authority: &CertificateAuthority, address: SocketAddr) -> anyhow::Result<TlsAcceptor> {
    let certificate = authority.issue_server(&["localhost"], &[address.ip()])?.resolver()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(cluster: Arc<Simulated>, acceptor: TlsAcceptor, socket: TcpStream) {
    let _ = socket.set_nodelay(true);
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let service = service_fn(move |request| {
        let cluster = cluster.clone();
        async move {
            let response = answer(&cluster, request).await;
            if let Some(bytes) = response.body().size_hint().exact() {
                cluster.traffic.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(cluster: &Simulated, request: Request<Incoming>) -> Response<Body> {
    let world = &cluster.world;
    let query = request.uri().query().unwrap_or_default().to_owned();
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(have, _)| *have == name).map(|(_, value)| value.to_owned()).next()
    };
    let page = || {
        let number = |name| parameter(name).and_then(|text| text.parse::<usize>().ok());
        let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(PAGE).min(PAGE);
        (number("continue").unwrap_or(0), limit)
    };
    if parameter("sendInitialEvents").is_some() {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "sendInitialEvents is forbidden"});
        return json_of(StatusCode::UNPROCESSABLE_ENTITY, &status);
    }
    let watching = parameter("watch").is_some_and(|watch| watch != "false" && watch != "0");
    let collectors = query.contains("flyball-collector");
    let path = request.uri().path().to_owned();
    match path.as_str() {
        path if watching => quiet_watch(OpenWatch::new(&cluster.traffic, path)),
        "/api/v1/nodes" => {
            let kind = if wants_whole(&request) { "NodeList" } else { "PartialObjectMetadataList" };
            json_of(StatusCode::OK, &list(kind, page(), world.size.nodes, World::node))
        }
        "/api/v1/pods" if collectors => {
            json_of(StatusCode::OK, &list("PodList", page(), cluster.collectors, World::collector))
        }
        "/api/v1/pods" if wants_whole(&request) => {
            json_of(StatusCode::OK, &list("PodList", page(), world.pods(), |index| world.whole_pod(index)))
        }
        "/api/v1/pods" => {
            json_of(StatusCode::OK, &list("PartialObjectMetadataList", page(), world.pods(), World::pod))
        }
        "/apis/authentication.k8s.io/v1/tokenreviews" => {
            let status = json!({"authenticated": true, "user": {"username": "bench", "groups": ["all"]}});
            review(request, status).await
        }
        "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        | "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
            review(request, json!({"allowed": true})).await
        }
        path if path.contains("/configmaps") => settings(path, &cluster.authority_pem),
        _ => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                "code": 404, "message": "there is no such thing here"});
            json_of(StatusCode::NOT_FOUND, &status)
        }
    }
}

/// Whether objects are asked for, not only their metadata.
fn wants_whole(request: &Request<Incoming>) -> bool {
    let accepts = request.headers().get_all(header::ACCEPT);
    let is_partial = |accept: &http::HeaderValue| {
        accept.to_str().is_ok_and(|accept| accept.contains("PartialObjectMetadata"))
    };
    !accepts.iter().any(is_partial)
}

/// `extension-apiserver-authentication` as a cluster has it. Requests show tokens.
fn settings(path: &str, authority_pem: &str) -> Response<Body> {
    let metadata = json!({
        "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1"
    });
    let data = json!({
        "client-ca-file": authority_pem, "requestheader-client-ca-file": authority_pem,
        "requestheader-allowed-names": "[\"front-proxy-client\"]",
        "requestheader-username-headers": "[\"X-Remote-User\"]",
        "requestheader-group-headers": "[\"X-Remote-Group\"]",
        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]"
    });
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data});
    if path.ends_with("/configmaps") {
        let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
            "items": [object]});
        return json_of(StatusCode::OK, &list);
    }
    json_of(StatusCode::OK, &object)
}

async fn review(request: Request<Incoming>, status: Value) -> Response<Body> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut object: Value = serde_json::from_slice(&body).unwrap_or_else(|_| json!({}));
    object["status"] = status;
    json_of(StatusCode::CREATED, &object)
}

fn list(kind: &str, (from, limit): (usize, usize), count: usize, object: impl Fn(usize) -> Value) -> Value {
    let to = (from + limit).min(count);
    let items: Vec<Value> = (from..to).map(object).collect();
    let mut metadata = json!({"resourceVersion": "1"});
    if to < count {
        metadata["continue"] = to.to_string().into();
        metadata["remainingItemCount"] = (count - to).into();
    }
    let version = if kind.starts_with("Partial") { "meta.k8s.io/v1" } else { "v1" };
    json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items})
}

fn json_of(code: StatusCode, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn quiet_watch(open: OpenWatch) -> Response<Body> {
    let silence = futures_util::stream::once(async move {
        let _open = open;
        std::future::pending::<Result<Frame<Bytes>, Infallible>>().await
    });
    let silence = silence.boxed();
    let mut response = Response::new(StreamBody::new(silence).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
