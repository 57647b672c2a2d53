//! Why a cluster cannot start: each is one sentence that says what to change.

use std::net::SocketAddr;
use std::path::PathBuf;

use flyball_apiserver::ApiserverError;

use crate::auth::AuthError;
use crate::net::ClaimError;
use crate::registry::StoreError;
use crate::runtime::RuntimeError;

/// Why a cluster cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The folder cannot be made or found.
    #[error("cannot use the folder {dir}: {source}")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another one with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The objects cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys cannot be read or made.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// No network is free.
    #[error(transparent)]
    Network(#[from] ClaimError),
    /// Processes cannot be run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A certificate cannot be made or read.
    #[error(transparent)]
    Certificate(#[from] ApiserverError),
    /// An object of the cluster itself is refused.
    #[error("cannot write {what}: {reason}")]
    Object {
        /// Kind and name.
        what: String,
        /// The API's answer.
        reason: String,
    },
    /// A client cannot be set up.
    #[error("cannot set up a client of the API server: {0}")]
    Client(String),
}
