//! The horizontal pod autoscaler: metrics to desired replicas to scale.
//!
//! * [`decide`] is the decision: pure, and equal to upstream's controller on equal inputs and history.
//! * [`report`] turns a decision into status, conditions and events, in upstream's words. Pure.
//! * [`checkpoint`] says what is kept of a history outside of the process. Pure.
//! * [`compile`] and [`schedule`] are the pure halves of watching and waking.
//! * [`run`] is the program: it watches HPAs and pods, asks the metrics APIs, writes scales and status.
//!
//! What differs from upstream by default: evaluation on the arrival of samples, history that survives restarts, memory by
//! UID instead of by name. [`Config::compat_upstream`] takes all of that back.

pub mod checkpoint;
mod cluster;
pub mod compile;
mod config;
mod controller;
pub mod decide;
mod error;
mod observe;
mod own_metrics;
pub mod report;
pub mod schedule;
mod serve;
mod watch;

pub use config::{Clock, Config, Mode};
pub use error::{ApiError, HpaError};
pub use observe::Observation;

use controller::{Controller, Shared};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs the autoscaler until `shutdown`, then lets evaluations end and stores all histories.
///
/// With a listener it serves `/healthz`, `/livez`, `/readyz` and `/metrics` on it.
///
/// # Errors
///
/// Settings that cannot work, or a listener that cannot be served. A cluster that does not answer is waited for.
pub async fn run(
    client: kube::Client,
    config: Config,
    listener: Option<TcpListener>,
    shutdown: CancellationToken,
) -> Result<(), HpaError> {
    let config = config.check()?;
    let shared = Arc::new(Shared::new(client.clone(), config));
    let server = match &listener {
        Some(_) => Some(serve::server(client.clone(), &shared.config, &shared, &shutdown).await?),
        None => None,
    };
    let serving = async {
        match (listener, server) {
            (Some(listener), Some(server)) => {
                flyball_apiserver::serve(listener, server, shutdown.clone()).await
            }
            _ => Ok(()),
        }
    };
    let controller = Controller::new(shared.clone()).run(client, shutdown.clone());
    let ((), served) = tokio::join!(controller, async {
        let served = serving.await;
        if served.is_err() {
            shutdown.cancel();
        }
        served
    });
    served.map_err(|error| HpaError::Serving(error.to_string()))
}
