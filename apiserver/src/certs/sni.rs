//! Several serving certificates, chosen by the name the client asks for (`--tls-sni-cert-key`).

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::ReloadingCertificate;

/// One certificate and the names it is shown for.
#[derive(Debug)]
pub struct NamedCertificate {
    /// Names, lower case, exact or `*.suffix`; empty = those in the certificate.
    pub names: Vec<String>,
    /// The certificate.
    pub certificate: Arc<ReloadingCertificate>,
}

/// Shows the first certificate whose names fit the one asked for, else the default.
#[derive(Debug)]
pub struct ByName {
    /// In the order in which they are tried.
    pub named: Vec<NamedCertificate>,
    /// Shown when none fits or the client asks for no name.
    pub otherwise: Arc<dyn ResolvesServerCert>,
}

impl ByName {
    fn of(&self, asked: &str) -> Option<Arc<CertifiedKey>> {
        self.named.iter().find_map(|named| {
            let key = named.certificate.current();
            let fits = if named.names.is_empty() {
                key.cert.first().is_some_and(|own| is_for(own, asked))
            } else {
                named.names.iter().any(|pattern| matches(pattern, asked))
            };
            fits.then_some(key)
        })
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|asked| self.of(&asked.to_ascii_lowercase()));
        named.or_else(|| self.otherwise.resolve(hello))
    }
}

fn is_for(own: &CertificateDer<'_>, asked: &str) -> bool {
    let Ok(name) = ServerName::try_from(asked) else { return false };
    EndEntityCert::try_from(own).is_ok_and(|own| own.verify_is_valid_for_subject_name(&name).is_ok())
}

fn matches(pattern: &str, asked: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => asked.split_once('.').is_some_and(|(_, rest)| rest == suffix),
        None => pattern == asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::self_signed;

    #[test]
    fn the_first_that_fits_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = |name: &str| {
            let folder = folder.path().join(name);
            ReloadingCertificate::in_folder(&folder, &[name], &[]).unwrap()
        };
        let (own, given) = (certificate("own.example"), certificate("given.example"));
        let by_name = ByName {
            named: vec![
                NamedCertificate { names: vec![], certificate: own.clone() },
                NamedCertificate { names: vec!["*.wild.example".into()], certificate: given.clone() },
            ],
            otherwise: self_signed(&["localhost"], &[]).unwrap().resolver().unwrap(),
        };
        for (asked, expected) in [
            ("own.example", Some(&own)),
            ("a.wild.example", Some(&given)),
            ("given.example", None),
            ("a.b.wild.example", None),
        ] {
            let shown = by_name.of(asked).map(|key| key.cert.clone());
            assert_eq!(shown, expected.map(|own| own.current().cert.clone()), "{asked}");
        }
    }
}
