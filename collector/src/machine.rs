#![allow(clippy::disallowed_methods, reason = "reads /proc, /sys and /etc")]
//! Facts of the machine: identity, processors, memory. They hardly change, so they are read again every few minutes.

use crate::selection::Selection;
use crate::table::{Metric, Source};
use flyball_model::exposition::MetricType::Gauge;
use flyball_model::exposition::Writer;
use procfs::{CpuInfo, FromRead, Meminfo};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a reading is used: cAdvisor's interval.
const BELIEVED: Duration = Duration::from_secs(300);

const LABELS: &[&str] = &["boot_id", "machine_id", "system_uuid"];

/// The families of machines.
pub const FAMILIES: [Metric; 5] = [
    Metric::new(
        "machine_cpu_cores",
        Gauge,
        LABELS,
        "Number of logical CPU cores.",
        Source::both("/proc/cpuinfo processor"),
    ),
    Metric::new(
        "machine_cpu_physical_cores",
        Gauge,
        LABELS,
        "Number of physical CPU cores.",
        Source::both("/proc/cpuinfo physical id, core id"),
    ),
    Metric::new(
        "machine_cpu_sockets",
        Gauge,
        LABELS,
        "Number of CPU sockets.",
        Source::both("/proc/cpuinfo physical id"),
    ),
    Metric {
        unit: Some("bytes"),
        ..Metric::new(
            "machine_memory_bytes",
            Gauge,
            LABELS,
            "Amount of memory installed on the machine.",
            Source::both("/proc/meminfo MemTotal"),
        )
    },
    Metric {
        unit: Some("bytes"),
        ..Metric::new(
            "machine_swap_bytes",
            Gauge,
            LABELS,
            "Amount of swap memory available on the machine.",
            Source::both("/proc/meminfo SwapTotal"),
        )
    },
];

/// What is known of a machine; empty and absent where it could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The firmware's UUID, which only root may read.
    pub system_uuid: String,
    /// Changes with each boot.
    pub boot_id: String,
    /// As `uname -r` prints it.
    pub kernel_version: String,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os_version: String,
    /// Logical CPUs.
    pub cores: Option<u64>,
    /// Cores of all sockets.
    pub physical_cores: Option<u64>,
    /// Sockets.
    pub sockets: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of swap.
    pub swap_bytes: Option<u64>,
}

impl Machine {
    /// Reads it from the machine whose /proc and /sys these are.
    pub fn read(proc_root: &Path, sys_root: &Path) -> Machine {
        let line = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let first_of = |paths: &[&str]| {
            paths
                .iter()
                .map(|path| line(PathBuf::from(path)))
                .find(|text| !text.is_empty())
                .unwrap_or_default()
        };
        let meminfo = Meminfo::from_file(proc_root.join("meminfo")).ok();
        let mut machine = Machine {
            machine_id: first_of(&["/etc/machine-id", "/var/lib/dbus/machine-id"]),
            system_uuid: line(sys_root.join("class/dmi/id/product_uuid")),
            boot_id: line(proc_root.join("sys/kernel/random/boot_id")),
            kernel_version: line(proc_root.join("sys/kernel/osrelease")),
            os_version: os_version(&first_of(&["/etc/os-release", "/usr/lib/os-release"])),
            memory_bytes: meminfo.as_ref().map(|info| info.mem_total),
            swap_bytes: meminfo.as_ref().map(|info| info.swap_total),
            ..Machine::default()
        };
        if let Ok(info) = CpuInfo::from_file(proc_root.join("cpuinfo")) {
            machine.take_cpus(&info);
        }
        machine
    }

    fn take_cpus(&mut self, info: &CpuInfo) {
        let cores = info.num_cores();
        self.cores = Some(cores as u64).filter(|cores| *cores > 0);
        let number = |cpu: usize, field: &str| info.get_field(cpu, field)?.parse::<u64>().ok();
        let sockets: BTreeSet<_> = (0..cores).filter_map(|cpu| number(cpu, "physical id")).collect();
        let physical: BTreeSet<_> = (0..cores)
            .filter_map(|cpu| Some((number(cpu, "physical id")?, number(cpu, "core id")?)))
            .collect();
        self.sockets = Some(sockets.len() as u64).filter(|count| *count > 0);
        self.physical_cores = Some(physical.len() as u64).filter(|count| *count > 0);
    }

    /// Writes the families of machines.
    pub fn write(&self, writer: &mut Writer, selection: &Selection) {
        let labels = [
            ("boot_id", self.boot_id.as_str()),
            ("machine_id", self.machine_id.as_str()),
            ("system_uuid", self.system_uuid.as_str()),
        ];
        let values = [self.cores, self.physical_cores, self.sockets, self.memory_bytes, self.swap_bytes];
        for (metric, value) in FAMILIES.iter().zip(values) {
            if let Some(value) = value.filter(|_| selection.has(metric)) {
                writer.family(metric.name, metric.help, metric.kind, metric.unit);
                writer.sample(metric.name, &labels, value as f64, None);
            }
        }
    }
}

fn os_version(os_release: &str) -> String {
    let pretty = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    pretty.unwrap_or_default().trim_matches('"').to_owned()
}

/// A machine that is read again when what is known of it is old.
#[derive(Debug)]
pub struct MachineFacts {
    proc_root: PathBuf,
    sys_root: PathBuf,
    known: Mutex<Option<(Instant, Arc<Machine>)>>,
}

impl MachineFacts {
    /// Reads nothing yet.
    pub fn new(proc_root: &Path, sys_root: &Path) -> MachineFacts {
        MachineFacts {
            proc_root: proc_root.to_owned(),
            sys_root: sys_root.to_owned(),
            known: Mutex::new(None),
        }
    }

    /// What is known now.
    pub fn get(&self) -> Arc<Machine> {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((read, machine)) if now.duration_since(*read) < BELIEVED => machine.clone(),
            _ => {
                let machine = Arc::new(Machine::read(&self.proc_root, &self.sys_root));
                *known = Some((now, machine.clone()));
                machine
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_processors_and_memory() {
        let machine = Machine::read(Path::new("/proc"), Path::new("/sys"));
        assert!(machine.cores.unwrap() >= 1 && machine.memory_bytes.unwrap() > 1 << 20, "{machine:?}");
        assert!(!machine.boot_id.is_empty() && !machine.kernel_version.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let machine = Machine::read(Path::new("/nonexistent"), Path::new("/nonexistent"));
        assert_eq!((machine.cores, machine.memory_bytes), (None, None));
        assert_eq!(os_version("ID=x\nPRETTY_NAME=\"A B 1\"\n"), "A B 1");
    }
}
