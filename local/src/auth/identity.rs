//! The cluster's certificates and keys, made once and kept in `DIR/pki` (mode 0700, keys 0600).
//!
//! ```text
//! ca.crt ca.key                  signs clients and the server
//! front-proxy-ca.crt …key        signs the aggregator
//! token.key                      signs service account tokens
//! ```
//! Leaf certificates are issued anew at each start, so they never expire in a running cluster's lifetime of a year and
//! always name the address listened on.
#![allow(clippy::disallowed_methods, reason = "edge: keys are kept in files")]

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flyball_apiserver::certs::{CertificateAuthority, Issued};
use flyball_apiserver::error::ApiserverError;
use flyball_apiserver::user::MASTERS;

use super::tokens::KEY_BYTES;
use crate::registry::clock;

/// Names every server certificate carries.
const SERVER_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Common name of the aggregator's client certificate, the only one front-proxy headers are believed from.
pub const FRONT_PROXY_NAME: &str = "front-proxy-client";

/// Why the cluster's identity cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A key file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A key file holds something else.
    #[error("{path} is not a key of this program: remove the folder it is in to get new keys")]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be made or read.
    #[error(transparent)]
    Certificate(#[from] ApiserverError),
}

/// Everything the cluster proves itself with.
pub struct Identity {
    /// Signs clients and the server.
    pub ca: CertificateAuthority,
    /// Signs the aggregator's client certificate.
    pub front_proxy_ca: CertificateAuthority,
    /// Shown by the API server to its clients.
    pub server: Issued,
    /// Shown by the aggregator to the servers behind it.
    pub front_proxy: Issued,
    /// In the kubeconfig: user `kubernetes-admin`, group `system:masters`.
    pub admin: Issued,
    /// Signs tokens.
    pub token_key: [u8; KEY_BYTES],
}

impl Identity {
    /// Reads the identity kept in `dir/pki`, or makes one. `address` is what the API server listens on.
    pub fn open(dir: &Path, address: IpAddr) -> Result<Self, AuthError> {
        let pki = dir.join("pki");
        let file = |path: &Path, source| AuthError::File { path: path.to_owned(), source };
        fs::create_dir_all(&pki).map_err(|source| file(&pki, source))?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&pki, private).map_err(|source| file(&pki, source))?;
        let ca = authority(&pki, "ca", "kubernetes")?;
        let front_proxy_ca = authority(&pki, "front-proxy-ca", "front-proxy-ca")?;
        let token_key = token_key(&pki)?;
        Self::issue(ca, front_proxy_ca, token_key, address)
    }

    /// An identity that lives as long as the process.
    pub fn ephemeral(address: IpAddr) -> Result<Self, AuthError> {
        let ca = CertificateAuthority::new("kubernetes")?;
        let front_proxy_ca = CertificateAuthority::new("front-proxy-ca")?;
        Self::issue(ca, front_proxy_ca, clock::random(), address)
    }

    fn issue(
        ca: CertificateAuthority,
        front_proxy_ca: CertificateAuthority,
        token_key: [u8; KEY_BYTES],
        address: IpAddr,
    ) -> Result<Self, AuthError> {
        let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        if !addresses.contains(&address) && !address.is_unspecified() {
            addresses.push(address);
        }
        Ok(Self {
            server: ca.issue_server(&SERVER_NAMES, &addresses)?,
            admin: ca.issue_client("kubernetes-admin", &[MASTERS])?,
            front_proxy: front_proxy_ca.issue_client(FRONT_PROXY_NAME, &[])?,
            ca,
            front_proxy_ca,
            token_key,
        })
    }
}

fn authority(pki: &Path, name: &str, common_name: &str) -> Result<CertificateAuthority, AuthError> {
    let (certificate, key) = (pki.join(format!("{name}.crt")), pki.join(format!("{name}.key")));
    if let (Some(certificate), Some(key)) = (read(&certificate)?, read(&key)?) {
        return Ok(CertificateAuthority::from_pem(&certificate, &key)?);
    }
    let authority = CertificateAuthority::new(common_name)?;
    write_private(&key, authority.key_pem().as_bytes())?;
    write_private(&certificate, authority.certificate_pem().as_bytes())?;
    Ok(authority)
}

fn token_key(pki: &Path) -> Result<[u8; KEY_BYTES], AuthError> {
    let path = pki.join("token.key");
    if let Some(text) = read(&path)? {
        let digits = text.trim();
        let bytes: Option<Vec<u8>> = (digits.is_ascii() && digits.len() == 2 * KEY_BYTES)
            .then(|| {
                (0..KEY_BYTES).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()).collect()
            })
            .flatten();
        return bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(AuthError::Key { path });
    }
    let key = clock::random::<KEY_BYTES>();
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(&path, text.as_bytes())?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<String>, AuthError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthError::File { path: path.to_owned(), source }),
    }
}

/// Writes a file only its owner can read, whole or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), AuthError> {
    let failed = |source| AuthError::File { path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_identity_survives_and_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = Identity::open(dir.path(), address).unwrap();
        let second = Identity::open(dir.path(), address).unwrap();
        assert_eq!(first.ca.certificate_pem(), second.ca.certificate_pem());
        assert_eq!(first.token_key, second.token_key);
        for entry in fs::read_dir(dir.path().join("pki")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
