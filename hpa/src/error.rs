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
}

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
    /// The object or the path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// The object was changed by someone else meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.code == 409
    }
}
