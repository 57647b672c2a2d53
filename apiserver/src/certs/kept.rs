//! A serving certificate with an authority of its own, kept where several replicas can renew it: what to do about it
//! now. Pure; [`secret`](super::secret) does it.
//!
//! The authority's key is never stored: each renewal makes a new authority and signs one certificate with it. The
//! bundle holds the authorities of the present and of the previous certificates for as long as those could still be in
//! use, so that whoever checks the certificate by the bundle accepts the old and the new one while servers change over.

use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertificateAuthority, certified_key};
use crate::error::ApiserverError;

/// How long a certificate and its authority are valid.
pub const VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);
/// How many authorities the bundle holds at most, the newest first.
pub const AUTHORITIES_LIMIT: usize = 4;

/// What is kept, all PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The serving certificate (`tls.crt`).
    pub certificate_pem: String,
    /// Its private key (`tls.key`).
    pub key_pem: String,
    /// The authorities to trust (`ca.crt`).
    pub authorities_pem: String,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("authorities_pem", &self.authorities_pem).finish_non_exhaustive()
    }
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Keep {
        /// When two thirds of the validity are over.
        until: SystemTime,
    },
    /// Make a new pair, see [`renewed`].
    Renew {
        /// For the log.
        why: String,
        /// Whether what is kept is of no use, not only old.
        broken: bool,
    },
}

/// Looks at what is kept.
pub fn decide(kept: &Kept, name: &str, now: SystemTime) -> Step {
    match renewal_time(kept, name, now) {
        Ok(until) if now < until => Step::Keep { until },
        Ok(_) => Step::Renew { why: "two thirds of its validity are over".to_owned(), broken: false },
        Err(why) => Step::Renew { why, broken: true },
    }
}

/// When it is to be renewed, or why it is of no use.
fn renewal_time(kept: &Kept, name: &str, now: SystemTime) -> Result<SystemTime, String> {
    if kept.certificate_pem.is_empty() && kept.key_pem.is_empty() && kept.authorities_pem.is_empty() {
        return Err("it is empty".to_owned());
    }
    let authorities = authorities(&kept.authorities_pem, now);
    if authorities.is_empty() {
        return Err("ca.crt holds no certificate that is still valid".to_owned());
    }
    let pair = certified_key(&kept.certificate_pem, &kept.key_pem, "tls.crt and tls.key");
    let pair = pair.map_err(|error| error.to_string())?;
    let chain = pair.cert.as_slice();
    let (own, intermediates) = chain.split_first().ok_or("tls.crt holds no certificate")?;
    verify(own, intermediates, &authorities, name, now)?;
    let (from, until) = validity(own).ok_or("the validity in tls.crt cannot be read")?;
    Ok(from + until.duration_since(from).unwrap_or_default() * 2 / 3)
}

fn verify(
    own: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'static>],
    name: &str,
    now: SystemTime,
) -> Result<(), String> {
    let refused =
        |error: webpki::Error| format!("tls.crt does not check out against ca.crt for {name}: {error}");
    let anchors: Vec<_> =
        authorities.iter().map(anchor_from_trusted_cert).collect::<Result<_, _>>().map_err(refused)?;
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let certificate = EndEntityCert::try_from(own).map_err(refused)?;
    certificate
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            intermediates,
            UnixTime::since_unix_epoch(since_epoch),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(refused)?;
    let wanted = ServerName::try_from(name).map_err(|_| format!("{name:?} is no server name"))?;
    certificate.verify_is_valid_for_subject_name(&wanted).map_err(refused)
}

/// The authorities of a bundle that are valid at `now`; what cannot be read is left out.
pub fn authorities(bundle_pem: &str, now: SystemTime) -> Vec<CertificateDer<'static>> {
    let readable = CertificateDer::pem_slice_iter(bundle_pem.as_bytes()).filter_map(Result::ok);
    let valid = |der: &CertificateDer<'_>| validity(der).is_some_and(|(_, until)| now < until);
    readable.filter(valid).take(AUTHORITIES_LIMIT).collect()
}

fn validity(der: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let time = |at: i64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at).ok()?));
    let validity = certificate.validity();
    Some((time(validity.not_before.timestamp())?, time(validity.not_after.timestamp())?))
}

/// A new pair and bundle in place of `old`, whose valid authorities stay in the bundle.
///
/// # Errors
/// The name cannot stand in a certificate.
pub fn renewed(old: &Kept, name: &str, now: SystemTime) -> Result<Kept, ApiserverError> {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let authority = CertificateAuthority::valid_for(&format!("{name}-ca@{seconds}"), now, VALIDITY)?;
    let issued = authority.issue_server_for(&[name], &[], now, VALIDITY)?;
    let mut authorities_pem = authority.certificate_pem();
    for previous in authorities(&old.authorities_pem, now).iter().take(AUTHORITIES_LIMIT - 1) {
        authorities_pem.push_str(&pem(previous));
    }
    Ok(Kept { certificate_pem: issued.certificate_pem, key_pem: issued.key_pem, authorities_pem })
}

fn pem(der: &CertificateDer<'_>) -> String {
    const LINE: usize = 64;
    let text = BASE64_STANDARD.encode(der);
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = next;
    }
    out + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests;
