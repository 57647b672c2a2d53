//! What the parts around the cluster prove themselves with: certificates, tokens, clients.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyball_apiserver::certs::Issued;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::{Cluster, LocalError, PartNames};
use crate::auth::kubeconfig;
use crate::auth::tokens::Tokens;
use crate::registry::{clock, kinds};

/// How long the tokens of the parts are valid: they are issued anew at each start.
const TOKEN_LIFETIME_MS: i64 = 365 * 24 * 3_600_000;

impl Cluster {
    /// A serving certificate of the cluster's authority for these names and the node's address.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn issue_serving(&self, names: &[&str]) -> Result<Issued, LocalError> {
        Ok(self.identity.ca.issue_server(names, &[IpAddr::V4(self.network.node_address())])?)
    }

    /// The certificates that vouch for this cluster.
    ///
    /// # Errors
    /// The stored certificate cannot be read.
    pub fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, LocalError> {
        let pem = self.identity.ca.certificate_pem();
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| LocalError::Client(error.to_string()))
    }

    /// A client with the administrator's rights.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn admin_client(&self) -> Result<kube::Client, LocalError> {
        let mut config = self.client_config()?;
        config.auth_info.client_certificate_data =
            Some(STANDARD.encode(&self.identity.admin.certificate_pem));
        config.auth_info.client_key_data = Some(STANDARD.encode(&self.identity.admin.key_pem).into());
        client(config)
    }

    /// A client that is the service account `name` of the parts' namespace.
    ///
    /// # Errors
    /// The account is missing, or the client cannot be set up.
    pub fn service_account_client(&self, name: &str) -> Result<kube::Client, LocalError> {
        let mut config = self.client_config()?;
        config.auth_info.token = Some(self.service_account_token(name)?.into());
        client(config)
    }

    /// A token of the service account `name` of the parts' namespace.
    ///
    /// # Errors
    /// The account is missing.
    pub fn service_account_token(&self, name: &str) -> Result<String, LocalError> {
        let namespace = PartNames::NAMESPACE;
        let account = self.registry.get(&kinds::SERVICEACCOUNTS, namespace, name);
        let uid =
            account.as_ref().and_then(|account| account.pointer("/metadata/uid")).and_then(Value::as_str);
        let uid = uid.ok_or_else(|| LocalError::Client(format!("the service account {name} is missing")))?;
        let tokens = Tokens::new(self.identity.token_key, self.registry.clone());
        Ok(tokens.issue(namespace, name, uid, &[], clock::now_ms() + TOKEN_LIFETIME_MS))
    }

    fn client_config(&self) -> Result<kube::Config, LocalError> {
        let url = kubeconfig::server_url(self.address);
        let url = url.parse().map_err(|error| LocalError::Client(format!("{url}: {error}")))?;
        let mut config = kube::Config::new(url);
        // A part decides by itself when to ask again; the library would hold a 503 back for minutes.
        config.default_retry = false;
        config.root_cert = Some(self.authorities()?.into_iter().map(|der| der.to_vec()).collect());
        Ok(config)
    }
}

fn client(config: kube::Config) -> Result<kube::Client, LocalError> {
    kube::Client::try_from(config).map_err(|error| LocalError::Client(error.to_string()))
}
