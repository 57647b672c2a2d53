//! Prometheus' configuration file, as far as it is about scraping. Pure.
//!
//! Promise: a file that Prometheus 3 takes means the same here, or is refused with one sentence that names the file, the line
//! and the field; nothing is ignored that would change what is scraped. `docs/scraping.md` lists what is refused.

mod fields;
mod global;
mod http;
mod kubernetes;
mod load;
mod mask;
mod rules;
mod scrape;
pub mod units;
pub mod yaml;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::job::Job;
pub use load::LoadError;
pub(crate) use load::text_of;

use fields::{Fault, Fields, Item, Read};
use global::Global;

/// Longest file that is read, bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {}{reason}", file.display(), colon(field))]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u64,
    /// The field, as a path: `scrape_configs[0].job_name`; empty when the fault is in no field.
    pub field: String,
    /// Why.
    pub reason: String,
}

fn colon(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its jobs, by distinct names.
    pub jobs: Vec<Job>,
    /// Its text, without the secrets in it.
    pub shown: String,
    /// Differs where the text does.
    pub(crate) text_hash: u64,
}

/// What differs where a text does.
pub(crate) fn text_hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Config {
    /// Reads the text of a file. Relative paths in it start at the file's folder.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let read = if text.len() > FILE_BYTES_MAX {
            let reason = format!("more than {FILE_BYTES_MAX} bytes");
            Err(Fault { line: 1, field: String::new(), reason })
        } else {
            yaml::read(text).and_then(|root| {
                let jobs = whole(&Item::root(&root), folder)?;
                Ok(Config { jobs, shown: mask::masked(text, &root), text_hash: text_hash(text) })
            })
        };
        let placed = |fault: Fault| {
            let Fault { line, field, reason } = fault;
            ConfigError { file: file.to_owned(), line, field, reason }
        };
        read.map_err(placed)
    }
}

/// Where a job's defaults come from, and where its files are.
struct Context<'a> {
    global: Global,
    folder: &'a Path,
}

fn whole(root: &Item<'_>, folder: &Path) -> Read<Vec<Job>> {
    let mut fields = root.fields()?;
    let global = fields.read("global", global::read)?.map_or_else(Global::default_checked, Ok)?;
    refuse_other_parts(&mut fields)?;
    let context = Context { global, folder };
    let mut jobs: Vec<Job> = Vec::new();
    for item in fields.take("scrape_configs").map(|item| item.items()).transpose()?.unwrap_or_default() {
        let job = scrape::read(&item, &context)?;
        if jobs.iter().any(|have| have.name == job.name) {
            return Err(item.fault(format!("there is another job of the name {:?}", job.name)));
        }
        jobs.push(job);
    }
    fields.finish()?;
    Ok(jobs)
}

/// What Prometheus does beside scraping.
fn refuse_other_parts(fields: &mut Fields<'_>) -> Read<()> {
    // As Prometheus' own example has it, naming no Alertmanager.
    fields.refuse_unless_hollow("alerting", ": alerting stays with Prometheus")?;
    const PARTS: [(&str, &str); 7] = [
        ("rule_files", ": there is no engine for rules here"),
        ("scrape_config_files", ": put the jobs into this file"),
        ("remote_write", ""),
        ("remote_read", ""),
        ("storage", ": the store is configured by flags"),
        ("tracing", ""),
        ("otlp", ""),
    ];
    for (part, instead) in PARTS {
        fields.refuse(part, instead)?;
    }
    // Settings of Go's runtime.
    fields.ignore("runtime", |item| {
        let mut fields = item.fields()?;
        fields.ignore("gogc", Item::number)?;
        fields.finish()
    })
}

#[cfg(test)]
mod tests;
