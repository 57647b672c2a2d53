#![allow(clippy::disallowed_methods, reason = "reads the kernel's files and watches the clock")]
//! `/metrics/node`: the machine under node_exporter's names.
//!
//! Promises: names, help texts, types, labels and values are those of node_exporter 1.12 with its default flags, as far
//! as [`rows::ROWS`] goes; families come sorted by name and series by their labels. What cannot be read is absent and
//! has `node_scrape_collector_success` 0. The values are read when they are asked for, as node_exporter's users expect;
//! see [`endpoint`] for how often that is. No file is waited for; what a mount that hangs costs is said in
//! [`filesystem`].
//!
//! One file here per part of the kernel: pure functions from bytes to numbers, and a collector that reads the bytes from
//! files it keeps open. [`places`] says where the machine is when this process is in a container of it.
//!
//! What differs from node_exporter: `node_memory_*` has every field the kernel prints, as before 1.11; columns that a
//! kernel lacks are absent instead of 0; there is no `node_filesystem_purgeable_bytes`, which is for macOS; and
//! `node_exporter_build_info` says Flyball's version and `tags="flyball"`. Not there at all:
//! collectors for hardware and file systems of few machines (`bcache`, `btrfs`, `nfs`,
//! `zfs`, …).

pub mod cpu;
pub mod disk;
pub mod endpoint;
pub mod filesystem;
pub mod hardware;
pub mod hwmon;
pub mod kept;
pub mod kernel;
pub mod memory;
pub mod mounts;
pub mod netlink;
pub mod network;
pub mod out;
pub mod places;
pub mod rows;
pub mod sockets;
pub mod statfs;
pub mod text;
pub mod timex;

pub use endpoint::NodeEndpoint;
pub use places::Places;

use crate::table::Metric;
use flyball_model::exposition::Format;
use netlink::LinkMessage;
use out::Out;
use std::time::{Duration, Instant, SystemTime};

/// The endpoint in words, for `docs/metrics.md`.
pub const PAGE: &str = include_str!("metrics.md");

/// All rows of the endpoint, by name.
pub fn metrics() -> Vec<&'static Metric> {
    let mut rows: Vec<&Metric> = rows::ROWS.iter().collect();
    rows.sort_by_key(|row| row.name);
    rows
}

/// How old a fact may be that changes only with the hardware or the installation.
const FACTS_AGE: Duration = Duration::from_secs(60);

/// What one scrape carries from collector to collector.
pub struct Scrape {
    /// The body.
    pub out: Out,
    /// Room for the text of a file.
    pub buffer: Vec<u8>,
    /// Now.
    pub unix_seconds: f64,
    /// /proc/stat, which two collectors need.
    pub stat: Option<Vec<u8>>,
    /// The links, which two collectors need.
    pub links: Option<Vec<LinkMessage>>,
}

/// A collector of node_exporter.
pub trait Collect: Send {
    /// Writes its families. `None`: the kernel did not give what is needed; what was written before that stays.
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()>;
}

/// A fact that is looked up at most once in [`FACTS_AGE`].
pub struct Aged<T> {
    fact: Option<(Instant, T)>,
}

impl<T> Default for Aged<T> {
    fn default() -> Aged<T> {
        Aged { fact: None }
    }
}

impl<T> Aged<T> {
    /// Looks it up if it is due.
    pub fn refresh(&mut self, look_up: impl FnOnce() -> T) {
        if self.fact.as_ref().is_none_or(|(when, _)| when.elapsed() >= FACTS_AGE) {
            self.fact = Some((Instant::now(), look_up()));
        }
    }

    /// The fact as it was found last.
    pub fn get(&self) -> Option<&T> {
        self.fact.as_ref().map(|(_, fact)| fact)
    }
}

