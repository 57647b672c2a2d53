//! History: samples of every series, kept on disk and asked for in PromQL.
//!
//! * [`memory`] holds series in memory.
//! * [`promql`] is the query language: parsed, checked, evaluated.
//! * [`series`] is the small trait between storing and asking.

pub mod memory;
pub mod promql;
pub mod series;
