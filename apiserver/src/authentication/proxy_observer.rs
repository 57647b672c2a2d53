//! How proxies fare: notices that the one in front of us is refused, and says why and how to mend it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::PeerCertificates;
use super::client_certificate::who_is_who;
use crate::advice::Advice;

/// The topic under which [`Advice`] holds it.
const TOPIC: &str = "front-proxy";
/// As long as a proxy was accepted this recently, a refused one is somebody who tries.
const RECENTLY: Duration = Duration::from_secs(60);
/// Names are quoted up to this length; the other side chose them.
const NAME_LIMIT: usize = 64;

/// Told of every request that states an identity in headers.
#[derive(Debug)]
pub struct ProxyObserver {
    advice: Advice,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accepted: Option<Instant>,
    complaining: bool,
}

impl ProxyObserver {
    /// Tells `advice`.
    pub fn new(advice: Advice) -> Self {
        Self { advice, state: Mutex::default() }
    }

    pub(super) fn accepted(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.accepted = Some(Instant::now());
        if std::mem::take(&mut state.complaining) {
            self.advice.set(TOPIC, None);
        }
    }

    pub(super) fn refused(&self, peer: &PeerCertificates, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.accepted.is_some_and(|at| at.elapsed() < RECENTLY) {
            return;
        }
        state.complaining = true;
        let names = peer.0.first().and_then(|own| who_is_who(own));
        let certificate = names.map_or_else(String::new, |(subject, issuer)| {
            format!(" (its certificate is of {:?}, issued by {:?})", short(&subject), short(&issuer))
        });
        self.advice.set(
            TOPIC,
            Some(format!(
                "whoever passes requests on with X-Remote-User headers, as kube-apiserver does for aggregated APIs, is \
                 refused with 401: {reason}{certificate}. The CA and names that are believed are \
                 requestheader-client-ca-file and requestheader-allowed-names of ConfigMap \
                 kube-system/extension-apiserver-authentication (or the flags of these names); they must belong to \
                 kube-apiserver's --proxy-client-cert-file"
            )),
        );
    }
}

fn short(name: &str) -> String {
    name.chars().take(NAME_LIMIT).collect()
}
