//! The shared nouns of Flyball: what every other crate says to the next one.
//!
//! What this crate promises:
//!
//! * It is pure. It names no runtime, file, socket, environment or clock: callers hand in values and `now`.
//! * Wire forms are upstream's: [`quantity`] prints what apimachinery prints, [`exposition`] reads and writes what
//!   Prometheus does, [`resource_metrics`] has the key order of `metrics.k8s.io`, [`autoscaling`] defaults, validates
//!   and converts as kube-apiserver does, down to the message texts.
//! * What it reads may come from anywhere: readers never panic, and every length has a named limit.
//! * Absent is not zero: a value that was not there is `None`, never `0`.
//!
//! Names carry their unit: `_ms` is milliseconds since the Unix epoch (or a length in milliseconds), `_us` the same in
//! microseconds.

#[cfg(not(target_os = "linux"))]
compile_error!("Flyball runs on Linux only: it measures Linux control groups.");

pub mod autoscaling;
pub mod batch;
pub mod exposition;
pub mod field_error;
pub mod labels;
pub mod names;
pub mod pattern;
pub mod quantity;
pub mod resource_metrics;
pub mod sample;
pub mod samples;
pub mod selector;
pub mod time;
