//! The API server: Kubernetes' HTTP API over the registry, for kubectl and every other client.
//!
//! Authentication, authorization, TLS and limits happen before a request gets here (`flyball_apiserver::serve`); discovery,
//! OpenAPI, version and probes are answered by `flyball_apiserver::standard`. What is left is decided here: a stored kind,
//! a question (TokenReview and its kin), or a group that another server stands behind.

mod aggregation;
mod call;
mod decode;
mod discovery;
pub mod logs;
mod objects;
mod openapi;
mod options;
mod output;
mod paging;
mod patch;
mod protobuf;
mod reviews;
mod scale;
mod selectors;
mod served;
mod tables;
mod watching;

use std::net::SocketAddr;
use std::sync::Arc;

use flyball_apiserver::authentication::{Authenticators, CaBundle, ClientCa};
use flyball_apiserver::authorization::{ALWAYS_ALLOW_PATHS, AllowedPaths, DenyAnonymous};
use flyball_apiserver::live::Live;
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::probes::Probes;
use flyball_apiserver::request::{Handler, Request, Response};
use flyball_apiserver::serve::{Limits, Server, ServingTls};
use flyball_apiserver::standard::{Standard, VersionInfo};
use flyball_apiserver::status::Status;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::auth::tokens::Tokens;
use crate::auth::{AuthError, Identity};
use crate::registry::{Part, Registry};
use aggregation::Aggregator;
use call::Call;
use logs::LogSource;
use served::Served;

/// The Kubernetes version this server behaves like: kubectl warns about servers more than one minor version away from it.
const SPEAKS: (u32, u32) = (1, 33);

/// What the API server is made of.
pub struct ApiServerParts {
    /// The objects.
    pub registry: Registry,
    /// The cluster's certificates and keys.
    pub identity: Arc<Identity>,
    /// Where the output of containers is.
    pub logs: Arc<dyn LogSource>,
    /// The address listened on, as discovery announces it.
    pub address: SocketAddr,
    /// `/healthz`, `/livez`, `/readyz`.
    pub probes: Probes,
    /// `/metrics`.
    pub metrics: OwnMetrics,
    /// Commit of the build for `/version`; empty if unknown.
    pub commit: String,
}

/// The API server as a handler. Give [`ApiServer::server`] to `flyball_apiserver::serve` and keep
/// [`ApiServer::run`] running beside it.
pub struct ApiServer {
    standard: Standard,
    inner: Arc<Inner>,
    identity: Arc<Identity>,
}

struct Inner {
    registry: Registry,
    tokens: Tokens,
    logs: Arc<dyn LogSource>,
    aggregator: Aggregator,
}

impl ApiServer {
    /// Builds the server and publishes the ConfigMap for aggregated servers.
    ///
    /// # Errors
    /// Keys or certificates that cannot be used.
    pub fn new(parts: ApiServerParts) -> Result<Arc<Self>, AuthError> {
        let ApiServerParts { registry, identity, logs, address, probes, metrics, commit } = parts;
        if let Err(status) = crate::auth::publish::publish(&registry, &identity) {
            tracing::error!(%status, "settings for aggregated servers are not published");
        }
        let documents = discovery::Documents {
            discovery: Live::new(discovery::own(&address.to_string())),
            openapi: Live::new(openapi::own()),
            address: address.to_string(),
        };
        let (discovery, openapi) = (documents.discovery.clone(), documents.openapi.clone());
        let inner = Arc::new(Inner {
            tokens: Tokens::new(identity.token_key, registry.clone()),
            aggregator: Aggregator::new(registry.clone(), &identity, documents)?,
            registry,
            logs,
        });
        let mut version = VersionInfo::new(SPEAKS.0, SPEAKS.1, &commit);
        version.git_version = format!("v{}.{}.0+flyball", SPEAKS.0, SPEAKS.1);
        let standard = Standard {
            discovery,
            openapi,
            version,
            probes,
            metrics,
            // Discovery of aggregated groups that have not been reached yet.
            inner_groups: None,
            inner_paths: vec!["/apis/*".to_owned()],
            inner: inner.clone(),
        };
        Ok(Arc::new(Self { standard, inner, identity }))
    }

