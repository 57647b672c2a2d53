//! Why a certificate was refused, and what helps: one sentence for people. Pure.

use std::sync::{Mutex, PoisonError};

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::Trust;
use crate::target::Kind;

/// How many of a certificate's names a text lists.
const NAMES_LISTED: usize = 5;

/// What a certificate that was refused says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presented {
    /// Common name of the issuer.
    pub issuer: String,
    /// DNS names and IP addresses it is for.
    pub names: Vec<String>,
    /// Whether there is an IP address among them.
    pub has_address: bool,
}

impl Presented {
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Presented> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut presented = Presented { issuer: common_name(certificate.issuer()), ..Presented::default() };
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        for name in alternatives.map(|names| names.value.general_names.as_slice()).unwrap_or_default() {
            match name {
                GeneralName::DNSName(name) => presented.names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    presented.has_address = true;
                    presented.names.extend(address(bytes));
                }
                _ => {}
            }
        }
        Some(presented)
    }
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> String {
    name.iter_common_name().find_map(|name| name.as_str().ok()).unwrap_or("").to_owned()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

/// The last certificate that a verifier refused.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<Option<Presented>>);

impl Refused {
    pub(crate) fn note(&self, der: &CertificateDer<'_>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Presented::of(der);
    }

    pub(crate) fn take(&self) -> Presented {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

/// Says what is wrong with the certificate of `host` and how to mend it.
pub(crate) fn explain(
    kind: Kind,
    trust: &Trust,
    host: &str,
    error: &CertificateError,
    shown: &Presented,
) -> String {
    use CertificateError as E;
    let fault = match error {
        E::UnknownIssuer | E::BadSignature => {
            format!("it is issued by {:?}, which is not {}", shown.issuer, trusted(trust))
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => wrong_name(kind, trust, host, shown),
        E::Expired | E::ExpiredContext { .. } => format!("it has expired ({error})"),
        E::NotValidYet | E::NotValidYetContext { .. } => format!("it is not valid yet ({error})"),
        other => return other.to_string(),
    };
    format!("{fault}; {}", cure(kind, trust, error, shown))
}

fn trusted(trust: &Trust) -> String {
    match trust {
        Trust::File(path) => format!("among the authorities of {}", path.display()),
        Trust::Roots(_) => "the certificate-authority of the kubeconfig".to_owned(),
        Trust::Live(live) => {
            let roots = live.get().unwrap_or_default();
            let names: Vec<String> =
                roots.iter().filter_map(subject).map(|name| format!("{name:?}")).collect();
            format!("among the authorities of {} ({})", live.source(), names.join(", "))
        }
        Trust::Insecure => "checked".to_owned(),
    }
}

fn subject(der: &CertificateDer<'static>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(common_name(certificate.subject()))
}

fn wrong_name(kind: Kind, trust: &Trust, host: &str, shown: &Presented) -> String {
    let listed: Vec<&str> = shown.names.iter().take(NAMES_LISTED).map(String::as_str).collect();
    let names = if listed.is_empty() { "no name at all".to_owned() } else { listed.join(", ") };
    match (kind, trust) {
        (Kind::Collector, Trust::Live(_)) => format!("it is for {names} and not for the name of collectors"),
        _ if !shown.has_address && host.parse::<std::net::IpAddr>().is_ok() => {
            format!("it names no IP address, it is for {names}, and {host} was dialled")
        }
        _ => format!("it is for {names} and not for {host}"),
    }
}

fn cure(kind: Kind, trust: &Trust, error: &CertificateError, shown: &Presented) -> &'static str {
    use CertificateError as E;
    let name = matches!(error, E::NotValidForName | E::NotValidForNameContext { .. });
    let time = matches!(
        error,
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. }
    );
    match (kind, trust) {
        (_, _) if time => {
            "compare the clocks of the node and of this machine; a certificate that is renewed in a file is taken by \
             itself, so see who renews it"
        }
        (Kind::Collector, Trust::Live(_)) => {
            "the collector serves another certificate than the one in that Secret: see that its pod mounts tls.crt and \
             tls.key of it (--tls-cert-file, --tls-private-key-file), and that no other cluster's collector answers at \
             this address"
        }
        (Kind::Collector, _) => {
            "collectors are verified like kubelets here: give --collector-certificate-secret=NAMESPACE/NAME, which \
             makes and trusts a certificate for them"
        }
        (Kind::Kubelet, _) if name && !shown.has_address => {
            "give kubelets certificates with their addresses (serverTLSBootstrap: true in their configuration, then \
             approve their CSRs), or dial names with --kubelet-preferred-address-types=Hostname,InternalDNS,InternalIP, \
             or do not verify with --kubelet-insecure-tls"
        }
        (Kind::Kubelet, _) => {
            "give kubelets certificates of the cluster's CA (serverTLSBootstrap: true in their configuration, then \
             approve their CSRs), or name their CA with --kubelet-certificate-authority, or do not verify with \
             --kubelet-insecure-tls"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::LiveRoots;

    #[test]
    fn each_fault_has_its_cure() {
        let live = || Trust::Live(LiveRoots::new("Secret ns/tls"));
        let file = || Trust::File("/ca.crt".into());
        let shown = |names: &[&str], has_address| Presented {
            issuer: "some-ca".to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            has_address,
        };
        for (kind, trust, host, error, shown, expected) in [
            (
                Kind::Kubelet,
                file(),
                "10.0.0.1",
                CertificateError::UnknownIssuer,
                shown(&["n1"], false),
                [
                    "issued by \"some-ca\", which is not among the authorities of /ca.crt",
                    "--kubelet-certificate-authority",
                ],
            ),
            (
                Kind::Kubelet,
                file(),
                "10.0.0.1",
                CertificateError::NotValidForName,
                shown(&["n1"], false),
                [
                    "it names no IP address, it is for n1, and 10.0.0.1 was dialled",
                    "--kubelet-preferred-address-types=Hostname",
                ],
            ),
            (
                Kind::Kubelet,
                file(),
                "n2",
                CertificateError::NotValidForName,
                shown(&["n1", "10.0.0.1"], true),
                ["it is for n1, 10.0.0.1 and not for n2", "--kubelet-insecure-tls"],
            ),
            (
                Kind::Collector,
                live(),
                "10.0.0.1",
                CertificateError::UnknownIssuer,
                shown(&["flyball-collector"], false),
                ["not among the authorities of Secret ns/tls", "see that its pod mounts tls.crt"],
            ),
            (
                Kind::Collector,
                file(),
                "10.0.0.1",
                CertificateError::UnknownIssuer,
                shown(&[], false),
                ["issued by \"some-ca\"", "--collector-certificate-secret"],
            ),
            (
                Kind::Collector,
                live(),
                "10.0.0.1",
                CertificateError::Expired,
                shown(&[], false),
                ["it has expired", "clocks"],
            ),
        ] {
            let told = explain(kind, &trust, host, &error, &shown);
            assert!(expected.iter().all(|part| told.contains(part)), "{told}");
        }
    }
}
