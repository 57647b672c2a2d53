//! Who is asking: the authenticators of an aggregated server, in upstream's order.
//!
//! First the front proxy (kube-apiserver's aggregator), then the client certificate, then the bearer token (of
//! `Authorization`, then that of a browser's WebSocket), then anonymous. The first success wins. A failure is recorded and the next method is tried; if nothing succeeded and
//! anything failed, the answer is 401, and the request is not taken for an anonymous one.

#![allow(clippy::disallowed_methods, reason = "certificates are checked at the time of the request")]

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use http::{HeaderMap, header};
use rustls::pki_types::CertificateDer;

use crate::live::Live;
use crate::user::User;

mod bundle;
mod client_certificate;
mod front_proxy;
pub(crate) mod impersonation;
mod proxy_observer;
mod websocket;

pub use bundle::CaBundle;
pub use client_certificate::ClientCa;
pub(crate) use client_certificate::ends_seconds;
pub use front_proxy::FrontProxy;
pub use proxy_observer::ProxyObserver;

/// Checks bearer tokens.
pub trait TokenVerifier: Send + Sync + 'static {
    /// `Ok(None)`: the token is not valid. `Err`: it could not be checked (the reason goes to the log). Both end in
    /// 401.
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>>;
}

/// Takes what one of several verifiers takes, asked in this order.
#[derive(Clone)]
pub struct AnyOf(pub Vec<Arc<dyn TokenVerifier>>);

impl TokenVerifier for AnyOf {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for verifier in &self.0 {
                match verifier.verify(token).await {
                    Ok(Some(user)) => return Ok(Some(user)),
                    Ok(None) => {}
                    Err(failure) => failures.push(failure),
                }
            }
            if failures.is_empty() { Ok(None) } else { Err(failures.join("; ")) }
        })
    }
}

/// The certificates a client presented, its own first. The TLS handshake proved that it holds the key; who
/// signed them is checked here.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificates(pub Arc<[CertificateDer<'static>]>);

/// The methods in use. One value is one consistent set of settings; see [`LiveAuthenticators`] for swapping.
#[derive(Clone, Default)]
pub struct Authenticators {
    /// Identity headers of a trusted proxy.
    pub front_proxy: Option<FrontProxy>,
    /// Client certificates.
    pub client_ca: Option<ClientCa>,
    /// Bearer tokens.
    pub tokens: Option<Arc<dyn TokenVerifier>>,
    /// Whether a request without credentials goes on as `system:anonymous` (else 401).
    pub anonymous: bool,
}

/// Why a request is 401. For the log; the client learns nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Vec<String>);

impl Authenticators {
    /// Finds the identity of a request and removes the credentials it used from the headers, identity headers
    /// and `Authorization` alike.
    ///
    /// # Errors
    /// The failures of all methods, empty when the request carried no credentials and anonymous ones are refused.
    pub async fn authenticate(
        &self,
        headers: &mut HeaderMap,
        peer: &PeerCertificates,
    ) -> Result<User, Refused> {
        let identified = self.identify(headers, peer).await;
        if identified.is_ok() {
            self.remove_credentials(headers);
        }
        identified
    }

    async fn identify(&self, headers: &HeaderMap, peer: &PeerCertificates) -> Result<User, Refused> {
        let mut failures = Vec::new();
        if let Some(user) = self.identify_by_certificate(headers, peer, SystemTime::now(), &mut failures) {
            return Ok(user.into_authenticated());
        }
        if let Some(tokens) = &self.tokens {
            let by_protocol = websocket::token(headers).unwrap_or_else(|failure| {
                failures.push(failure);
                None
            });
            for token in bearer_token(headers).into_iter().chain(by_protocol.as_deref()) {
                match tokens.verify(token).await {
                    Ok(Some(user)) => return Ok(user.into_authenticated()),
                    Ok(None) => failures.push("invalid bearer token".to_owned()),
                    Err(error) => failures.push(format!("bearer token could not be checked: {error}")),
                }
            }
        }
        if failures.is_empty() && self.anonymous { Ok(User::anonymous()) } else { Err(Refused(failures)) }
    }

    fn identify_by_certificate(
        &self,
        headers: &HeaderMap,
        peer: &PeerCertificates,
        now: SystemTime,
        failures: &mut Vec<String>,
    ) -> Option<User> {
        type Attempt<'a> = Box<dyn Fn() -> Result<Option<User>, String> + 'a>;
        let by_proxy = self
            .front_proxy
            .iter()
            .map(|proxy| -> Attempt<'_> { Box::new(move || proxy.identify(headers, peer, now)) });
        let by_certificate =
            self.client_ca.iter().map(|ca| -> Attempt<'_> { Box::new(move || ca.identify(peer, now)) });
        for attempt in by_proxy.chain(by_certificate) {
            match attempt() {
                Ok(Some(user)) => return Some(user),
                Ok(None) => {}
                Err(failure) => failures.push(failure),
            }
        }
        None
    }

    fn remove_credentials(&self, headers: &mut HeaderMap) {
        headers.remove(header::AUTHORIZATION);
        websocket::remove_token(headers);
        match &self.front_proxy {
            Some(proxy) => proxy.remove_headers(headers),
            None => FrontProxy::remove_standard_headers(headers),
        }
    }

    /// The subjects of all accepted issuers: a hint for clients that choose a certificate by it.
    pub(crate) fn issuer_hints(&self) -> Vec<rustls::DistinguishedName> {
        let proxy = self.front_proxy.iter().flat_map(|proxy| proxy.ca.subjects());
        let client = self.client_ca.iter().flat_map(|ca| ca.bundle.subjects());
        proxy.chain(client).collect()
    }
}

/// The token of `Authorization: Bearer …`; other schemes and empty tokens are no credentials.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let mut words = value.splitn(3, ' ');
    let (scheme, token) = (words.next()?, words.next()?);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Authenticators that can be replaced while the server runs, when the cluster rotates a CA. Open connections get
/// the new settings with their next request, new connections also the new issuer hints.
pub type LiveAuthenticators = Live<Authenticators>;

impl std::fmt::Debug for Authenticators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticators")
            .field("front_proxy", &self.front_proxy)
            .field("client_ca", &self.client_ca)
            .field("tokens", &self.tokens.is_some())
            .field("anonymous", &self.anonymous)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens_are_recognised_as_upstream_does() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc def", Some("abc")),
            ("  Bearer abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer_token(&headers), expected, "{value:?}");
        }
    }
}
