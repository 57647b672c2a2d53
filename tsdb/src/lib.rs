//! History: samples of every series, kept on disk and asked for in PromQL.
//!
//! * [`api`] is Prometheus' HTTP API over them.
//! * [`memory`] holds series in memory.
//! * [`promql`] is the query language: parsed, checked, evaluated.
//! * [`series`] is the small trait between storing and asking.

pub mod api;
pub mod memory;
pub mod promql;
pub mod series;
