//! What goes wrong, in Prometheus' types and codes.

use crate::promql::engine::Error;
use crate::series::ReadError;

/// Kinds of errors that clients tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The request is wrong.
    BadData,
    /// The query failed.
    Execution,
    /// The client went away.
    Canceled,
    /// It took too long.
    Timeout,
    /// The store failed.
    Internal,
    /// The store is not there yet, or too many ask.
    Unavailable,
    /// Another method is asked for.
    MethodNotAllowed,
}

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Its kind.
    pub kind: ErrorType,
    /// What is wrong.
    pub message: String,
}

impl ApiError {
    /// The request is wrong.
    pub fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError { kind: ErrorType::BadData, message: message.into() }
    }

    /// One parameter of the request is wrong.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> ApiError {
        ApiError::bad_data(format!("invalid parameter {name:?}: {reason}"))
    }

    /// The same, of one parameter.
    pub(super) fn in_parameter(self, name: &str) -> ApiError {
        ApiError::parameter(name, self.message)
    }

    /// HTTP's code.
    pub fn code(&self) -> u16 {
        match self.kind {
            ErrorType::BadData => 400,
            ErrorType::Execution => 422,
            ErrorType::Canceled => 499,
            ErrorType::Timeout | ErrorType::Unavailable => 503,
            ErrorType::Internal => 500,
            ErrorType::MethodNotAllowed => 405,
        }
    }

    /// The name that clients match on.
    pub fn name(&self) -> &'static str {
        match self.kind {
            ErrorType::BadData | ErrorType::MethodNotAllowed => "bad_data",
            ErrorType::Execution => "execution",
            ErrorType::Canceled => "canceled",
            ErrorType::Timeout => "timeout",
            ErrorType::Internal => "internal",
            ErrorType::Unavailable => "unavailable",
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> ApiError {
        let kind = match error {
            ReadError::Store(_) => ErrorType::Internal,
            _ => ErrorType::Execution,
        };
        ApiError { kind, message: error.to_string() }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        let kind = match error {
            Error::Read(error) => return error.into(),
            Error::Invalid(reason) => return ApiError::parameter("query", reason),
            Error::TimedOut => ErrorType::Timeout,
            Error::Canceled => ErrorType::Canceled,
            Error::TooManySamples { .. } | Error::SameLabels | Error::Execution(_) => ErrorType::Execution,
        };
        ApiError { kind, message: error.to_string() }
    }
}
