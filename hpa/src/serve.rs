//! Probes, own metrics and decisions, over TLS with delegated authentication and authorization.

use crate::config::Config;
use crate::controller::Shared;
use crate::decisions::{self, Decisions, OwnAccount};
use crate::error::HpaError;
use flyball_apiserver::discovery::Discovery;
use flyball_apiserver::openapi::OpenApi;
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::probes::{Probe, Probes};
use flyball_apiserver::standard::{Standard, VersionInfo};
use flyball_apiserver::{
    AllowedPaths, Delegated, DelegatedTokens, Limits, Live, Server, ServingTls, certs, delegation,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

/// The loop counts as dead when it has not turned for this long.
const DEAD_AFTER_MS: i64 = 60_000;

fn probes(shared: &Arc<Shared>) -> Probes {
    let mut probes = Probes::new();
    let turning = shared.clone();
    probes.add(&[Probe::Health, Probe::Live], "evaluation-loop", move || {
        let turned_ms = turning.turned_ms.load(Ordering::Acquire);
        let age_ms = turning.steady_ms() - turned_ms;
        if turned_ms != 0 && age_ms > DEAD_AFTER_MS {
            return Err(format!("the loop has not turned for {} s", age_ms / 1000));
        }
        Ok(())
    });
    let synced = shared.clone();
    probes.add(&[Probe::Ready], "watches-synced", move || {
        match (synced.hpas.is_synced(), synced.pods.is_synced()) {
            (true, true) => Ok(()),
            (false, _) => Err("the list of HorizontalPodAutoscalers has not arrived".into()),
            (true, false) => Err("the list of pods has not arrived".into()),
        }
    });
    if shared.config.election.is_some() {
        let electing = shared.clone();
        probes.add(&[Probe::Health, Probe::Live], "leader-election", move || {
            let turned_ms = electing.lease.turned_ms.load(Ordering::Acquire);
            let age_ms = electing.steady_ms() - turned_ms;
            if turned_ms != 0 && age_ms > DEAD_AFTER_MS {
                return Err(format!("the election has not turned for {} s", age_ms / 1000));
            }
            Ok(())
        });
    }
    if shared.config.check_permissions {
        let allowed = shared.clone();
        probes.add(&[Probe::Ready], "permissions", move || allowed.missing.check());
    }
    probes
}

/// Builds the server.
///
/// # Errors
///
/// No certificate, or authentication settings that cannot be read.
pub(crate) async fn server(
    client: kube::Client,
    config: &Config,
    shared: &Arc<Shared>,
    shutdown: &CancellationToken,
) -> Result<Arc<Server>, HpaError> {
    let failed = |error: flyball_apiserver::ApiserverError| HpaError::Serving(error.to_string());
    let tls = match &config.tls {
        Some(tls) => tls.clone(),
        None => {
            let issued = certs::self_signed(&["localhost"], &[]).map_err(failed)?;
            if let Ok(key) = issued.certified_key() {
                shared.lease.serves_by(key.cert.first().map(|der| der.to_vec()));
            }
            ServingTls::new(issued.resolver().map_err(failed)?)
        }
    };
    let mut flags = config.authentication.clone();
    if flags.tokens.is_none() {
        flags.tokens = Some(Arc::new(DelegatedTokens::new(client.clone())));
    }
    let authenticators = delegation::start(client.clone(), flags, shutdown.clone()).await.map_err(failed)?;
    let own = OwnMetrics::new();
    shared.metrics.register(&mut own.registry());
    let metrics = ServerMetrics::register(&own);
    let standard = Standard {
        discovery: Live::new(Discovery::new(&[decisions::group()], "")),
        openapi: Live::new(OpenApi::new("Flyball hpa", decisions::documents())),
        version: VersionInfo::new(1, 34, ""),
        probes: probes(shared),
        metrics: own,
        inner_groups: None,
        inner_paths: Vec::new(),
        inner: Arc::new(Decisions::new(shared.clone())),
    };
    let open = AllowedPaths::new(["/healthz", "/livez", "/readyz", "/healthz/*", "/livez/*", "/readyz/*"]);
    let delegated = Arc::new(Delegated::new(client).with_always_allow(open));
    Ok(Arc::new(Server {
        tls,
        authenticators,
        authorizer: Arc::new(OwnAccount::new(&shared.api, delegated)),
        handler: Arc::new(standard),
        limits: Limits::default(),
        metrics,
    }))
}
