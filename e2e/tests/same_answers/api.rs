//! The API server of these tests: the objects that a metrics server watches, who is who and may what, and the metrics
//! server behind it, to which it passes requests on as kube-apiserver does.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use flyball_apiserver::own_metrics::ServerMetrics;
use flyball_apiserver::{
    Authenticators, ClientCa, DenyAnonymous, Handler, Limits, LiveAuthenticators, Request, Response, Server,
    ServingTls, TokenVerifier, User, full, serve, stream,
};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::sides::People;

/// The objects there are.
pub struct World {
    pub nodes: Vec<Value>,
    pub pods: Vec<Value>,
    /// Of ConfigMap `extension-apiserver-authentication`.
    pub authentication: Value,
}

/// One API server.
pub struct Api {
    pub address: SocketAddr,
    /// Client of the metrics server behind it, with the front proxy's certificate.
    pub backend: Arc<OnceLock<kube::Client>>,
}

impl Api {
    /// Serves until `stop`.
    pub async fn start(world: Arc<World>, people: &People, stop: CancellationToken) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let issued = people.clients.issue_server(&["localhost"], &[address.ip()]).expect("a certificate");
        let backend = Arc::new(OnceLock::new());
        let server = Server {
            tls: ServingTls::new(issued.resolver().expect("a key")),
            authenticators: LiveAuthenticators::new(Authenticators {
                front_proxy: None,
                client_ca: Some(ClientCa { bundle: people.bundle() }),
                tokens: Some(Arc::new(Anyone)),
                anonymous: false,
            }),
            authorizer: Arc::new(DenyAnonymous::default()),
            handler: Arc::new(Fake { world, backend: backend.clone() }),
            limits: Limits::default(),
            metrics: ServerMetrics::default(),
        };
        tokio::spawn(serve(listener, Arc::new(server), stop));
        Api { address, backend }
    }
}

/// Both metrics servers come with a token.
pub struct Anyone;

impl TokenVerifier for Anyone {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        Box::pin(std::future::ready(Ok(Some(User::new(token, ["system:masters"])))))
    }
}

struct Fake {
    world: Arc<World>,
    backend: Arc<OnceLock<kube::Client>>,
}

impl Handler for Fake {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let path = request.path().to_owned();
            let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
            match segments.as_slice() {
                ["api"] => json_answer(200, &json!({"kind": "APIVersions", "versions": ["v1"]})),
                ["api", "v1"] => json_answer(200, &core_resources()),
                ["api", "v1", "nodes"] => collection(&request, "Node", &self.world.nodes),
                ["api", "v1", "nodes", name] => one(&self.world.nodes, None, name),
                ["api", "v1", "pods"] => collection(&request, "Pod", &self.world.pods),
                ["api", "v1", "namespaces", namespace, "pods"] => {
                    let of_namespace = |pod: &&Value| pod["metadata"]["namespace"] == **namespace;
                    let pods: Vec<Value> = self.world.pods.iter().filter(of_namespace).cloned().collect();
                    collection(&request, "Pod", &pods)
                }
                ["api", "v1", "namespaces", namespace, "pods", name] => {
                    one(&self.world.pods, Some(*namespace), name)
                }
                ["api", "v1", "namespaces", "kube-system", "configmaps"] => {
                    collection(&request, "ConfigMap", std::slice::from_ref(&self.world.authentication))
                }
                ["api", "v1", "namespaces", "kube-system", "configmaps", _] => {
                    json_answer(200, &self.world.authentication)
                }
                [.., "tokenreviews"] => review(request, token_review).await,
                [.., "subjectaccessreviews"] => review(request, access_review).await,
                [.., "selfsubjectaccessreviews"] => review(request, |_| Ok(json!({"allowed": true}))).await,
                ["apis"] | ["apis", "metrics.k8s.io", ..] => {
                    let passed_on = passed_on(&request);
                    self.pass_on(passed_on).await
                }
                _ => not_found(&path),
            }
        })
    }
}

impl Fake {
    async fn pass_on(&self, request: http::Request<Body>) -> Response {
        let Some(backend) = self.backend.get() else { return not_found("no backend") };
        match backend.send(request).await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let mut response = http::Response::new(full(bytes));
                *response.status_mut() = parts.status;
                for name in ["content-type", "vary", "etag"] {
                    if let Some(value) = parts.headers.get(name) {
                        response.headers_mut().insert(name, value.clone());
                    }
                }
                response
            }
            Err(error) => json_answer(
                503,
                &json!({"kind": "Status", "apiVersion": "v1", "code": 503, "message": error.to_string()}),
            ),
        }
    }
}

