//! Why a backend has no answer.

use std::time::Duration;

/// The error of one question. It names the backend, never its address: addresses can hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It took too long, waiting for a connection included.
    #[error("{backend} did not answer within {} s", .after.as_secs_f64())]
    Timeout {
        /// Who.
        backend: String,
        /// The time-out.
        after: Duration,
    },
    /// There is no connection, or it broke.
    #[error("{backend} cannot be reached: {reason}")]
    Unreachable {
        /// Who.
        backend: String,
        /// What the system or the TLS library said.
        reason: String,
    },
    /// It answered that it will not: a bad query, a limit, a missing permission.
    #[error("{backend} refuses ({code} {kind}): {message}")]
    Refused {
        /// Who.
        backend: String,
        /// HTTP code.
        code: u16,
        /// `errorType` of the answer, or the name of the code.
        kind: String,
        /// What it said.
        message: String,
    },
    /// It answered with something that is no answer.
    #[error("{backend} answers what is none of Prometheus' answers: {reason}")]
    Garbage {
        /// Who.
        backend: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than allowed.
    #[error("{backend} answers with more than {limit_bytes} bytes: ask for less")]
    TooLarge {
        /// Who.
        backend: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// Our own side of it cannot be used: a certificate or token file.
    #[error("{backend}: {reason}")]
    Settings {
        /// Who.
        backend: String,
        /// Which file, and why.
        reason: String,
    },
}

impl BackendError {
    /// Whether the same question in smaller pieces may work: a limit was hit, or (422) the evaluation failed, which it may do
    /// for one object and not for the others. Not an outage.
    pub(crate) fn is_about_size(&self) -> bool {
        match self {
            BackendError::TooLarge { .. } => true,
            BackendError::Refused { code, .. } => matches!(code, 413 | 414 | 422),
            _ => false,
        }
    }

    /// Whether another query may be answered: not when nobody is there, when we are not let in, or when we ask too much as it is.
    pub(crate) fn may_be_about_the_query(&self) -> bool {
        match self {
            BackendError::TooLarge { .. } | BackendError::Garbage { .. } => true,
            BackendError::Refused { code, .. } => !matches!(code, 401 | 403 | 404 | 405 | 407 | 429),
            BackendError::Timeout { .. }
            | BackendError::Unreachable { .. }
            | BackendError::Settings { .. } => false,
        }
    }
}
