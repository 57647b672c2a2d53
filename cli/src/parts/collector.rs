//! The node agent as a program.

#![allow(clippy::disallowed_methods, reason = "a program: it binds sockets, reads files and starts tasks")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use flyball_apiserver::ServingTls;
use flyball_apiserver::certs::ReloadingCertificate;
use flyball_apiserver::permissions;
use flyball_collector::disk::DiskConfig;
use flyball_collector::name_source::{Clients, NameSource};
use flyball_collector::selection::Selection;
use flyball_collector::{CertificateReady, SourceChoice};
use kube::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
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
    config.counts_sockets = args.count_sockets;
    config.per_cpu = args.per_cpu_usage;
    let kubelet =
        kubelet_client(&args.names, &kube, &args.kubelet_certificate_authority, args.kubelet_insecure_tls)?;
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
        flyball_collector::needs(&config.names),
        security.advice.clone(),
        shutdown.clone(),
    );
    tokio::spawn(asking);
    security.certificate_ready = ready;
    let clients = Clients { api: Some(client), kubelet };
    Ok(flyball_collector::run_with(config, clients, listener, security, shutdown).await?)
}

/// For the kubelet among the sources of names: the credentials for the cluster, shown to another address.
fn kubelet_client(
    names: &[NameSource],
    cluster: &kube::Config,
    authority: &Option<PathBuf>,
    insecure: bool,
) -> anyhow::Result<Option<Client>> {
    let address = names.iter().find_map(|source| match source {
        NameSource::Kubelet(address) => Some(address),
        _ => None,
    });
    let Some(address) = address else { return Ok(None) };
    let mut config = cluster.clone();
    config.cluster_url = format!("https://{address}").parse().context("the kubelet's address is none")?;
    config.proxy_url = None;
    config.accept_invalid_certs |= insecure;
    if let Some(path) = authority {
        let certificates =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.with_context(|| path.display().to_string())?;
        if certificates.is_empty() {
            bail!("{}: there is no certificate in it", path.display());
        }
        config.root_cert = Some(certificates.into_iter().map(|certificate| certificate.to_vec()).collect());
    }
    Ok(Some(Client::try_from(config)?))
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
