//! Errors of the autoscaler.

use thiserror::Error;

/// Why the autoscaler could not start, or had to stop.
#[derive(Debug, Error)]
pub enum HpaError {
    /// A setting does not make sense.
    #[error("{flag}: {reason}")]
    Setting {
        /// The flag's name.
        flag: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The server of probes and metrics could not be set up.
    #[error("cannot serve probes and metrics: {0}")]
    Serving(String),
    /// The API server cannot be used, and waiting would not help.
    #[error("{0}")]
    Unusable(String),
}

/// Start of the text about an answer that cannot be read.
const UNREADABLE: &str = "the answer cannot be read";

/// Why a request to the API server failed, in upstream's words where the server gave some.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status; 0 when there was no answer.
    pub code: u16,
    /// The text people see in events and conditions.
    pub message: String,
}

impl ApiError {
    /// No answer came, or none that can be read.
    pub(crate) fn unanswered(message: impl Into<String>) -> Self {
        ApiError { code: 0, message: message.into() }
    }

    /// An answer came that is not what was asked for.
    pub(crate) fn unreadable(error: impl std::fmt::Display) -> Self {
        ApiError { code: 0, message: format!("{UNREADABLE}: {error}") }
    }

    /// An answer came that is not what was asked for.
    pub fn is_unreadable(&self) -> bool {
        self.code == 0 && self.message.starts_with(UNREADABLE)
    }

    /// No answer came.
    pub fn is_unanswered(&self) -> bool {
        self.code == 0
    }

    /// The namespace is on its way out and takes no new objects.
    pub fn is_namespace_terminating(&self) -> bool {
        self.code == 403 && self.message.contains("because it is being terminated")
    }

    /// The object or the path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// The object was changed by someone else meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.code == 409
    }
}
