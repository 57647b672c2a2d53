//! Metrics without a configuration: rules made from the types and labels of what is scraped.

use std::sync::Arc;

use flyball_model::exposition::MetricType;

use crate::kinds::Kinds;
use crate::rules::{Catalogue, SeriesShape};

/// A shape and what its family's `# TYPE` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedShape {
    /// Name and label names.
    pub shape: SeriesShape,
    /// `None` when the backend does not know.
    pub kind: Option<MetricType>,
}

/// What can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Range of every `rate`.
    pub rate_window_ms: u64,
}

/// Adds the metrics of these series to a catalogue, without replacing what is there.
pub fn add(_catalogue: &mut Catalogue, _shapes: &[TypedShape], _options: Options, _kinds: &Arc<Kinds>) {
    unimplemented!()
}
