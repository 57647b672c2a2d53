//! What can keep a collector from starting or going on. A single group that cannot be read is no error: it is counted.

use std::path::PathBuf;

/// Why the collector cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// A setting that cannot work.
    #[error("collector: {setting} {reason}")]
    Invalid {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No hierarchy that accounts CPU or memory is mounted.
    #[error("collector: no cgroup hierarchy with CPU or memory accounting is mounted below {place}")]
    NoHierarchy {
        /// Where they were looked for.
        place: PathBuf,
    },
    /// A folder or file without which nothing can be read.
    #[error("collector: cannot open {path}: {source}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A list of mounts that cannot be understood.
    #[error("collector: cannot read the mounts of {path}: {reason}")]
    Mounts {
        /// Of which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The server ended.
    #[error("collector: serving on {address}: {source}")]
    Serve {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The thread that sweeps could not be started, or died.
    #[error("collector: the sweeping thread {reason}")]
    Thread {
        /// What happened.
        reason: String,
    },
}
