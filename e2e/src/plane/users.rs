//! How a cluster is reached, and as whom.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use flyball_apiserver::certs::Issued;
use serde_json::{Value, json};

use crate::plane::pki::write_private;
use crate::run::run;

/// Longest time to print a kubeconfig.
const VIEW_LIMIT: Duration = Duration::from_secs(30);

/// A cluster's address and the authority to trust, as a kubeconfig holds them.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    entry: Value,
}

impl Cluster {
    /// Of an API server of our own.
    pub fn own(url: &str, authority_pem: &str) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(authority_pem);
        Self { entry: json!({"server": url, "certificate-authority-data": encoded}) }
    }

    /// The current one of a kubeconfig.
    ///
    /// # Panics
    /// When kubectl cannot read it.
    pub fn given(kubectl: &Path, kubeconfig: &Path) -> Self {
        let mut command = Command::new(kubectl);
        command.arg("--kubeconfig").arg(kubeconfig);
        command.args(["config", "view", "--raw", "--minify", "--flatten", "--output=json"]);
        let finished = run(command, "", VIEW_LIMIT);
        assert!(finished.success(), "{} cannot be read: {finished}", kubeconfig.display());
        let view: Value = serde_json::from_str(&finished.stdout).expect("kubectl prints JSON");
        Self { entry: view["clusters"][0]["cluster"].clone() }
    }

    /// `https://…`.
    pub fn url(&self) -> &str {
        self.entry["server"].as_str().unwrap_or_default()
    }

    /// The authority's certificate; empty when the kubeconfig names none.
    pub fn authority_pem(&self) -> String {
        let encoded = self.entry["certificate-authority-data"].as_str().unwrap_or_default();
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
        String::from_utf8(decoded).expect("PEM is text")
    }

    /// Writes a kubeconfig for `user` and `namespace`.
    pub fn write_kubeconfig(&self, path: &Path, user: &Value, namespace: &str) -> PathBuf {
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "plane", "cluster": self.entry}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": "user", "namespace": namespace}}],
            "current-context": "plane",
        });
        write_private(path, &text.to_string());
        path.to_owned()
    }
}

/// The user of a kubeconfig, by client certificate.
pub(super) fn by_certificate(issued: &Issued) -> Value {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({
        "client-certificate-data": encode(&issued.certificate_pem),
        "client-key-data": encode(&issued.key_pem),
    })
}

/// The user of a kubeconfig, by token.
pub(super) fn by_token(token: &str) -> Value {
    json!({"token": token})
}
