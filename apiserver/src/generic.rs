//! Settings that every server of ours takes under upstream's names: how it serves, whom it believes, whom it lets in. Flags
//! of these names live in the command line crate; their defaults are stated here.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authorization::{AllowedPaths, Authorizer};
use crate::certs::sni::{ByName, NamedCertificate};
use crate::certs::{ReloadingCertificate, self_signed};
use crate::delegated::{ANSWER_LIFETIME, Delegated, DelegatedTokens, DelegationMetrics};
use crate::delegation::Flags;
use crate::error::ApiserverError;
use crate::serve::{Limits, ServingTls, TlsChoice};

/// The certificate that clients see.
#[derive(Debug, Clone, Default)]
pub enum Serving {
    /// A self-signed one for `localhost`, made at start and kept in memory.
    #[default]
    SelfSigned,
    /// `--tls-cert-file` and `--tls-private-key-file`; read again when they change.
    Files {
        /// PEM chain.
        certificate: PathBuf,
        /// PEM key.
        key: PathBuf,
    },
    /// `--cert-dir`: the pair `apiserver.crt` and `apiserver.key` of this folder, made and written if it is not there.
    /// Where the folder cannot be used, the certificate stays in memory and the log says so.
    Folder(PathBuf),
    /// Made by the caller, for example issued by a one-machine cluster's authority.
    Given(ServingTls),
}

/// The settings.
#[derive(Clone)]
pub struct Generic {
    /// Serving certificate. Default: self-signed.
    pub serving: Serving,
    /// Authentication: what flags say beside the cluster's ConfigMap. `tokens` is filled with TokenReview when empty.
    /// Default: anonymous requests go on to authorization, and a missing ConfigMap is fatal.
    pub authentication: Flags,
    /// Authorization. Default (`None`): SubjectAccessReview.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// `--authorization-always-allow-paths`. Default: `/healthz`, `/readyz`, `/livez`.
    pub always_allow: AllowedPaths,
    /// Client for TokenReviews and the authentication ConfigMap (`--authentication-kubeconfig`). Default: the server's.
    pub authentication_client: Option<Client>,
    /// Client for SubjectAccessReviews (`--authorization-kubeconfig`). Default: the server's.
    pub authorization_client: Option<Client>,
    /// How long answers of the cluster about who and what is allowed are believed. Default: upstream's 10 s each.
    pub believed: Believed,
    /// How long requests are still taken after the order to stop, while `/readyz` already fails
    /// (`--shutdown-delay-duration`). Default: not at all.
    pub shutdown_delay: Duration,
    /// TLS versions, suites and key exchanges.
    pub tls: TlsChoice,
    /// Whether HTTP/2 is offered (`--disable-http2-serving` turns it off). Default: yes.
    pub http2: bool,
    /// Further certificates by the name asked for (`--tls-sni-cert-key`): names, certificate file, key file. Without
    /// names those in the certificate count.
    pub sni: Vec<(Vec<String>, PathBuf, PathBuf)>,
    /// Limits of the server.
    pub limits: Limits,
}

/// Lifetimes of remembered answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    /// Of TokenReviews (`--authentication-token-webhook-cache-ttl`).
    pub tokens: Duration,
    /// Of permissions (`--authorization-webhook-cache-authorized-ttl`).
    pub allowed: Duration,
    /// Of refusals (`--authorization-webhook-cache-unauthorized-ttl`).
    pub denied: Duration,
}

impl Default for Believed {
    fn default() -> Believed {
        Believed { tokens: ANSWER_LIFETIME, allowed: ANSWER_LIFETIME, denied: ANSWER_LIFETIME }
    }
}

impl Default for Generic {
    fn default() -> Generic {
        Generic {
            serving: Serving::default(),
            authentication: Flags { anonymous: true, ..Flags::default() },
            authorizer: None,
            always_allow: AllowedPaths::default(),
            authentication_client: None,
            authorization_client: None,
            believed: Believed::default(),
            shutdown_delay: Duration::ZERO,
            tls: TlsChoice::default(),
            http2: true,
            sni: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Generic {
    /// The certificate that clients see; its files are followed until `stop`.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn certificate(
        &self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<ServingTls, ApiserverError> {
        let follow = |certificate: Arc<ReloadingCertificate>| {
            tasks.spawn(certificate.clone().watch(stop.clone()));
            certificate
        };
        let mut tls = match &self.serving {
            Serving::Given(tls) => tls.clone(),
            Serving::SelfSigned => in_memory()?,
            Serving::Files { certificate, key } => {
                ServingTls::new(follow(ReloadingCertificate::from_files(certificate, key)?))
            }
            Serving::Folder(folder) => in_folder(folder)?,
        };
        let named = self.sni.iter().map(|(names, certificate, key)| {
            let certificate = follow(ReloadingCertificate::from_files(certificate, key)?);
            Ok(NamedCertificate { names: names.clone(), certificate })
        });
        let named: Vec<NamedCertificate> = named.collect::<Result<_, ApiserverError>>()?;
        if !named.is_empty() {
            tls.certificates = Arc::new(ByName { named, otherwise: tls.certificates });
        }
        tls.http2 &= self.http2;
        tls.choice = self.tls.clone();
        Ok(tls)
    }

    /// The client that identities are asked with.
    pub fn authentication_client(&self, own: &Client) -> Client {
        self.authentication_client.clone().unwrap_or_else(|| own.clone())
    }

    /// Checks bearer tokens by TokenReview.
    pub fn tokens(&self, own: &Client, asked: &DelegationMetrics) -> DelegatedTokens {
        let tokens = DelegatedTokens::new(self.authentication_client(own));
        tokens.with_lifetime(self.believed.tokens).with_metrics(asked)
    }

    /// Authorizes by SubjectAccessReview, whatever [`Generic::authorizer`] says.
    pub fn delegated(&self, own: &Client, asked: &DelegationMetrics) -> Delegated {
        let client = self.authorization_client.clone().unwrap_or_else(|| own.clone());
        Delegated::new(client)
            .with_always_allow(self.always_allow.clone())
            .with_lifetimes(self.believed.allowed, self.believed.denied)
            .with_metrics(asked)
    }
}

impl std::fmt::Debug for Generic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generic").field("serving", &self.serving).finish_non_exhaustive()
    }
}

fn in_memory() -> Result<ServingTls, ApiserverError> {
    Ok(ServingTls::new(self_signed(&["localhost"], &[Ipv4Addr::LOCALHOST.into()])?.resolver()?))
}

/// A folder that cannot be used is no reason not to serve: nobody verifies such a certificate.
fn in_folder(folder: &Path) -> Result<ServingTls, ApiserverError> {
    match ReloadingCertificate::in_folder(folder, &["localhost"], &[Ipv4Addr::LOCALHOST.into()]) {
        Ok(certificate) => Ok(ServingTls::new(certificate)),
        Err(error) => {
            let folder = folder.display();
            tracing::warn!(%folder, %error, "--cert-dir cannot be used, the serving certificate stays in memory");
            in_memory()
        }
    }
}
