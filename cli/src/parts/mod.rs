//! The single parts as programs: flags become checked settings, listeners are bound, the part runs until told to stop.

#![allow(clippy::disallowed_methods, reason = "programs: they bind sockets, read files and start tasks")]

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use flyball_apiserver::ServingTls;
use flyball_apiserver::certs::ReloadingCertificate;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::flags::TlsArgs;

mod adapter;
mod apps;
mod collector;
mod generic_server;
mod history;
mod hpa;
mod metrics_server;
mod server;

pub use adapter::{AdapterBeside, adapter};
pub use collector::collector;
pub use history::HistorySetup;
pub use hpa::hpa;
pub use metrics_server::{MetricsServerSetup, metrics_server};
pub(crate) use metrics_server::{kubelet_address, kubelet_endpoint};
pub use server::server;

/// Kubernetes version whose API the servers speak.
pub const API_VERSION: (u32, u32) = (1, 34);

/// Listens on `address`, or says that it is taken.
///
/// # Errors
/// One sentence naming the address.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The certificate of the flags, re-read when its files change.
fn certificate(args: &TlsArgs, shutdown: &CancellationToken) -> anyhow::Result<Option<ServingTls>> {
    let (Some(certificate), Some(key)) = (&args.tls_cert_file, &args.tls_private_key_file) else {
        return Ok(None);
    };
    let reloading = ReloadingCertificate::from_files(certificate, key)?;
    tokio::spawn(reloading.clone().watch(shutdown.clone()));
    Ok(Some(ServingTls::new(reloading)))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
