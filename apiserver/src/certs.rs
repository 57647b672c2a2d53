//! Certificates: a small authority, serving certificates, and (in `files`) certificate files that are re-read.

#![allow(clippy::disallowed_methods, reason = "certificates are dated from the clock")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

use crate::error::ApiserverError;

mod files;
pub mod kept;
pub mod secret;
pub mod sni;
mod unvouched;

pub use files::{RELOAD_INTERVAL, ReloadingCertificate};
pub use unvouched::Unvouched;

/// Certificates begin this long before now, so that a client whose clock is behind accepts them.
const BACKDATED: Duration = Duration::from_secs(3600);
/// Validity of an authority.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Validity of what it signs, and of self-signed certificates (upstream: one year).
const LEAF_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// Object identifier of `organizationName`. The library keeps one value per attribute type; the same type given
/// by number counts as another, which makes room for a second organization.
const ORGANIZATION_OID: [u64; 4] = [2, 5, 4, 10];
/// How many organizations (groups) a client certificate can carry here.
pub const ORGANIZATIONS_LIMIT: usize = 2;

/// A certificate with its private key, both as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, followed by its issuers if there are any to send along.
    pub certificate_pem: String,
    /// The private key (PKCS#8).
    pub key_pem: String,
}

impl Issued {
    /// The pair as TLS uses it.
    ///
    /// # Errors
    /// The certificate or key cannot be read, or they do not belong together.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, ApiserverError> {
        certified_key(&self.certificate_pem, &self.key_pem, "issued certificate")
    }

    /// A resolver that always serves this certificate.
    ///
    /// # Errors
    /// As [`Issued::certified_key`].
    pub fn resolver(&self) -> Result<Arc<dyn ResolvesServerCert>, ApiserverError> {
        Ok(Arc::new(rustls::sign::SingleCertAndKey::from(self.certified_key()?)))
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// A certificate authority of our own.
pub struct CertificateAuthority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// Makes a new authority, valid for ten years.
    ///
    /// # Errors
    /// The library could not make it.
    pub fn new(common_name: &str) -> Result<Self, ApiserverError> {
        Self::valid_for(common_name, SystemTime::now(), AUTHORITY_VALIDITY)
    }

    /// Makes a new authority that is valid from shortly before `now` until `validity` after it.
    ///
    /// # Errors
    /// The library could not make it.
    pub fn valid_for(common_name: &str, now: SystemTime, validity: Duration) -> Result<Self, ApiserverError> {
        let failed = failed(common_name);
        let key = KeyPair::generate().map_err(&failed)?;
        let mut params = params(common_name, now, validity);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key).map_err(&failed)?.pem();
        Ok(Self { certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// Reads an authority that was saved.
    ///
    /// # Errors
    /// The certificate or its key cannot be read.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, ApiserverError> {
        let failed = failed("saved certificate authority");
        let key = KeyPair::from_pem(key_pem).map_err(&failed)?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(&failed)?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The authority's certificate, for those who shall trust it.
    pub fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    /// The authority's private key, for saving.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A serving certificate for these names and addresses, valid for a year.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn issue_server(&self, names: &[&str], ips: &[IpAddr]) -> Result<Issued, ApiserverError> {
        self.issue_server_for(names, ips, SystemTime::now(), LEAF_VALIDITY)
    }

    /// A serving certificate that is valid from shortly before `now` until `validity` after it.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn issue_server_for(
        &self,
        names: &[&str],
        ips: &[IpAddr],
        now: SystemTime,
        validity: Duration,
    ) -> Result<Issued, ApiserverError> {
        let common_name = names.first().copied().unwrap_or("server");
        let mut params = params(common_name, now, validity);
        params.subject_alt_names = subject_alt_names(common_name, names, ips)?;
        self.issue(common_name, params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate: the user is `common_name`, the groups are `organizations`.
    ///
    /// # Errors
    /// More than [`ORGANIZATIONS_LIMIT`] organizations.
    pub fn issue_client(&self, common_name: &str, organizations: &[&str]) -> Result<Issued, ApiserverError> {
        self.issue_client_for(common_name, organizations, SystemTime::now(), LEAF_VALIDITY)
    }

    /// A client certificate that is valid from shortly before `now` until `validity` after it.
    ///
    /// # Errors
    /// As [`issue_client`](Self::issue_client).
    pub fn issue_client_for(
        &self,
        common_name: &str,
        organizations: &[&str],
        now: SystemTime,
        validity: Duration,
    ) -> Result<Issued, ApiserverError> {
        let mut params = params(common_name, now, validity);
        let types = [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION_OID.to_vec())];
        if organizations.len() > types.len() {
            let reason = format!("{} organizations, at most {ORGANIZATIONS_LIMIT}", organizations.len());
            return Err(ApiserverError::Certificate { subject: common_name.to_owned(), reason });
        }
        for (kind, organization) in types.into_iter().zip(organizations) {
            params.distinguished_name.push(kind, *organization);
        }
        self.issue(common_name, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        common_name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Issued, ApiserverError> {
        let failed = failed(common_name);
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(&failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(&failed)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// A serving certificate without an authority that outlives it, as upstream makes one when none is given:
/// signed by a throw-away `localhost-ca`, which is sent along.
///
/// # Errors
/// A name that cannot stand in a certificate.
pub fn self_signed(names: &[&str], ips: &[IpAddr]) -> Result<Issued, ApiserverError> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let authority = CertificateAuthority::new(&format!("localhost-ca@{seconds}"))?;
    let mut issued = authority.issue_server(names, ips)?;
    issued.certificate_pem.push_str(&authority.certificate_pem);
    Ok(issued)
}

fn failed(subject: &str) -> impl Fn(rcgen::Error) -> ApiserverError + use<> {
    let subject = subject.to_owned();
    move |error| ApiserverError::Certificate { subject: subject.clone(), reason: error.to_string() }
}

fn params(common_name: &str, now: SystemTime, validity: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch.saturating_sub(BACKDATED);
    params.not_after = epoch + since_epoch + validity;
    params
}

fn subject_alt_names(subject: &str, names: &[&str], ips: &[IpAddr]) -> Result<Vec<SanType>, ApiserverError> {
    let dns = names.iter().map(|name| (*name).try_into().map(SanType::DnsName));
    let ips = ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)));
    dns.chain(ips).collect::<Result<_, _>>().map_err(failed(subject))
}

/// Reads a chain and its key.
fn certified_key(chain_pem: &str, key_pem: &str, subject: &str) -> Result<Arc<CertifiedKey>, ApiserverError> {
    let failed = |reason: String| ApiserverError::Certificate { subject: subject.to_owned(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| failed(error.to_string()))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(Arc::new).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::FromDer;

    #[test]
    fn a_saved_authority_signs_what_the_original_accepts() {
        let authority = CertificateAuthority::new("cluster-ca").unwrap();
        let again =
            CertificateAuthority::from_pem(&authority.certificate_pem(), &authority.key_pem()).unwrap();
        let issued = again.issue_client("admin", &["system:masters", "ops"]).unwrap();
        let key = issued.certified_key().unwrap();
        let (_, certificate) = x509_parser::prelude::X509Certificate::from_der(&key.cert[0]).unwrap();
        let groups: Vec<_> = certificate.subject().iter_organization().map(|o| o.as_str().unwrap()).collect();
        assert_eq!(groups, ["system:masters", "ops"]);
        assert_eq!(certificate.issuer().iter_common_name().next().unwrap().as_str().unwrap(), "cluster-ca");
        assert!(authority.issue_client("admin", &["a", "b", "c"]).is_err());
    }
}
