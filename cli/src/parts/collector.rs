//! The node agent as a program.

#![allow(clippy::disallowed_methods, reason = "a program: it binds sockets, reads files and starts tasks")]

use std::net::SocketAddr;

use flyball_collector::SourceChoice;
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::{certificate, listen};
use crate::flags::CollectorArgs;
use crate::query;

/// Runs the node agent.
pub async fn collector(args: CollectorArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let kube = query::config(&args.cluster).await?;
    let node_name = match args.node_name {
        Some(name) => name,
        None => rustix::system::uname().nodename().to_string_lossy().to_lowercase(),
    };
    let mut config = flyball_collector::Config::new(node_name);
    config.source = SourceChoice::Detect;
    config.cgroup_root = args.cgroup_root.to_string_lossy().into_owned();
    config.proc_root = args.proc_root;
    let client = Client::try_from(kube)?;
    let listener = listen(SocketAddr::new(args.bind_address, args.secure_port)).await?;
    match certificate(&args.tls, &shutdown)? {
        Some(tls) => {
            let security =
                flyball_collector::Security::delegated(client.clone(), tls, shutdown.clone()).await?;
            flyball_collector::run_with(config, Some(client), listener, security, shutdown).await?;
        }
        None => flyball_collector::run(config, Some(client), listener, shutdown).await?,
    }
    Ok(())
}
