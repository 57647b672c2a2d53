//! Keeps a serving certificate and its authorities in a Secret: makes it, renews it, follows it. Any number of replicas
//! may do so at once; the API server lets one of them win and the others take what it wrote.
//!
//! Permissions needed: `get`, `watch` and `update` on that one Secret. It must exist, with or without data.

#![allow(clippy::disallowed_methods, reason = "an edge: talks to the API server and reads the clock")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use super::kept::{Kept, Step, authorities, decide, renewed};
use crate::advice::Advice;
use crate::api_error;

/// The topic under which [`Advice`] holds what is wrong with the Secret.
pub const TOPIC: &str = "collector-certificate";
/// Keys of the Secret.
const KEYS: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];
/// Shortest and longest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Two of our own writes are at least so far apart, so that two programs that disagree cannot keep one another busy.
const WRITE_PAUSE: Duration = Duration::from_secs(30);
/// The server ends a watch after so many seconds; then the Secret is read again.
const WATCH_SECONDS: u32 = 290;

/// Which Secret, and for whom its certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSecret {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// DNS name in the certificate.
    pub server_name: String,
}

/// The authorities to trust from now on, or why there are none.
pub type Authorities = Result<Vec<CertificateDer<'static>>, String>;

impl KeptSecret {
    /// Keeps the Secret until `shutdown` and tells `trust` the authorities whenever they change.
    pub async fn keep(
        self,
        client: kube::Client,
        advice: Advice,
        trust: impl Fn(Authorities) + Send + Sync,
        shutdown: CancellationToken,
    ) {
        let api = Api::namespaced(client, &self.namespace);
        let mut keeper = Keeper { api, secret: self, advice, trust, failures: 0, last_write: None };
        shutdown.run_until_cancelled(keeper.run()).await;
    }

    fn place(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.name)
    }
}

struct Keeper<F> {
    api: Api<Secret>,
    secret: KeptSecret,
    advice: Advice,
    trust: F,
    failures: u32,
    last_write: Option<tokio::time::Instant>,
}

/// What ended one look at the Secret.
enum Next {
    /// Look again at once.
    Again,
    /// Look again after a pause.
    Later,
}

