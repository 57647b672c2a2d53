//! Upstream's flags of the generic API server as settings of ours.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use flyball_apiserver::{
    AllowedPaths, Believed, ClientCa, FrontProxy, Generic, Limits, Serving, TlsChoice,
    delegation::{Flags, read_bundle},
};
use kube::Client;
use tokio::net::{TcpListener, TcpSocket};

use crate::flags::{ClusterArgs, DelegationArgs, LimitArgs, ServingArgs};
use crate::query;

/// Connections waiting to be accepted.
const BACKLOG: u32 = 1024;
/// What upstream's 0 stands for where it means "no limit".
const UNLIMITED: usize = 1 << 20;

/// Fills in how connections are served. What of the flags has no effect is logged.
///
/// # Errors
/// A value that upstream would not take either.
pub(super) fn serving(args: &ServingArgs, config: &mut Generic) -> anyhow::Result<()> {
    let (choice, remarks) =
        TlsChoice::parse(&args.tls_min_version, &args.tls_cipher_suites, &args.tls_curve_preferences)?;
    for remark in remarks {
        tracing::warn!("{remark}");
    }
    config.tls = choice;
    config.http2 = !args.disable_http2_serving;
    if args.http2_max_streams_per_connection > 0 {
        config.limits.streams_per_connection = args.http2_max_streams_per_connection;
    }
    let pairs = args.tls_sni_cert_key.iter();
    config.sni = pairs.map(|pair| (pair.names.clone(), pair.certificate.clone(), pair.key.clone())).collect();
    config.serving = match (&args.tls.tls_cert_file, &args.tls.tls_private_key_file, &args.cert_dir) {
        (Some(certificate), Some(key), _) => {
            Serving::Files { certificate: certificate.clone(), key: key.clone() }
        }
        (_, _, Some(folder)) => Serving::Folder(folder.clone()),
        _ => Serving::SelfSigned,
    };
    Ok(())
}

/// Fills in who clients are and what they may do.
///
/// # Errors
/// A CA file or kubeconfig that cannot be used.
pub(super) async fn delegation(args: &DelegationArgs, config: &mut Generic) -> anyhow::Result<()> {
    let client_ca = match &args.client_ca_file {
        Some(file) => Some(ClientCa { bundle: read_bundle(file).context("--client-ca-file")? }),
        None => None,
    };
    let front_proxy = match &args.requestheader_client_ca_file {
        Some(file) => Some(FrontProxy {
            ca: read_bundle(file).context("--requestheader-client-ca-file")?,
            allowed_names: args.requestheader_allowed_names.clone(),
            username_headers: args.requestheader_username_headers.clone(),
            group_headers: args.requestheader_group_headers.clone(),
            extra_prefixes: args.requestheader_extra_headers_prefix.clone(),
            uid_headers: args.requestheader_uid_headers.clone(),
            observer: None,
        }),
        None => None,
    };
    config.authentication = Flags {
        client_ca,
        front_proxy,
        anonymous: true,
        skip_lookup: args.authentication_skip_lookup,
        // A missing permission is told and waited for; restarting would mend nothing.
        tolerate_lookup_failure: true,
        client_ca_file: args.client_ca_file.clone(),
        requestheader_ca_file: args.requestheader_client_ca_file.clone(),
        ..Flags::default()
    };
    config.always_allow = AllowedPaths::new(args.authorization_always_allow_paths.iter().map(String::as_str));
    config.believed = Believed {
        tokens: args.authentication_token_webhook_cache_ttl,
        allowed: args.authorization_webhook_cache_authorized_ttl,
        denied: args.authorization_webhook_cache_unauthorized_ttl,
    };
    config.authentication_client =
        client_of(&args.authentication_kubeconfig).await.context("--authentication-kubeconfig")?;
    config.authorization_client =
        client_of(&args.authorization_kubeconfig).await.context("--authorization-kubeconfig")?;
    Ok(())
}

async fn client_of(kubeconfig: &Option<std::path::PathBuf>) -> anyhow::Result<Option<Client>> {
    let Some(file) = kubeconfig.clone().filter(|file| !file.as_os_str().is_empty()) else { return Ok(None) };
    let cluster = ClusterArgs { kubeconfig: Some(file), ..ClusterArgs::default() };
    Ok(Some(Client::try_from(query::config(&cluster).await?)?))
}

/// Fills in limits, and names the flags without effect in one line of the log.
pub(super) fn limits(args: &LimitArgs, config: &mut Generic) {
    let limit = |flag: u32| if flag == 0 { UNLIMITED } else { flag as usize };
    config.limits = Limits {
        reads_in_flight: limit(args.max_requests_inflight),
        writes_in_flight: limit(args.max_mutating_requests_inflight),
        request: args.request_timeout.max(Duration::from_millis(1)),
        ..config.limits
    };
    config.shutdown_delay = args.shutdown_delay_duration;
    if !args.ignored.0.is_empty() {
        tracing::warn!("flags of upstream's program without effect here: {}", args.ignored.0.join(", "));
    }
}

/// Listens as the flags say, or says that the address is taken.
///
/// # Errors
/// One sentence naming the address.
pub(super) fn listen(args: &ServingArgs) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(args.bind_address, args.secure_port);
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Without it a restarted server would wait for the sockets of its predecessor; upstream has it on in Go's
        // listener, whatever --permit-address-sharing says.
        socket.set_reuseaddr(true)?;
        if args.permit_port_sharing {
            socket.set_reuseport(true)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| format!("cannot listen on {address}"))
}
