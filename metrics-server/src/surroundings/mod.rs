//! What the server needs around it, checked while it runs: permissions, the APIServices that lead to it, the Secret
//! with the collectors' certificate. What is wrong is told with its cure and never stops the server; it recovers by
//! itself when the fault is mended.
#![allow(clippy::disallowed_methods, reason = "an edge: starts the tasks that ask the API server")]

use std::sync::Arc;

use flyball_apiserver::certs::secret::{Authorities, KeptSecret};
use flyball_apiserver::{Advice, permissions};
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod api_service;
mod needs;

pub use api_service::ServiceName;

/// The DNS name in the certificate of all collectors.
pub const COLLECTOR_NAME: &str = "flyball-collector";

/// Is told whom to trust as a collector, whenever that changes.
pub type Trust = Arc<dyn Fn(Authorities) + Send + Sync>;

/// What is looked after.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `--own-service`: the Service that leads to this server. Without it nobody checks where the APIServices point to.
    pub own_service: Option<ServiceName>,
    /// `--collector-certificate-secret`, and who is told of the authorities in it.
    pub collector_certificate: Option<(KeptSecret, Trust)>,
}

impl Surroundings {
    /// Starts what looks after them, until `stop`.
    pub(crate) fn watch(
        self,
        client: &Client,
        advice: &Advice,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let needs = needs::all(&self);
        tasks.spawn(permissions::watch(client.clone(), needs, advice.clone(), stop.clone()));
        if let Some(own) = self.own_service {
            tasks.spawn(api_service::watch(client.clone(), own, advice.clone(), stop.clone()));
        }
        if let Some((secret, trust)) = self.collector_certificate {
            let told = move |authorities| trust(authorities);
            tasks.spawn(secret.keep(client.clone(), advice.clone(), told, stop.clone()));
        }
    }
}
