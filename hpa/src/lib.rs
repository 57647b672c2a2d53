//! The horizontal pod autoscaler: metrics to desired replicas to scale.
//!
//! * [`decide`] is the decision: pure, and equal to upstream's controller on equal inputs and history.
//! * [`report`] turns a decision into status, conditions and events, in upstream's words. Pure.
//! * [`checkpoint`] says what is kept of a history outside of the process. Pure.
//! * [`switches`] reads the named departures from upstream off an HPA's annotations. Pure.
//! * [`compile`] and [`schedule`] are the pure halves of watching and waking.
//! * `election`, `ownership`, `rivals` and `permissions` are the pure halves of being one of several: replicas, other HPA
//!   loops, other installations, and a cluster that does not allow everything.
//! * [`controls`] is what annotations ask for; [`decisions`] tells people what was decided and what would change it.
//! * [`lint`] finds the usual mistakes in manifests. Pure.
//! * [`run`] is the program: it watches HPAs and pods, asks the metrics APIs, writes scales and status.
//!
//! What differs from upstream by default: evaluation on the arrival of samples, history that survives restarts, memory by
//! UID instead of by name. [`Config::compat_upstream`] takes all of that back.

pub mod checkpoint;
mod cluster;
pub mod compile;
mod config;
mod controller;
pub mod controls;
mod correlator;
pub mod decide;
pub mod decisions;
mod election;
mod elector;
mod error;
mod fence;
mod interned;
mod kind;
pub mod lint;
mod observe;
mod own_metrics;
mod ownership;
mod permissions;
mod refusal;
pub mod report;
mod rivals;
mod samples;
pub mod schedule;
mod sentinel;
mod serve;
mod start;
pub mod switches;
mod warden;
mod watch;

pub use config::{Clock, Config, Mode};
pub use decisions::Peer;
pub use election::{Election, unique_id};
pub use error::{ApiError, HpaError};
pub use observe::Observation;
pub use start::{Server, token_expiry_ms};

use controller::{Controller, Shared};
use elector::{Elector, Surroundings, Term};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs the autoscaler until `shutdown`, then lets evaluations end, stores all histories and gives up the lease.
///
/// With a listener it serves `/healthz`, `/livez`, `/readyz` and `/metrics` on it.
///
/// # Errors
///
/// Settings that cannot work, a listener that cannot be served, or an API server that can never be used as configured. A
/// cluster that does not answer, or does not allow everything, is waited for.
pub async fn run(
    client: kube::Client,
    config: Config,
    listener: Option<TcpListener>,
    shutdown: CancellationToken,
) -> Result<(), HpaError> {
    let config = config.check()?;
    let alone = Term { leads: config.election.is_none(), inherits: false, number: 0 };
    let (term_sender, term) = tokio::sync::watch::channel(alone);
    let shared = Arc::new(Shared::new(client.clone(), config, term));
    let result = tokio::try_join!(
        serving(client.clone(), &shared, listener, &shutdown),
        work(client, &shared, term_sender, &shutdown),
    );
    result.map(drop)
}

/// Serves probes and metrics, if there is a listener.
async fn serving(
    client: kube::Client,
    shared: &Arc<Shared>,
    listener: Option<TcpListener>,
    shutdown: &CancellationToken,
) -> Result<(), HpaError> {
    let Some(listener) = listener else { return Ok(()) };
    let setup = serve::server(client, &shared.config, shared, shutdown);
    let Some(server) = shutdown.run_until_cancelled(setup).await else { return Ok(()) };
    let served = flyball_apiserver::serve(listener, server?, shutdown.clone()).await;
    served.map_err(|error| HpaError::Serving(error.to_string()))
}

/// Everything else, in the order in which it must end: evaluations, the probe for others, the lease.
async fn work(
    client: kube::Client,
    shared: &Arc<Shared>,
    term: tokio::sync::watch::Sender<Term>,
    shutdown: &CancellationToken,
) -> Result<(), HpaError> {
    if let Some(server) = &shared.config.server {
        let reached = start::reach(&shared.api, server, || shared.now_ms());
        match shutdown.run_until_cancelled(reached).await {
            Some(reached) => reached?,
            None => return Ok(()),
        }
    }
    let (watched, led) = (CancellationToken::new(), CancellationToken::new());
    let controller = async {
        Controller::new(shared.clone()).run(client, shutdown.clone()).await;
        watched.cancel();
    };
    let sentinel = async {
        sentinel::run(shared.clone(), watched.clone()).await;
        led.cancel();
    };
    let election = async {
        let Some(settings) = shared.config.election.clone() else { return };
        let namespace = settings.namespace.clone().unwrap_or_else(|| shared.namespace.clone());
        let with = Surroundings {
            api: shared.api.clone(),
            fence: shared.fence.clone(),
            metrics: shared.metrics.clone(),
            facts: shared.lease.clone(),
            wall_ms: shared.config.clock.clone(),
            steady_ms: shared.config.steady.clone(),
            peer: shared.config.peer.clone(),
            term,
        };
        Elector::new(settings, namespace, with).run(led.clone()).await;
    };
    let permissions = async {
        if shared.config.check_permissions {
            shutdown.run_until_cancelled(warden::run(shared.clone())).await;
        }
    };
    tokio::join!(controller, sentinel, election, permissions);
    Ok(())
}
