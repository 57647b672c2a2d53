//! Prometheus' language for tests of PromQL: `load`, `clear`, `eval`, and what is expected.
//!
//! An implementation of our own, from its documentation, of the old spelling (`eval_fail`) and the new one
//! (`expect fail`). Each instant query is also tried with its moment fixed by `@` at other times, and as a range query.

mod load;
mod run;
mod script;
mod verify;

pub use run::run;
