//! Which protocol versions, cipher suites and key exchanges are offered, by the names that Kubernetes' flags take
//! (`--tls-min-version`, `--tls-cipher-suites`, `--tls-curve-preferences`).

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};

use crate::error::ApiserverError;

/// The choice. Empty lists stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsChoice {
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    suites: Vec<CipherSuite>,
    groups: Vec<NamedGroup>,
}

/// TLS 1.2 suites that Go knows by name and that are offered here, with our name for them.
const SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    // Go takes the TLS 1.3 names and ignores them: those suites cannot be chosen.
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
];
/// Names that upstream accepts and that offer nothing here: TLS 1.3 suites, which are always on, and suites that are
/// too weak to be built in.
const NOT_OFFERED: [&str; 16] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
];
/// Go's numbers of key exchanges; `None`: known there and not built in here.
const GROUPS: [(i32, Option<NamedGroup>); 7] = [
    (23, Some(NamedGroup::secp256r1)),
    (24, Some(NamedGroup::secp384r1)),
    (25, None),
    (29, Some(NamedGroup::X25519)),
    (4588, None),
    (4587, None),
    (4589, None),
];

impl TlsChoice {
    /// Reads the three flags; empty ones are not given. Returns also what of them has no effect, in words.
    ///
    /// # Errors
    /// A version, suite or key exchange that upstream does not know either, or a choice that leaves nothing.
    pub fn parse(
        min_version: &str,
        suites: &[String],
        curves: &[i32],
    ) -> Result<(Self, Vec<String>), ApiserverError> {
        let bad = |text: String| Err(ApiserverError::Tls(text));
        let mut choice = Self::default();
        let mut remarks = Vec::new();
        match min_version {
            "" | "VersionTLS12" => {}
            "VersionTLS13" => choice.only_tls13 = true,
            "VersionTLS10" | "VersionTLS11" => {
                remarks.push(format!("--tls-min-version={min_version}: nothing below TLS 1.2 is offered"));
            }
            other => return bad(format!("--tls-min-version: unknown tls version {other:?}")),
        }
        let mut weak = Vec::new();
        for name in suites {
            match SUITES.iter().find(|(known, _)| known == name) {
                Some((_, CipherSuite::TLS13_AES_128_GCM_SHA256)) => {}
                Some((_, suite)) => choice.suites.push(*suite),
                None if NOT_OFFERED.contains(&name.as_str()) => weak.push(name.as_str()),
                None => {
                    return bad(format!(
                        "--tls-cipher-suites: Cipher suite {name} not supported or doesn't exist"
                    ));
                }
            }
        }
        let without_tls13: Vec<&str> = weak.into_iter().filter(|name| name.contains("_WITH_")).collect();
        if !without_tls13.is_empty() {
            remarks.push(format!("--tls-cipher-suites: not offered: {}", without_tls13.join(", ")));
        }
        if !suites.is_empty() && choice.suites.is_empty() {
            choice.only_tls13 = true;
        }
        for number in curves {
            match GROUPS.iter().find(|(known, _)| known == number) {
                Some((_, Some(group))) => choice.groups.push(*group),
                Some((_, None)) => remarks.push(format!("--tls-curve-preferences: {number} is not offered")),
                None => return bad(format!("--tls-curve-preferences: unknown curve {number}")),
            }
        }
        if !curves.is_empty() && choice.groups.is_empty() {
            return bad("--tls-curve-preferences: none of them is offered here".to_owned());
        }
        Ok((choice, remarks))
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        if !self.suites.is_empty() {
            // As in Go, the list is about TLS 1.2 only.
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || self.suites.contains(&suite.suite()));
        }
        if !self.groups.is_empty() {
            provider.kx_groups.retain(|group| self.groups.contains(&group.name()));
        }
        Arc::new(provider)
    }

    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        if self.only_tls13 { &NEWEST } else { &BOTH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(version: &str, suites: &[&str], curves: &[i32]) -> Result<(TlsChoice, Vec<String>), String> {
        let suites: Vec<String> = suites.iter().map(|name| (*name).to_owned()).collect();
        TlsChoice::parse(version, &suites, curves).map_err(|error| error.to_string())
    }

    #[test]
    fn upstreams_names_choose() {
        let (choice, remarks) = parse("", &[], &[]).unwrap();
        assert_eq!((choice.versions().len(), remarks.len(), choice), (2, 0, TlsChoice::default()));
        assert!(parse("VersionTLS13", &[], &[]).unwrap().0.only_tls13);
        assert_eq!(parse("VersionTLS10", &[], &[]).unwrap().1.len(), 1);
        let (one, remarks) = parse(
            "VersionTLS12",
            &[
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "TLS_AES_256_GCM_SHA384",
                "TLS_RSA_WITH_AES_128_CBC_SHA",
            ],
            &[29, 23],
        )
        .unwrap();
        assert_eq!(remarks, ["--tls-cipher-suites: not offered: TLS_RSA_WITH_AES_128_CBC_SHA"]);
        let provider = one.provider();
        assert_eq!(provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none()).count(), 1);
        assert_eq!(provider.kx_groups.len(), 2);
        // Only suites that are not offered below TLS 1.3.
        assert!(parse("", &["TLS_RSA_WITH_AES_128_CBC_SHA"], &[]).unwrap().0.only_tls13);
        for (version, suites, curves, named) in [
            ("TLS1.2", &[][..], &[][..], "--tls-min-version"),
            ("", &["RC4"], &[], "Cipher suite RC4 not supported"),
            ("", &[], &[99], "--tls-curve-preferences"),
            ("", &[], &[25], "--tls-curve-preferences"),
        ] {
            assert!(parse(version, suites, curves).unwrap_err().contains(named));
        }
    }
}
