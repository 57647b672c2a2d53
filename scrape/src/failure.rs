//! Why an attempt failed: one sentence that names the address and, where there is one, the way to mend it.

use std::io;

/// How far an attempt had come when its time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// TCP connection.
    Connect,
    /// TLS handshake.
    Handshake,
    /// Waiting for the status line.
    Answer,
    /// Reading the body.
    Body,
}

impl Stage {
    /// Words that end "time-out after 10 s while …".
    pub fn doing(self) -> &'static str {
        match self {
            Stage::Connect => "connecting",
            Stage::Handshake => "in the TLS handshake",
            Stage::Answer => "waiting for the answer",
            Stage::Body => "reading the answer",
        }
    }
}

/// One failed attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrapeError {
    /// The node has no usable address.
    #[error("{0}")]
    NoEndpoint(String),
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// What was dialled.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The certificate was refused.
    #[error("the certificate of {address} is not accepted: {reason}")]
    Certificate {
        /// What was dialled.
        address: String,
        /// Why, and what helps.
        reason: String,
    },
    /// Any other failure of the handshake.
    #[error("the TLS handshake with {address} failed: {reason}")]
    Handshake {
        /// What was dialled.
        address: String,
        /// Why.
        reason: String,
    },
    /// The time was up.
    #[error("time-out after {seconds} s while {} ({address})", stage.doing())]
    Timeout {
        /// What was dialled.
        address: String,
        /// The limit.
        seconds: f64,
        /// How far it had come.
        stage: Stage,
    },
    /// The connection broke.
    #[error("the connection to {address} broke: {reason}")]
    Broken {
        /// What was dialled.
        address: String,
        /// Why.
        reason: String,
    },
    /// Not 200.
    #[error("{address} answered with status {code}{}", hint(*code))]
    Status {
        /// What was dialled.
        address: String,
        /// HTTP status.
        code: u16,
    },
    /// The body is over the limit.
    #[error("the answer of {address} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// What was dialled.
        address: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// The body is no exposition text.
    #[error("the answer of {address} cannot be read: {reason}")]
    Unreadable {
        /// What was dialled.
        address: String,
        /// Why; with the line where there is one.
        reason: String,
    },
    /// CA, token or client key could not be loaded.
    #[error("{0}")]
    Credentials(String),
}

fn hint(code: u16) -> &'static str {
    match code {
        401 => {
            " (unauthorized: the token or client certificate was not accepted; a kubelet takes tokens only with \
             authentication.webhook.enabled: true, and a token of another cluster or an expired one never; while the API server is away nobody can check it)"
        }
        403 => " (forbidden: the account needs get on nodes/metrics, see the ClusterRole in deploy/)",
        404 => " (not found: the endpoint does not serve this path)",
        _ => "",
    }
}

impl ScrapeError {
    /// Sorts an error of the TLS handshake; `why` finds words for a refused certificate.
    pub(crate) fn of_handshake(
        address: String,
        error: &io::Error,
        why: impl FnOnce(&rustls::CertificateError) -> String,
    ) -> ScrapeError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(reason)) => {
                ScrapeError::Certificate { address, reason: why(reason) }
            }
            Some(other) => ScrapeError::Handshake { address, reason: other.to_string() },
            None => ScrapeError::Handshake { address, reason: error.to_string() },
        }
    }
}
