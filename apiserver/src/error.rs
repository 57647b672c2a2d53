//! What can go wrong outside a single request: settings, certificates, sockets, the delegating cluster.

use std::path::PathBuf;

/// The crate's error. Each variant names the object it is about; a request's own failures are
/// [`Status`](crate::status::Status) bodies instead.
#[derive(Debug, thiserror::Error)]
pub enum ApiserverError {
    /// A certificate bundle holds no certificate, or one that cannot be read.
    #[error("certificate bundle {source_name}: {reason}")]
    Bundle {
        /// Where the text came from: a flag, a file or a ConfigMap key.
        source_name: String,
        /// What the parser said.
        reason: String,
    },
    /// A certificate or key could not be made or read.
    #[error("certificate for {subject}: {reason}")]
    Certificate {
        /// Common name or file the certificate belongs to.
        subject: String,
        /// What the library said.
        reason: String,
    },
    /// A certificate or key file could not be read or written.
    #[error("certificate file {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The TLS settings do not fit together.
    #[error("TLS settings: {0}")]
    Tls(String),
    /// The ConfigMap with the cluster's authentication settings could not be read.
    #[error("ConfigMap {namespace}/{name}: {reason}")]
    Settings {
        /// Namespace of the ConfigMap.
        namespace: String,
        /// Its name.
        name: String,
        /// Why it could not be used.
        reason: String,
    },
}
