//! History: samples of every series, kept on disk and asked for in PromQL.
//!
//! * [`series`] is the small trait between storing and asking.

pub mod series;