    /// What `flyball_apiserver::serve` needs: certificates and tokens of this cluster, everyone authenticated is admin.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub fn server(self: &Arc<Self>, metrics: &OwnMetrics) -> Result<Arc<Server>, AuthError> {
        let ca = CaBundle::from_pem(&self.identity.ca.certificate_pem(), "cluster CA")?;
        let authenticators = Authenticators {
            front_proxy: None,
            client_ca: Some(ClientCa { bundle: ca }),
            tokens: Some(Arc::new(self.inner.tokens.clone())),
            anonymous: true,
        };
        let open = ALWAYS_ALLOW_PATHS.into_iter().chain(["/healthz/*", "/livez/*", "/readyz/*", "/version"]);
        Ok(Arc::new(Server {
            tls: ServingTls::new(self.identity.server.resolver()?),
            authenticators: Live::new(authenticators),
            authorizer: Arc::new(DenyAnonymous { always_allow: AllowedPaths::new(open) }),
            handler: self.clone(),
            limits: Limits::default(),
            metrics: ServerMetrics::register(metrics),
        }))
    }

    /// Keeps the state of aggregated groups current until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.inner.aggregator.run(shutdown).await;
    }
}

impl Handler for ApiServer {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        self.standard.handle(request)
    }
}

impl Handler for Inner {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let responder = request.respond();
            match self.route(request).await {
                Ok(response) => response,
                Err(status) => responder.status(&status),
            }
        })
    }
}

impl Inner {
    async fn route(&self, request: Request) -> Result<Response, Status> {
        let attributes = &request.attributes;
        if !attributes.resource_request {
            return self.aggregator.forward(request).await;
        }
        let found = served::find(&attributes.group, &attributes.version, &attributes.resource);
        if let Some(served) = found {
            return self.stored(request, served).await;
        }
        match attributes.group.as_str() {
            "authentication.k8s.io" | "authorization.k8s.io" => reviews::review(&self.tokens, request).await,
            _ => self.aggregator.forward(request).await,
        }
    }

    async fn stored(&self, request: Request, served: Served) -> Result<Response, Status> {
        let call = Call::new(request, served);
        let attributes = &call.attributes;
        let (resource, registry) = (served.resource, &self.registry);
        let scoped = !resource.namespaced || !attributes.namespace.is_empty();
        if !attributes.name.is_empty() && !scoped && !matches!(attributes.verb.as_str(), "list" | "watch") {
            return Err(Status::unknown_resource());
        }
        match (attributes.verb.as_str(), attributes.subresource.as_str()) {
            ("get", "") => objects::get(registry, &call),
            ("list", "") => objects::list(registry, &call),
            ("watch", "") => watching::watch(registry, &call),
            ("create", "") if attributes.name.is_empty() && scoped => objects::create(registry, call).await,
            ("update", "") if !attributes.name.is_empty() => {
                objects::update(registry, call, Part::Spec).await
            }
            ("patch", "") if !attributes.name.is_empty() => objects::patch(registry, call, Part::Spec).await,
            ("delete", "") => objects::delete(registry, call).await,
            ("deletecollection", "") => objects::delete_collection(registry, call).await,
            ("get", "status") if resource.has_status => objects::get(registry, &call),
            ("update", "status") if resource.has_status => {
                objects::update(registry, call, Part::Status).await
            }
            ("patch", "status") if resource.has_status => objects::patch(registry, call, Part::Status).await,
            ("get", "scale") if resource.has_scale => scale::get(registry, &call),
            ("update", "scale") if resource.has_scale => scale::write(registry, call, false).await,
            ("patch", "scale") if resource.has_scale => scale::write(registry, call, true).await,
            ("get", "log") if resource.kind == "Pod" => logs::get(registry, self.logs.as_ref(), &call),
            ("create", "token") if resource.kind == "ServiceAccount" => {
                reviews::token_request(registry, &self.tokens, call).await
            }
            (_, "" | "status" | "scale" | "log" | "token") if scoped => Err(Status::method_not_allowed()),
            _ => Err(Status::unknown_resource()),
        }
    }
}
