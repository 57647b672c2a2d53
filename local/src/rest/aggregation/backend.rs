//! One server behind an APIService: where it is, how it is trusted, and what it last said it serves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyball_apiserver::discovery::Resource;
use serde_json::Value;

use super::connect::{Connection, Connector, Trust};
use crate::registry::{Registry, json, kinds};

/// What a backend said about itself.
#[derive(Clone, Default)]
pub(super) struct Said {
    pub(super) resources: Vec<Resource>,
    pub(super) schema: Option<Value>,
}

/// A way to one server.
pub(super) struct Backend {
    pub(super) group: String,
    pub(super) version: String,
    /// Higher comes first.
    pub(super) group_priority: i64,
    pub(super) version_priority: i64,
    pub(super) address: SocketAddr,
    /// `<service>.<namespace>.svc`, the name the server's certificate must have.
    pub(super) server_name: String,
    pub(super) trust: Trust,
    connector: Arc<Connector>,
    connection: tokio::sync::Mutex<Option<Connection>>,
    said: Mutex<Option<Said>>,
}

/// Why there is no way: the reason and message of the `Available` condition.
pub(super) struct NoWay {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Backend {
    /// Finds the way an APIService describes.
    pub(super) fn find(
        registry: &Registry,
        connector: &Arc<Connector>,
        service: &Value,
    ) -> Result<Self, NoWay> {
        let at = |pointer: &str| json::text(service, pointer).to_owned();
        let (namespace, name) = (at("/spec/service/namespace"), at("/spec/service/name"));
        Ok(Self {
            group: at("/spec/group"),
            version: at("/spec/version"),
            group_priority: json::int(service, "/spec/groupPriorityMinimum").unwrap_or(0),
            version_priority: json::int(service, "/spec/versionPriority").unwrap_or(0),
            address: endpoint(
                registry,
                &namespace,
                &name,
                json::int(service, "/spec/service/port").unwrap_or(443),
            )?,
            server_name: format!("{name}.{namespace}.svc"),
            trust: trust(service)?,
            connector: connector.clone(),
            connection: tokio::sync::Mutex::new(None),
            said: Mutex::new(None),
        })
    }

    /// Whether this is the way to the same server, trusted in the same way: then the connection can stay.
    pub(super) fn is_same_way(&self, other: &Self) -> bool {
        self.address == other.address
            && self.server_name == other.server_name
            && self.trust == other.trust
            && (self.group_priority, self.version_priority) == (other.group_priority, other.version_priority)
    }

    /// `/apis/<group>/<version>`.
    pub(super) fn path(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }

    /// A living connection, opened when there is none.
    pub(super) async fn connection(&self) -> Result<Connection, String> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        let opened = self.connector.open(self.address, &self.server_name, &self.trust).await?;
        if opened.is_shared() {
            *kept = Some(opened.clone());
        }
        Ok(opened)
    }

    pub(super) fn said(&self) -> Option<Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, said: Said) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }
}

fn trust(service: &Value) -> Result<Trust, NoWay> {
    if service.pointer("/spec/insecureSkipTLSVerify").and_then(Value::as_bool).unwrap_or(false) {
        return Ok(Trust::Anyone);
    }
    let bundle = STANDARD.decode(json::text(service, "/spec/caBundle")).ok();
    let bundle = bundle.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|pem| !pem.is_empty());
    bundle.map(Trust::Bundle).ok_or_else(|| NoWay {
        reason: "FailedDiscoveryCheck",
        message: "spec.caBundle is missing or not PEM: set it, or set spec.insecureSkipTLSVerify".to_owned(),
    })
}

/// A ready endpoint of a Service's port, by upstream's steps and reasons.
fn endpoint(registry: &Registry, namespace: &str, name: &str, port: i64) -> Result<SocketAddr, NoWay> {
    let Some(service) = registry.get(&kinds::SERVICES, namespace, name) else {
        let message = format!("service/{name} in \"{namespace}\" is not present");
        return Err(NoWay { reason: "ServiceNotFound", message });
    };
    let wanted =
        json::items(&service, "/spec/ports").iter().find(|entry| json::int(entry, "/port") == Some(port));
    let Some(wanted) = wanted else {
        let message = format!("service/{name} in \"{namespace}\" is not listening on port {port}");
        return Err(NoWay { reason: "ServicePortError", message });
    };
    let port_name = json::text(wanted, "/name");
    let slices = registry.list(&kinds::ENDPOINTSLICES, Some(namespace)).items;
    let mut slices = slices
        .iter()
        .filter(|slice| {
            slice.pointer("/metadata/labels/kubernetes.io~1service-name").is_some_and(|label| label == name)
        })
        .peekable();
    if slices.peek().is_none() {
        let message = format!("cannot find endpointslices for service/{name} in \"{namespace}\"");
        return Err(NoWay { reason: "EndpointsNotFound", message });
    }
    slices.find_map(|slice| ready_address(slice, port_name)).ok_or_else(|| NoWay {
        reason: "MissingEndpoints",
        message: format!(
            "endpoints for service/{name} in \"{namespace}\" have no addresses with port name \"{port_name}\""
        ),
    })
}

fn ready_address(slice: &Value, port_name: &str) -> Option<SocketAddr> {
    let mut ports = json::items(slice, "/ports").iter();
    let port = json::int(ports.find(|port| json::text(port, "/name") == port_name)?, "/port")?;
    let ready =
        |endpoint: &&Value| endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
    let endpoint = json::items(slice, "/endpoints").iter().find(ready)?;
    let address = json::items(endpoint, "/addresses").first()?.as_str()?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}
