//! Identity that a trusted proxy states in headers: how kube-apiserver's aggregator passes users on.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use super::client_certificate::common_name;
use super::proxy_observer::ProxyObserver;
use super::{CaBundle, PeerCertificates};
use crate::query::decode;
use crate::user::User;

/// Which proxies are trusted, and where they state the identity. Header names compare without case.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// Issuers of the proxy's client certificate.
    pub ca: CaBundle,
    /// Common names the certificate may have; empty = any.
    pub allowed_names: Vec<String>,
    /// Headers that may hold the user name; the first non-empty one counts.
    pub username_headers: Vec<String>,
    /// Headers whose values are all groups.
    pub group_headers: Vec<String>,
    /// Prefixes of headers whose rest is a key of extra attributes.
    pub extra_prefixes: Vec<String>,
    /// Headers that may hold the UID. Empty = a UID header is not believed.
    pub uid_headers: Vec<String>,
    /// Is told how proxies fare, so that a wrong CA does not stay a riddle.
    pub observer: Option<Arc<ProxyObserver>>,
}

const STANDARD_HEADERS: [&str; 3] = ["x-remote-user", "x-remote-group", "x-remote-uid"];
const STANDARD_EXTRA_PREFIX: &str = "x-remote-extra-";

impl FrontProxy {
    /// Upstream's defaults when only a CA is given: any name, `X-Remote-*` headers, no UID header.
    pub fn standard(ca: CaBundle) -> Self {
        Self {
            ca,
            allowed_names: Vec::new(),
            username_headers: vec![STANDARD_HEADERS[0].into()],
            group_headers: vec![STANDARD_HEADERS[1].into()],
            extra_prefixes: vec![STANDARD_EXTRA_PREFIX.into()],
            uid_headers: Vec::new(),
            observer: None,
        }
    }

    /// `None`: no certificate, or no user stated. `Err`: a certificate we do not trust as a proxy.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        peer: &PeerCertificates,
        now: SystemTime,
    ) -> Result<Option<User>, String> {
        let identified =
            self.trusted(peer, now).map(|trusted| trusted.then(|| self.stated_user(headers)).flatten());
        if let Some(observer) = &self.observer {
            match &identified {
                Ok(Some(_)) => observer.accepted(),
                // Whoever states no user is no proxy.
                _ if first(headers, &self.username_headers).is_none() => {}
                Ok(None) => observer.refused(peer, "it shows no client certificate"),
                Err(reason) => observer.refused(peer, reason),
            }
        }
        identified
    }

    /// Whether the peer showed the certificate of a trusted proxy; `false` if it showed none.
    fn trusted(&self, peer: &PeerCertificates, now: SystemTime) -> Result<bool, String> {
        let verified = self.ca.verify(peer, now).map_err(|error| format!("front proxy: {error}"))?;
        let Some(certificate) = verified else { return Ok(false) };
        if !self.allowed_names.is_empty() {
            let name = common_name(certificate)?;
            if !self.allowed_names.contains(&name) {
                return Err(format!("front proxy: {name:?} is not an allowed name"));
            }
        }
        Ok(true)
    }

    fn stated_user(&self, headers: &HeaderMap) -> Option<User> {
        let mut user = User::new(first(headers, &self.username_headers)?, all(headers, &self.group_headers));
        user.uid = first(headers, &self.uid_headers);
        for (name, value) in headers {
            let Some(key) = self.extra_key(name.as_str()) else { continue };
            user.extra.entry(key).or_default().push(text(value));
        }
        Some(user)
    }

    /// The key of an extra header: the rest after the prefix, lower case, percent-decoded. A key that is not
    /// properly encoded is kept as it is, so that nothing stated gets lost.
    fn extra_key(&self, header: &str) -> Option<String> {
        let prefix = self.extra_prefixes.iter().find(|prefix| starts_with(header, prefix))?;
        let key = header[prefix.len()..].to_ascii_lowercase();
        Some(decode(&key, false).unwrap_or(key))
    }

    /// Removes every header that could state an identity, the standard ones included.
    pub(super) fn remove_headers(&self, headers: &mut HeaderMap) {
        let named = self.username_headers.iter().chain(&self.group_headers).chain(&self.uid_headers);
        for name in named {
            headers.remove(name.as_str());
        }
        remove_prefixed(headers, self.extra_prefixes.iter().map(String::as_str));
        Self::remove_standard_headers(headers);
    }

    pub(super) fn remove_standard_headers(headers: &mut HeaderMap) {
        for name in STANDARD_HEADERS {
            headers.remove(name);
        }
        remove_prefixed(headers, [STANDARD_EXTRA_PREFIX]);
    }
}

fn starts_with(header: &str, prefix: &str) -> bool {
    header.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn remove_prefixed<'a>(headers: &mut HeaderMap, prefixes: impl IntoIterator<Item = &'a str>) {
    for prefix in prefixes {
        let names: Vec<_> =
            headers.keys().filter(|name| starts_with(name.as_str(), prefix)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// The first non-empty value among the named headers; of a repeated header only the first value counts.
fn first(headers: &HeaderMap, names: &[String]) -> Option<String> {
    let values = names.iter().filter_map(|name| headers.get(name.as_str()));
    values.map(text).find(|value| !value.is_empty())
}

fn all(headers: &HeaderMap, names: &[String]) -> Vec<String> {
    let values = names.iter().flat_map(|name| headers.get_all(name.as_str()));
    values.map(text).filter(|value| !value.is_empty()).collect()
}

/// Header bytes as text; the proxy's certificate vouches for them, so odd bytes are replaced, not refused.
fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_keys_are_lower_case_and_decoded() {
        let ca = crate::certs::CertificateAuthority::new("ca").unwrap();
        let proxy = FrontProxy::standard(CaBundle::from_pem(&ca.certificate_pem(), "test").unwrap());
        for (header, expected) in [
            ("x-remote-extra-scopes", Some("scopes")),
            ("X-Remote-Extra-Example.Com%2fKey", Some("example.com/key")),
            ("x-remote-extra-bad%zz", Some("bad%zz")),
            ("x-remote-extra-", Some("")),
            ("x-remote-user", None),
        ] {
            assert_eq!(proxy.extra_key(header).as_deref(), expected, "{header}");
        }
    }
}
