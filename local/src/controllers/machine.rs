//! What this machine is: the facts a Node object states.
#![allow(clippy::disallowed_methods, reason = "edge: reads the machine's identity and size")]

use std::fs;

/// Size and identity of the machine. Facts that cannot be read are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// CPUs this process may use, in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Host name.
    pub hostname: String,
    /// `amd64`, `arm64` and so on, as Go names architectures.
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
    /// Name of the distribution.
    pub os_image: Option<String>,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// Changes with every boot.
    pub boot_id: Option<String>,
}

impl Machine {
    /// Reads this machine.
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        let text = |raw: &std::ffi::CStr| raw.to_string_lossy().into_owned();
        let line = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let release = fs::read_to_string("/etc/os-release").ok();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cpu_milli: i64::try_from(cpus).unwrap_or(1) * 1000,
            memory_bytes: fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory_bytes(&text)),
            hostname: text(uname.nodename()),
            architecture: go_architecture(&text(uname.machine())).to_owned(),
            kernel: text(uname.release()),
            os_image: release.as_deref().and_then(pretty_name),
            machine_id: line("/etc/machine-id").filter(|id| !id.is_empty()),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
        }
    }
}

fn total_memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn pretty_name(release: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

fn go_architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_and_names() {
        assert_eq!(total_memory_bytes("MemTotal:        1024 kB\nMemFree: 1 kB\n"), Some(1_048_576));
        assert_eq!(total_memory_bytes("MemFree: 1 kB\n"), None);
        assert_eq!(pretty_name("ID=x\nPRETTY_NAME=\"Some OS 1\"\n"), Some("Some OS 1".to_owned()));
        assert_eq!(go_architecture("x86_64"), "amd64");
        assert!(Machine::read().cpu_milli >= 1000);
    }
}
