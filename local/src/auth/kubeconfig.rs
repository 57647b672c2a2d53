//! The kubeconfig: everything kubectl needs, certificates embedded, in one file only its owner can read.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::identity::{AuthError, Identity, write_private};

/// Name of the cluster, its user and its context.
pub const NAME: &str = "flyball-local";

/// The text of a kubeconfig for the admin of this cluster. JSON, which is also YAML.
pub fn text(identity: &Identity, address: SocketAddr) -> String {
    let encode = |pem: &str| STANDARD.encode(pem);
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {
            "server": server_url(address),
            "certificate-authority-data": encode(&identity.ca.certificate_pem()),
        }}],
        "users": [{"name": NAME, "user": {
            "client-certificate-data": encode(&identity.admin.certificate_pem),
            "client-key-data": encode(&identity.admin.key_pem),
        }}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": "default"}}],
        "current-context": NAME,
        "preferences": {},
    });
    format!("{config:#}\n")
}

/// Where clients on this machine reach the server: an unspecified address becomes the loopback one.
pub fn server_url(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::IpAddr::from([127, 0, 0, 1]));
    }
    format!("https://{address}")
}

/// Writes the kubeconfig (mode 0600), replacing an old one in one step.
pub fn write(path: &Path, identity: &Identity, address: SocketAddr) -> Result<(), AuthError> {
    write_private(path, text(identity, address).as_bytes())
}
