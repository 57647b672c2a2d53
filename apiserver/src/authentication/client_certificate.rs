//! Identity from a client certificate: user = common name, groups = organizations.

use std::time::SystemTime;

use sha2::{Digest, Sha256};
use x509_parser::der_parser::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::{CaBundle, PeerCertificates};
use crate::user::User;

/// Extra key under which Kubernetes records which credential was used.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// Subject attribute that carries the user's UID.
const UID_ATTRIBUTE: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// Accepts client certificates signed by a bundle.
#[derive(Clone, Debug)]
pub struct ClientCa {
    /// The trusted issuers.
    pub bundle: CaBundle,
}

impl ClientCa {
    pub(super) fn identify(&self, peer: &PeerCertificates, now: SystemTime) -> Result<Option<User>, String> {
        match self.bundle.verify(peer, now)? {
            Some(certificate) => user_of(certificate),
            None => Ok(None),
        }
    }
}

/// The common name of a certificate (the last one, as Go takes it); empty if there is none.
pub(super) fn common_name(der: &[u8]) -> Result<String, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    Ok(subject_name(certificate.subject()))
}

/// When a certificate ends, in seconds since 1970; `None` if it cannot be read.
pub(crate) fn ends_seconds(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The common names of a certificate and of its issuer, for texts.
pub(super) fn who_is_who(der: &[u8]) -> Option<(String, String)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some((subject_name(certificate.subject()), subject_name(certificate.issuer())))
}

fn subject_name(subject: &X509Name<'_>) -> String {
    let names = subject.iter_common_name().filter_map(|name| name.as_str().ok());
    names.last().unwrap_or("").to_owned()
}

/// `None` when the certificate has no common name: it then identifies nobody.
fn user_of(der: &[u8]) -> Result<Option<User>, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let subject = certificate.subject();
    let name = subject_name(subject);
    if name.is_empty() {
        return Ok(None);
    }
    let organizations = subject.iter_organization().filter_map(|name| name.as_str().ok());
    let mut user = User::new(name, organizations);
    user.uid = subject.iter_by_oid(&UID_ATTRIBUTE).find_map(|uid| uid.as_str().ok().map(str::to_owned));
    let digest: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={digest}")]);
    Ok(Some(user))
}