/// The reader of one machine.
pub struct NodeExporter {
    /// Ascending by name, but for those that hand something on.
    collectors: Vec<(&'static str, Box<dyn Collect>)>,
    buffer: Vec<u8>,
}

impl NodeExporter {
    /// Reads nothing but a few names of devices.
    pub fn new(places: &Places) -> NodeExporter {
        let collectors: Vec<(&'static str, Box<dyn Collect>)> = vec![
            ("arp", Box::new(sockets::ArpCollector::new(places))),
            ("conntrack", Box::new(sockets::ConntrackCollector::new(places))),
            ("cpu", Box::new(cpu::CpuCollector::new(places))),
            ("cpufreq", Box::new(hardware::CpufreqCollector::new(places))),
            ("diskstats", Box::new(disk::DiskCollector::new(places))),
            ("entropy", Box::new(kernel::NumbersCollector::entropy(places))),
            ("filefd", Box::new(kernel::FilefdCollector::new(places))),
            ("filesystem", Box::new(filesystem::FilesystemCollector::new(places))),
            ("hwmon", Box::new(hardware::HwmonCollector::new(places))),
            ("kernel_hung", Box::new(kernel::NumbersCollector::kernel_hung(places))),
            ("loadavg", Box::new(kernel::LoadCollector::new(places))),
            ("mdadm", Box::new(hardware::MdadmCollector::new(places))),
            ("meminfo", Box::new(memory::MeminfoCollector::new(places))),
            // Before netclass, which takes the links it found.
            ("netdev", Box::new(network::NetdevCollector::new(places))),
            ("netclass", Box::new(network::NetclassCollector::new(places))),
            ("netstat", Box::new(sockets::NetstatCollector::new(places))),
            ("os", Box::new(kernel::OsCollector::new(places))),
            ("pressure", Box::new(kernel::PressureCollector::new(places))),
            ("schedstat", Box::new(kernel::SchedstatCollector::new(places))),
            ("sockstat", Box::new(sockets::SockstatCollector::new(places))),
            ("softnet", Box::new(sockets::SoftnetCollector::new(places))),
            // After cpu, of which it takes the text.
            ("stat", Box::new(cpu::StatCollector)),
            ("time", Box::new(kernel::TimeCollector::new(places))),
            ("timex", Box::new(timex::TimexCollector)),
            ("udp_queues", Box::new(sockets::UdpCollector::new(places))),
            ("uname", Box::new(kernel::UnameCollector::new(places))),
            ("vmstat", Box::new(memory::VmstatCollector::new(places))),
        ];
        NodeExporter { collectors, buffer: Vec::new() }
    }

    /// Reads the machine and gives the body. Takes as long as the kernel needs, a quarter of a second at most for mounts
    /// that hang: not for threads that answer requests.
    pub fn render(&mut self, format: Format) -> String {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut scrape = Scrape {
            out: Out::new(format),
            buffer: std::mem::take(&mut self.buffer),
            unix_seconds: unix.as_secs_f64(),
            stat: None,
            links: None,
        };
        let mut done = Vec::with_capacity(self.collectors.len());
        for (name, collector) in &mut self.collectors {
            let start = Instant::now();
            let success = collector.collect(&mut scrape).is_some();
            done.push((*name, start.elapsed(), success));
        }
        done.sort_by_key(|(name, ..)| *name);
        let out = &mut scrape.out;
        let durations = done.iter().map(|(name, duration, _)| (*name, Some(duration.as_secs_f64())));
        out.each(&rows::SCRAPE_DURATION, "collector", durations);
        let successes = done.iter().map(|(name, _, success)| (*name, Some(f64::from(u8::from(*success)))));
        out.each(&rows::SCRAPE_SUCCESS, "collector", successes);
        write_build_info(out);
        self.buffer = scrape.buffer;
        scrape.out.finish()
    }
}

/// Dashboards ask for the family, and show the version: Flyball's own. It says so.
fn write_build_info(out: &mut Out) {
    let labels = [
        ("branch", ""),
        ("goarch", go_architecture()),
        ("goos", "linux"),
        ("goversion", ""),
        ("revision", "flyball"),
        ("tags", "flyball"),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    out.family(&rows::BUILD_INFO);
    out.sample(rows::BUILD_INFO.name, &labels, 1.0);
}

/// Go's word for the architecture.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests;
