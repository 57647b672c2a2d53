//! The loop that keeps balancers in line with Services and EndpointSlices, and the Service `kubernetes`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::balancer::Balancer;
use super::routes::{self, Route};
use crate::controllers::{SERVICE_LABEL, object};
use crate::registry::kinds::{ENDPOINTSLICES, SERVICES};
use crate::registry::{DeleteOptions, Part, Registry, Status};

/// How often listening is tried again where it failed.
const RETRY: Duration = Duration::from_secs(10);
/// Pause after a change, so that changes that come together are applied together.
const SETTLE: Duration = Duration::from_millis(5);
/// Changes taken from the watches at once.
const BATCH_EVENTS: usize = 64;
/// Component name in events.
const COMPONENT: &str = "flyball-balancer";
/// Name of the API server's own Service.
const API_SERVICE: &str = "kubernetes";

/// What the balancer loop needs to know.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// Addresses of Services: the claimed network's.
    pub services: RangeInclusive<Ipv4Addr>,
    /// Where the API server listens.
    pub api_server: SocketAddr,
}

/// Sets the registry's range of Service addresses, gives Services from another network new ones, and makes sure that the
/// Service `kubernetes` leads to the API server. Call it before pods are run, so that their variables are right; [`run`]
/// does it again, which then changes nothing.
pub fn prepare(registry: &Registry, config: &NetConfig) {
    registry.set_service_addresses(config.services.clone());
    move_services(registry, &config.services);
    if let Err(status) = publish_api_server(registry, config) {
        tracing::warn!(?status, "the service kubernetes cannot be written");
    }
}

/// Balances until shutdown.
pub async fn run(registry: Registry, config: NetConfig, shutdown: CancellationToken) {
    prepare(&registry, &config);
    let mut balancer = Balancer::default();
    let mut complained = BTreeSet::new();
    while !shutdown.is_cancelled() {
        let resources = [&SERVICES, &ENDPOINTSLICES];
        let watches = resources.map(|resource| registry.list_and_watch(resource, None).1.into_stream());
        let mut changes = stream::select_all(watches).ready_chunks(BATCH_EVENTS);
        loop {
            if registry.get(&SERVICES, "default", API_SERVICE).is_none() {
                // Somebody deleted it: pods and clients count on it, so it is made again, as upstream does.
                prepare(&registry, &config);
            }
            let routes = routes::plan(
                &registry.list(&SERVICES, None).items,
                &registry.list(&ENDPOINTSLICES, None).items,
            );
            let failed = balancer.apply(&routes).await;
            complain(&registry, &routes, &failed, &mut complained);
            let batch = tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(RETRY), if !failed.is_empty() => continue,
                batch = changes.next() => batch,
            };
            // An expired watch is opened again; what was missed is read anew above.
            if batch.is_none_or(|batch| batch.iter().any(Result::is_err)) {
                break;
            }
            tokio::time::sleep(SETTLE).await;
        }
    }
    balancer.close().await;
}

/// Tells of each address that cannot be listened on, once.
fn complain(
    registry: &Registry,
    routes: &BTreeMap<SocketAddr, Route>,
    failed: &[(SocketAddr, std::io::Error)],
    complained: &mut BTreeSet<SocketAddr>,
) {
    complained.retain(|address| failed.iter().any(|(failing, _)| failing == address));
    for (address, error) in failed {
        let Some(route) = routes.get(address).filter(|_| complained.insert(*address)) else { continue };
        let why = if error.kind() == std::io::ErrorKind::PermissionDenied {
            "ports below 1024 need a privilege here: give the Service a higher port".to_owned()
        } else {
            error.to_string()
        };
        let (namespace, name) = (&route.namespace, &route.service);
        tracing::warn!(service = %format!("{namespace}/{name}"), %address, %error, "service cannot be listened on");
        if let Some(service) = registry.get(&SERVICES, namespace, name) {
            let message = format!("cannot listen on {address}: {why}");
            registry.record_event(&service, "Warning", "ListenFailed", &message, COMPONENT);
        }
    }
}

/// Gives Services whose addresses lie in another network (claimed by an earlier run) new ones. An address may not
/// change, so the Service is made again; its slices follow.
fn move_services(registry: &Registry, range: &RangeInclusive<Ipv4Addr>) {
    for service in registry.list(&SERVICES, None).items {
        let address = object::text(&service, "/spec/clusterIP").parse::<Ipv4Addr>();
        if address.is_ok_and(|address| !range.contains(&address))
            && let Err(status) = make_again(registry, &service)
        {
            tracing::warn!(
                service = object::name(&service),
                ?status,
                "service cannot be moved to this network"
            );
        }
    }
}

fn make_again(registry: &Registry, service: &Value) -> Result<(), Status> {
    let (namespace, name) = (object::namespace(service), object::name(service));
    let mut fresh = service.clone();
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        object::child(&mut fresh, "metadata").remove(field);
    }
    for field in ["clusterIP", "clusterIPs"] {
        object::child(&mut fresh, "spec").remove(field);
    }
    registry.delete(&SERVICES, namespace, name, DeleteOptions::default())?;
    registry.create(&SERVICES, namespace, fresh)?;
    Ok(())
}

/// The Service `kubernetes` in `default`, and its slice.
fn publish_api_server(registry: &Registry, config: &NetConfig) -> Result<(), Status> {
    let port =
        json!({ "name": "https", "port": 443, "protocol": "TCP", "targetPort": config.api_server.port() });
    let labels = json!({ "component": "apiserver", "provider": API_SERVICE });
    match registry.get(&SERVICES, "default", API_SERVICE) {
        Some(_) => {
            registry.modify(&SERVICES, "default", API_SERVICE, Part::Spec, |service| {
                service["spec"]["ports"] = json!([port]);
            })?;
        }
        None => {
            let first = config.services.start().to_string();
            let mut service = json!({
                "metadata": { "name": API_SERVICE, "labels": labels },
                "spec": { "type": "ClusterIP", "clusterIP": first, "ports": [port] },
            });
            if registry.create(&SERVICES, "default", service.clone()).is_err() {
                // The first address may have gone to another Service.
                object::child(&mut service, "spec").remove("clusterIP");
                registry.create(&SERVICES, "default", service)?;
            }
        }
    }
    let endpoints =
        json!([{ "addresses": [config.api_server.ip().to_string()], "conditions": { "ready": true } }]);
    let ports = json!([{ "name": "https", "port": config.api_server.port(), "protocol": "TCP" }]);
    if registry.get(&ENDPOINTSLICES, "default", API_SERVICE).is_some() {
        registry.modify(&ENDPOINTSLICES, "default", API_SERVICE, Part::Spec, |slice| {
            slice["endpoints"] = endpoints.clone();
            slice["ports"] = ports.clone();
        })?;
        return Ok(());
    }
    let slice = json!({
        "metadata": { "name": API_SERVICE, "labels": { SERVICE_LABEL: API_SERVICE } },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    });
    registry.create(&ENDPOINTSLICES, "default", slice)?;
    Ok(())
}
