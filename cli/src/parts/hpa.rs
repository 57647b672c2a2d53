//! The autoscaler as a program.

#![allow(clippy::disallowed_methods, reason = "a program: it binds sockets, reads files and starts tasks")]

use std::net::SocketAddr;

use kube::Client;
use tokio_util::sync::CancellationToken;

use super::{certificate, listen, milliseconds};
use crate::flags::{Compat, HpaArgs, Mode};
use crate::query;

/// Runs the autoscaler.
pub async fn hpa(args: HpaArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = Client::try_from(query::config(&args.cluster).await?)?;
    let listener = listen(SocketAddr::new(args.bind_address, args.secure_port)).await?;
    let decide = flyball_hpa::decide::Settings {
        tolerance: args.horizontal_pod_autoscaler_tolerance,
        cpu_initialization_ms: milliseconds(args.horizontal_pod_autoscaler_cpu_initialization_period),
        initial_readiness_delay_ms: milliseconds(args.horizontal_pod_autoscaler_initial_readiness_delay),
        downscale_stabilization_ms: milliseconds(args.horizontal_pod_autoscaler_downscale_stabilization),
        ..flyball_hpa::decide::Settings::default()
    };
    let config = flyball_hpa::Config {
        decide,
        sync_period: args.horizontal_pod_autoscaler_sync_period,
        concurrent_syncs: usize::from(args.concurrent_horizontal_pod_autoscaler_syncs),
        mode: match args.mode {
            Mode::Replace => flyball_hpa::Mode::Replace,
            Mode::Shadow => flyball_hpa::Mode::Shadow,
        },
        compat_upstream: args.compat == Some(Compat::Upstream),
        namespace: Some(args.checkpoint_namespace),
        tls: certificate(&args.tls, &shutdown)?,
        ..flyball_hpa::Config::default()
    };
    flyball_hpa::run(client, config, Some(listener), shutdown).await?;
    Ok(())
}