impl<F: Fn(Authorities) + Send + Sync> Keeper<F> {
    async fn run(&mut self) {
        let mut trusted = false;
        loop {
            let next = match self.look(&mut trusted).await {
                Ok(next) => next,
                Err(reason) => {
                    if !trusted {
                        (self.trust)(Err(reason.clone()));
                    }
                    self.advice.set(TOPIC, Some(reason));
                    Next::Later
                }
            };
            match next {
                Next::Again => self.failures = 0,
                Next::Later => {
                    let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(10));
                    self.failures += 1;
                    tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    async fn look(&mut self, trusted: &mut bool) -> Result<Next, String> {
        let place = self.secret.place();
        let secret = self.api.get(&self.secret.name).await.map_err(|error| self.failed("get", &error))?;
        let kept = kept_of(&secret);
        let now = SystemTime::now();
        match decide(&kept, &self.secret.server_name, now) {
            Step::Keep { until } => {
                (self.trust)(Ok(authorities(&kept.authorities_pem, now)));
                *trusted = true;
                self.advice.set(TOPIC, None);
                self.wait_for_change(&secret, until).await;
                Ok(Next::Again)
            }
            Step::Renew { why, broken } => {
                if !broken {
                    (self.trust)(Ok(authorities(&kept.authorities_pem, now)));
                    *trusted = true;
                }
                if let Some(at) = self.last_write
                    && at.elapsed() < WRITE_PAUSE
                {
                    tracing::warn!(secret = place, why, "the certificate just written is of no use already");
                    tokio::time::sleep(WRITE_PAUSE - at.elapsed()).await;
                    return Ok(Next::Again);
                }
                if broken && kept != Kept::default() {
                    tracing::warn!(secret = place, why, "content of no use, replacing it");
                } else {
                    tracing::info!(secret = place, why, "making a new certificate");
                }
                let new = renewed(&kept, &self.secret.server_name, now).map_err(|error| error.to_string())?;
                // Trusted before it is written, so that no server is ahead of us.
                (self.trust)(Ok(authorities(&new.authorities_pem, now)));
                *trusted = true;
                self.write(secret, new).await
            }
        }
    }

    async fn write(&mut self, mut secret: Secret, new: Kept) -> Result<Next, String> {
        let data = secret.data.get_or_insert_with(BTreeMap::new);
        for (key, pem) in KEYS.into_iter().zip([new.certificate_pem, new.key_pem, new.authorities_pem]) {
            data.insert(key.to_owned(), ByteString(pem.into_bytes()));
        }
        match self.api.replace(&self.secret.name, &PostParams::default(), &secret).await {
            Ok(_) => {
                self.last_write = Some(tokio::time::Instant::now());
                tracing::info!(secret = self.secret.place(), "new certificate written");
                Ok(Next::Again)
            }
            // Another replica was faster; what it wrote serves as well.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                tracing::info!(secret = self.secret.place(), "another replica wrote it first");
                Ok(Next::Later)
            }
            Err(error) => Err(self.failed("update", &error)),
        }
    }

    /// Returns when the Secret may have changed or is to be renewed.
    async fn wait_for_change(&self, seen: &Secret, until: SystemTime) {
        let remaining = until.duration_since(SystemTime::now()).unwrap_or_default();
        let renewal = tokio::time::sleep(remaining);
        tokio::select! {
            () = renewal => {}
            () = self.watch(seen) => {}
        }
    }

    async fn watch(&self, seen: &Secret) {
        let version = seen.metadata.resource_version.clone().unwrap_or_default();
        let parameters = WatchParams::default()
            .fields(&format!("metadata.name={}", self.secret.name))
            .timeout(WATCH_SECONDS);
        let events = match self.api.watch(&parameters, &version).await {
            Ok(events) => events,
            Err(error) => {
                self.advice.set(TOPIC, Some(self.failed("watch", &error)));
                // Without the watch it is still looked at, only more rarely.
                return tokio::time::sleep(LONGEST_PAUSE).await;
            }
        };
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Bookmark(_)) => {}
                Ok(WatchEvent::Modified(now) | WatchEvent::Added(now)) if now.data == seen.data => {}
                Ok(_) => return,
                Err(_) => break,
            }
        }
        // A watch that ends at once must not become a loop without a pause.
        tokio::time::sleep(FIRST_PAUSE).await;
    }

    fn failed(&self, verb: &str, error: &kube::Error) -> String {
        let (place, KeptSecret { namespace, name, .. }) = (self.secret.place(), &self.secret);
        let effect = "collectors cannot be told from impostors";
        match (api_error::explain(error), error) {
            (Some(reason), _) => format!("{place} cannot be {}: {reason}", past(verb)),
            (None, kube::Error::Api(status)) if status.code == 404 => format!(
                "{place} does not exist, so {effect}: apply deploy/ again, or `kubectl create secret generic -n \
                 {namespace} {name}`; it is filled by itself"
            ),
            (None, kube::Error::Api(status)) if status.code == 403 => format!(
                "{place} may not be {}, so {effect}: grant {verb} on secrets, resourceNames [{name}], in namespace \
                 {namespace} ({})",
                past(verb),
                status.message
            ),
            _ => format!("{place} cannot be {}: {error}", past(verb)),
        }
    }
}

fn past(verb: &str) -> &'static str {
    match verb {
        "update" => "updated",
        "watch" => "watched",
        _ => "read",
    }
}

fn kept_of(secret: &Secret) -> Kept {
    let [certificate_pem, key_pem, authorities_pem] = KEYS.map(|key| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
    });
    Kept { certificate_pem, key_pem, authorities_pem }
}
