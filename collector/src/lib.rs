//! The node agent: reads the control groups of every pod and container once a second and serves what it read as a
//! kubelet would.
//!
//! The way of a value: [`detect`] finds the hierarchies once and [`mounts`] settles which file gives what;
//! [`discover`] keeps the list of groups; [`group`] reads one group's files, [`parse`] makes numbers of them;
//! [`sweeper`] does all that once per call and stamps every value; [`agent`] calls it on a schedule in a thread of its
//! own; [`watch`] brings names from the API server; [`serve`] answers requests from the last finished sweep and never
//! sweeps itself. Beside that way stands [`node_exporter`], which reads the machine's own numbers when asked for them;
//! [`table`] says of each metric what it is.

#[cfg(not(target_os = "linux"))]
compile_error!("Flyball runs on Linux only: it reads the Linux kernel's control groups.");

pub mod agent;
pub mod cadvisor;
pub mod clock;
pub mod config;
pub mod cost;
pub mod created;
pub mod cri;
pub mod details;
pub mod detect;
pub mod devices;
pub mod discover;
pub mod disk;
pub mod error;
pub mod explain;
pub mod files;
pub mod group;
pub mod history;
pub mod kubelet_pods;
pub mod layout;
pub mod lineage;
pub mod log_folders;
pub mod machine;
pub mod members;
pub mod mounts;
pub mod name_source;
pub mod names;
mod needs;
mod network;
pub mod node;
pub mod node_exporter;
pub mod own;
pub mod parse;
pub mod phase;
pub mod process;
pub mod processes;
pub mod readers;
pub mod resource;
pub mod runtime_store;
pub mod sample;
pub mod schedule;
pub mod selection;
pub mod serve;
pub mod slow;
pub mod start;
pub mod summary;
pub mod sweeper;
pub mod table;
mod tracked;
pub mod watch;
pub mod watches;

pub use agent::Agent;
pub use config::{Config, SourceChoice};
pub use error::CollectorError;
pub use names::Names;
pub use needs::needs;
pub use sample::Sweep;
pub use serve::{CertificateReady, Collector, Security, own_tls, run, run_with};
pub use sweeper::{Latest, Source, Sweeper};
