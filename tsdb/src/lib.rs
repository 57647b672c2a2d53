//! History: samples of every series, kept on disk and asked for in PromQL.
//!
//! * [`series`] is the small trait between storing and asking;
//! * [`store`] keeps samples: in memory, in a log, in sealed blocks ([`disk`] says where those are);
//! * [`chunk`] is how samples become bytes; `docs/storage-format.md` gives every byte that is kept;
//! * [`memory`] holds series in memory, for tests and for small sets;
//! * [`promql`] is the query language: parsed, checked, evaluated;
//! * [`api`] is Prometheus' HTTP API over them;
//! * [`ingest`] brings what nodes say into the store;
//! * [`server`] is all of it in a running process, and the API group `history.flyball.io`.

pub mod api;
mod block;
pub mod chunk;
pub mod disk;
mod frame;
mod head;
pub mod ingest;
mod log;
mod matchers;
pub mod memory;
pub mod promql;
mod restricted;
pub mod series;
pub mod server;
pub mod store;
mod threads;