/// As the aggregator does: the user in headers; the client shows the proxy's certificate.
fn passed_on(request: &Request) -> http::Request<Body> {
    let target = request.parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut sent = http::Request::get(target).header("X-Remote-User", &request.user.name);
    for group in &request.user.groups {
        sent = sent.header("X-Remote-Group", group);
    }
    for accept in request.parts.headers.get_all("accept") {
        sent = sent.header("accept", accept);
    }
    sent.body(Body::empty()).expect("a request")
}

fn collection(request: &Request, kind: &str, objects: &[Value]) -> Response {
    let query = request.query();
    if query.flag("watch") {
        if query.has("sendInitialEvents") {
            return json_answer(
                422,
                &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422, "message": "not here"}),
            );
        }
        let mut response = http::Response::new(stream(futures_util::stream::pending().boxed()));
        response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
        return response;
    }
    let fields = query.first("fieldSelector").unwrap_or("").to_owned();
    let wanted = |object: &&Value| {
        fields.split(',').filter(|term| !term.is_empty()).all(|term| match term.split_once('=') {
            Some(("status.phase", phase)) => object["status"]["phase"] == phase,
            Some(("metadata.name", name)) => object["metadata"]["name"] == name,
            Some(("spec.nodeName", node)) => object["spec"]["nodeName"] == node,
            _ => true,
        })
    };
    let labels = query
        .first("labelSelector")
        .and_then(|text| text.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let labelled = |object: &&Value| match &labels {
        Some((key, value)) => object["metadata"]["labels"][key] == value.as_str(),
        None => true,
    };
    let accept = request.parts.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or("");
    let partial = accept.contains("PartialObjectMetadata");
    let items: Vec<Value> = objects
        .iter()
        .filter(wanted)
        .filter(labelled)
        .map(|object| if partial { metadata_of(object) } else { object.clone() })
        .collect();
    let (kind, version) = if partial {
        ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1")
    } else {
        (format!("{kind}List"), "v1")
    };
    json_answer(
        200,
        &json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items}),
    )
}

fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn one(objects: &[Value], namespace: Option<&str>, name: &str) -> Response {
    let found = objects.iter().find(|object| {
        let metadata = &object["metadata"];
        metadata["name"] == name && namespace.is_none_or(|namespace| metadata["namespace"] == namespace)
    });
    found.map_or_else(|| not_found(name), |object| json_answer(200, object))
}

async fn review(request: Request, answer: fn(&Value) -> Result<Value, u16>) -> Response {
    let body = request.body.collect(1 << 20).await.unwrap_or_default();
    let Ok(mut review) = serde_json::from_slice::<Value>(&body) else {
        // Upstream's client asks in protobuf only when told to.
        return json_answer(415, &json!({"kind": "Status", "apiVersion": "v1", "code": 415}));
    };
    match answer(&review["spec"]) {
        Ok(status) => {
            review["status"] = status;
            json_answer(201, &review)
        }
        Err(code) => json_answer(
            code,
            &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "InternalError", "code": code, "message": "down"}),
        ),
    }
}

fn token_review(spec: &Value) -> Result<Value, u16> {
    match spec["token"].as_str().unwrap_or("") {
        "good" => {
            Ok(json!({"authenticated": true, "user": {"username": "reader", "groups": ["g"], "uid": "1"}}))
        }
        "other-audience" => Ok(
            json!({"authenticated": false, "error": "[invalid bearer token, token audiences [\"x\"] is invalid for the target audiences [\"y\"]]"}),
        ),
        "down" => Err(500),
        _ => Ok(json!({"authenticated": false})),
    }
}

fn access_review(spec: &Value) -> Result<Value, u16> {
    match spec["user"].as_str().unwrap_or("") {
        "reader" => Ok(json!({"allowed": true})),
        // Allowed only with what the proxy says of it.
        "extra" => Ok(json!({"allowed": spec["extra"]["example.com/key"] == json!(["v"])})),
        "undecided" => Err(403),
        "stranger" => Ok(json!({"allowed": false, "reason": "no role has this"})),
        _ => Ok(json!({"allowed": false})),
    }
}

fn core_resources() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get", "list", "watch"]});
    let resources = [resource("nodes", "Node", false), resource("pods", "Pod", true)];
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": resources})
}

fn not_found(name: &str) -> Response {
    let message = format!("{name} not found");
    json_answer(
        404,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": message}),
    )
}

fn json_answer(code: u16, value: &Value) -> Response {
    let mut response = http::Response::new(full(value.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(code).expect("a code");
    response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    response
}
