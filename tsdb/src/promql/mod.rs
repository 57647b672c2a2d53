//! PromQL: the query language of Prometheus 3, for floats.
//!
//! * [`parse`] turns a text into a checked [`ast`]; the grammar is promql-parser's, everything around it ours.
//! * [`engine`] evaluates it over anything that is a [`crate::series::SeriesSource`].
//! * [`print`] writes it back.
//!
//! Semantics are those of Prometheus 3 (left-open ranges, staleness, extrapolation). Where Prometheus has a switch, its
//! default holds; [`engine::Options`] names the others. Native histograms are not evaluated.

pub mod annotations;
pub mod ast;
pub mod duration;
pub mod engine;
pub mod functions;
pub mod labelset;
mod lex;
pub mod number;
pub mod parse;
pub mod print;

pub use flyball_model::pattern;
pub use parse::{MAX_DEPTH, MAX_QUERY_BYTES, ParseError, parse};
