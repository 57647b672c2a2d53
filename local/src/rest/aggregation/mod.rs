//! Groups that another server stands behind: APIService objects, their health, and the way of a request to that server.
//!
//! A request for such a group goes, with the caller's identity in front-proxy headers, over TLS to a ready endpoint of the
//! APIService's Service. What a backend does can make its own group answer 503, never another group.

mod backend;
mod connect;
mod discovered;
mod health;
mod proxy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flyball_apiserver::request::{Request, Response};
use flyball_apiserver::status::Status;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::discovery::Documents;
use crate::auth::{AuthError, Identity};
use crate::registry::{Registry, json, kinds};
use backend::Backend;
use connect::Connector;

/// Knows every aggregated group.
pub(super) struct Aggregator {
    registry: Registry,
    connector: Arc<Connector>,
    documents: Documents,
    /// By APIService name.
    backends: Mutex<BTreeMap<String, Arc<Backend>>>,
}

impl Aggregator {
    pub(super) fn new(
        registry: Registry,
        identity: &Identity,
        documents: Documents,
    ) -> Result<Self, AuthError> {
        let connector = Arc::new(Connector::new(&identity.front_proxy)?);
        Ok(Self { registry, connector, documents, backends: Mutex::default() })
    }

    /// Hands a request on to the server behind its group; 404 when there is none, 503 when it is not available.
    pub(super) async fn forward(&self, request: Request) -> Result<Response, Status> {
        let Some(service) = self.service_for(request.path()) else { return Err(Status::unknown_resource()) };
        let known = self.backends().get(json::name(&service)).cloned();
        let unavailable =
            || Status::service_unavailable("the server is currently unable to handle the request");
        let backend = known.filter(|_| health::is_available(&service)).ok_or_else(unavailable)?;
        proxy::forward(&backend, request).await
    }

    /// Checks every APIService whenever something about it changes, and at least every
    /// [`health::CHECK_INTERVAL`].
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        health::run(self, shutdown).await;
    }

    /// The APIService of `/apis/<group>[/<version>…]`; without a version, the preferred one.
    fn service_for(&self, path: &str) -> Option<Arc<Value>> {
        let mut parts = path.strip_prefix("/apis/")?.split('/');
        let group = parts.next().filter(|group| !group.is_empty())?;
        if super::discovery::is_own(group) {
            return None;
        }
        let service = match parts.next().filter(|version| !version.is_empty()) {
            Some(version) => self.registry.get(&kinds::APISERVICES, "", &format!("{version}.{group}"))?,
            None => {
                let mut services = self.registry.list(&kinds::APISERVICES, None).items;
                services.retain(|service| json::text(service, "/spec/group") == group);
                services.into_iter().max_by_key(|service| json::int(service, "/spec/versionPriority"))?
            }
        };
        service.pointer("/spec/service").is_some().then_some(service)
    }

    fn backends(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Backend>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes discovery and schemas of everything that was reached at least once.
    fn publish(&self) {
        let backends: Vec<Arc<Backend>> = self.backends().values().cloned().collect();
        let (groups, schemas) = discovered::merge(&backends);
        self.documents.publish(groups, schemas);
    }
}
