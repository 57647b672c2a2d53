//! The node agent as a program.

#![allow(clippy::disallowed_methods, reason = "a program: it binds sockets, reads files and starts tasks")]

use std::net::SocketAddr;
use std::sync::Arc;

use flyball_apiserver::ServingTls;
use flyball_apiserver::certs::ReloadingCertificate;
use flyball_apiserver::permissions;
use flyball_collector::disk::DiskConfig;
use flyball_collector::selection::Selection;
use flyball_collector::{CertificateReady, SourceChoice};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::listen;
use crate::flags::{CollectorArgs, TlsArgs};
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
    config.sys_root = args.sys_root;
    config.counts_descriptors = args.count_descriptors;
    config.names = args.names;
    config.disk =
        args.disk_usage.then(|| DiskConfig { host_root: args.root.clone(), ..DiskConfig::default() });
    config.selection =
        Selection::new(args.metrics, args.drop_labels, &flyball_collector::cadvisor::metrics())?;
    config.root = args.root;
    let client = Client::try_from(kube)?;
    let listener = listen(SocketAddr::new(args.bind_address, args.secure_port)).await?;
    let (tls, ready): (ServingTls, CertificateReady) = match expected_certificate(&args.tls, &shutdown)? {
        Some(certificate) => (ServingTls::new(certificate.clone()), Arc::new(move || certificate.is_real())),
        None => (flyball_collector::own_tls(&config.node_name, &listener)?, Arc::new(|| true)),
    };
    let mut security = flyball_collector::Security::delegated(client.clone(), tls, shutdown.clone()).await?;
    let asking = permissions::watch(
        client.clone(),
        flyball_collector::needs(),
        security.advice.clone(),
        shutdown.clone(),
    );
    tokio::spawn(asking);
    security.certificate_ready = ready;
    Ok(flyball_collector::run_with(config, Some(client), listener, security, shutdown).await?)
}

/// The certificate of the flags. Its files may come later than this program: the metrics server makes them.
fn expected_certificate(
    args: &TlsArgs,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Arc<ReloadingCertificate>>> {
    let (Some(certificate), Some(key)) = (&args.tls_cert_file, &args.tls_private_key_file) else {
        return Ok(None);
    };
    let expected = ReloadingCertificate::from_expected_files(certificate, key)?;
    tokio::spawn(expected.clone().watch(shutdown.clone()));
    Ok(Some(expected))
}
