//! The certificate that clients see, by the settings.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use flyball_apiserver::certs::sni::{ByName, NamedCertificate};
use flyball_apiserver::certs::{ReloadingCertificate, self_signed};
use flyball_apiserver::{ApiserverError, ServingTls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Serving};

/// The TLS settings; certificate files are followed until `stop`.
pub(crate) fn tls(
    config: &Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<ServingTls, ApiserverError> {
    let follow = |certificate: Arc<ReloadingCertificate>| {
        tasks.spawn(certificate.clone().watch(stop.clone()));
        certificate
    };
    let mut tls = match &config.serving {
        Serving::Given(tls) => tls.clone(),
        Serving::SelfSigned => in_memory()?,
        Serving::Files { certificate, key } => {
            ServingTls::new(follow(ReloadingCertificate::from_files(certificate, key)?))
        }
        Serving::Folder(folder) => in_folder(folder)?,
    };
    let named = config.sni.iter().map(|(names, certificate, key)| {
        let certificate = follow(ReloadingCertificate::from_files(certificate, key)?);
        Ok(NamedCertificate { names: names.clone(), certificate })
    });
    let named: Vec<NamedCertificate> = named.collect::<Result<_, ApiserverError>>()?;
    if !named.is_empty() {
        tls.certificates = Arc::new(ByName { named, otherwise: tls.certificates });
    }
    tls.http2 &= config.http2;
    tls.choice = config.tls.clone();
    Ok(tls)
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
