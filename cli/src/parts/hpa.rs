//! The autoscaler as a program.

#![allow(clippy::disallowed_methods, reason = "a program: it binds sockets, reads files and starts tasks")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kube::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::{certificate, listen, milliseconds};
use crate::flags::{Compat, HpaArgs, LeaderElectionArgs, Mode, ResourceLock, SwitchArgs, TlsArgs};
use crate::query;

/// Runs the autoscaler.
pub async fn hpa(args: HpaArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let cluster = query::config(&args.cluster).await?;
    let server = server(&cluster);
    let cluster_auth = cluster.auth_info.clone();
    let client = Client::try_from(cluster)?;
    let listener = listen(SocketAddr::new(args.bind_address, args.secure_port)).await?;
    let decide = flyball_hpa::decide::Settings {
        tolerance: args.horizontal_pod_autoscaler_tolerance,
        cpu_initialization_ms: milliseconds(args.horizontal_pod_autoscaler_cpu_initialization_period),
        initial_readiness_delay_ms: milliseconds(args.horizontal_pod_autoscaler_initial_readiness_delay),
        downscale_stabilization_ms: milliseconds(args.horizontal_pod_autoscaler_downscale_stabilization),
        switches: switches(&args.switches),
        fallback_after_ms: milliseconds(args.switches.fallback_after),
        ..flyball_hpa::decide::Settings::default()
    };
    let config = flyball_hpa::Config {
        decide,
        sync_period: args.horizontal_pod_autoscaler_sync_period,
        concurrent_syncs: usize::from(args.concurrent_horizontal_pod_autoscaler_syncs),
        mode: match args.mode {
            Mode::Auto => flyball_hpa::Mode::Auto,
            Mode::Replace => flyball_hpa::Mode::Replace,
            Mode::OwnKind => flyball_hpa::Mode::OwnKind,
            Mode::Shadow => flyball_hpa::Mode::Shadow,
        },
        compat_upstream: args.compat == Some(Compat::Upstream),
        namespace: Some(args.checkpoint_namespace),
        election: args.election.leader_elect.then(|| election(&args.election)),
        check_permissions: true,
        server: Some(server),
        peer: peer(&args.tls, args.pod_ip, args.secure_port, &cluster_auth),
        tls: certificate(&args.tls, &shutdown)?,
        ..flyball_hpa::Config::default()
    };
    flyball_hpa::run(client, config, Some(listener), shutdown).await?;
    Ok(())
}

fn switches(args: &SwitchArgs) -> flyball_hpa::decide::Switches {
    let after_ms = milliseconds(args.fallback_after);
    let fallback = |replicas| flyball_hpa::decide::Fallback { replicas, after_ms };
    flyball_hpa::decide::Switches {
        owned_pods: args.owned_pods,
        surge_aware: args.surge_aware,
        exact_ceiling: args.exact_ceiling,
        max_sample_age_ms: args.max_sample_age.map(milliseconds).filter(|ms| *ms > 0),
        fallback: args.fallback_replicas.map(fallback),
    }
}

/// The settings of the election. The identity is the host's name, which in a pod is the pod's, and something unique, as
/// kube-controller-manager's is.
fn election(args: &LeaderElectionArgs) -> flyball_hpa::Election {
    let ResourceLock::Leases = args.leader_elect_resource_lock;
    let host = args
        .pod_name
        .clone()
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    flyball_hpa::Election {
        namespace: args.leader_elect_resource_namespace.clone(),
        name: args.leader_elect_resource_name.clone(),
        lease_duration: args.leader_elect_lease_duration,
        renew_deadline: args.leader_elect_renew_deadline,
        retry_period: args.leader_elect_retry_period,
        ..flyball_hpa::Election::new(format!("{host}_{}", flyball_hpa::unique_id()))
    }
}

/// How the other replicas reach this one, where that is known: in a pod.
fn peer(
    tls: &TlsArgs,
    pod_ip: Option<IpAddr>,
    port: u16,
    auth: &kube::config::AuthInfo,
) -> Option<flyball_hpa::Peer> {
    let certificate_file = tls.tls_cert_file.clone();
    let certificate = move || {
        let pem = std::fs::read(certificate_file.as_ref()?).ok()?;
        CertificateDer::from_pem_slice(&pem).ok().map(|der| der.to_vec())
    };
    let (token, token_file) = (auth.token.clone(), auth.token_file.clone());
    let token = move || match &token_file {
        Some(file) => std::fs::read_to_string(file).ok().map(|token| token.trim().to_owned()),
        None => token.as_ref().map(|token| token.expose_secret().to_owned()),
    };
    Some(flyball_hpa::Peer {
        address: SocketAddr::new(pod_ip?, port).to_string(),
        certificate: Arc::new(certificate),
        token: Arc::new(token),
    })
}

/// What sentences about the API server need to know.
fn server(config: &kube::Config) -> flyball_hpa::Server {
    let auth = &config.auth_info;
    let rereads = auth.token_file.is_some() || auth.exec.is_some() || auth.auth_provider.is_some();
    let token = auth.token.as_ref().filter(|_| !rereads);
    flyball_hpa::Server {
        url: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
        has_fixed_credentials: !rereads,
        token_expires_ms: token.and_then(|token| flyball_hpa::token_expiry_ms(token.expose_secret())),
    }
}
