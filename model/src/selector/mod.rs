//! Label and field selectors of the Kubernetes API, with upstream's syntax, matching, canonical text and messages.

mod field;
mod label;
mod lex;
mod parse;

use thiserror::Error;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};

/// Longest selector text that is read, bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Why a text or object is no selector; the message is upstream's where upstream has one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

#[cfg(test)]
mod tests;
