//! The TLS half of a connection: whom we believe, and what we show. Files are read again when they change, so renewed
//! certificates take effect without a restart.
#![allow(clippy::disallowed_methods, reason = "an edge: reads certificate and key files")]

use std::sync::Arc;

use flyball_apiserver::certs::Unvouched;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::settings::{HttpSettings, Pem};

/// The texts that a configuration is made of, to see whether one of them changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Material {
    ca: Option<Vec<u8>>,
    shown: Option<(Vec<u8>, Vec<u8>)>,
}

impl Material {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub(crate) fn read(settings: &HttpSettings) -> Result<Material, String> {
        let shown = match &settings.client_certificate {
            Some(shown) => Some((read(&shown.certificate)?, read(&shown.key)?)),
            None => None,
        };
        let ca = settings.ca.as_ref().map(read).transpose()?;
        Ok(Material { ca, shown })
    }

    /// The configuration.
    ///
    /// # Errors
    /// One sentence that says which of the texts cannot be used.
    pub(crate) fn configuration(&self, insecure: bool) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match (insecure, &self.ca) {
            (true, _) => builder.dangerous().with_custom_certificate_verifier(Unvouched::any(provider)),
            (false, Some(pem)) => builder.with_root_certificates(given(pem)?),
            (false, None) => builder.with_root_certificates(of_the_system()?),
        };
        match &self.shown {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| format!("the client key is no PEM key: {error}"))?;
                builder
                    .with_client_auth_cert(certificates(certificate, "the client certificate")?, key)
                    .map_err(|error| format!("client certificate and key do not fit: {error}"))
            }
        }
    }
}

fn read(pem: &Pem) -> Result<Vec<u8>, String> {
    match pem {
        Pem::Text(text) => Ok(text.clone()),
        Pem::File(path) => std::fs::read(path).map_err(|error| format!("{}: {error}", path.display())),
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| format!("{what} is broken PEM: {error}"))?;
    if all.is_empty() { Err(format!("{what} holds no certificate")) } else { Ok(all) }
}

fn given(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "the CA file")? {
        roots.add(certificate).map_err(|error| format!("the CA file: {error}"))?;
    }
    Ok(roots)
}

/// The authorities that the system trusts, as Go's programs take them.
fn of_the_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err("no CA is given, and the system has none: name one, for example with \
                     --prometheus-ca-file"
            .to_owned()),
        false => Ok(roots),
    }
}
