//! A bundle of CA certificates and the check of a client's chain against it.

use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::PeerCertificates;
use crate::error::ApiserverError;

/// Trusted issuers of client certificates. Holds at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaBundle {
    anchors: Vec<TrustAnchor<'static>>,
}

impl CaBundle {
    /// Reads a PEM bundle. `source_name` says where the text came from, for the error.
    ///
    /// # Errors
    /// No certificate in the text, or one that cannot be read.
    pub fn from_pem(pem: &str, source_name: &str) -> Result<Self, ApiserverError> {
        let failed = |reason: String| ApiserverError::Bundle { source_name: source_name.to_owned(), reason };
        let mut anchors = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            let anchor = anchor_from_trusted_cert(&certificate).map_err(|error| failed(error.to_string()))?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() {
            return Err(failed("it holds no certificate".to_owned()));
        }
        Ok(Self { anchors })
    }

    /// Subjects of the issuers.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = rustls::DistinguishedName> + '_ {
        self.anchors.iter().map(|anchor| rustls::DistinguishedName::in_sequence(&anchor.subject))
    }

    /// Checks that the peer's chain leads to this bundle, is valid at `now` and may be used by clients. Returns
    /// the peer's own certificate; `None` if it presented none.
    ///
    /// # Errors
    /// A chain that does not check out, in words for the log.
    pub(crate) fn verify<'a>(
        &self,
        peer: &'a PeerCertificates,
        now: SystemTime,
    ) -> Result<Option<&'a CertificateDer<'static>>, String> {
        let Some((own, intermediates)) = peer.0.split_first() else { return Ok(None) };
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let refused = |error: webpki::Error| format!("client certificate: {error}");
        let end_entity = EndEntityCert::try_from(own).map_err(refused)?;
        end_entity
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.anchors,
                intermediates,
                UnixTime::since_unix_epoch(since_epoch),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(refused)?;
        Ok(Some(own))
    }
}
