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

/// Name of a node whose host name has nothing that a name may have.
const NAMELESS: &str = "node";
/// Longest name of an object.
const NAME_LIMIT: usize = 253;

impl Machine {
    /// The name of its Node: the host name, made one that an object may have. Host names may hold capitals (the kubelet
    /// writes them small, too), underscores, or, where none was set, `(none)`.
    pub fn node_name(&self) -> String {
        let name: String = self.hostname.to_lowercase().chars().take(NAME_LIMIT).collect();
        let allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
        let labels = name.split('.').map(|label| {
            let label: String = label.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
            label.trim_matches('-').to_owned()
        });
        let name = labels.filter(|label| !label.is_empty()).collect::<Vec<_>>().join(".");
        if name.is_empty() { NAMELESS.to_owned() } else { name }
    }

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

    #[test]
    fn any_host_name_gives_a_name_of_a_node() {
        let long = "x".repeat(300);
        for (hostname, expected) in [
            ("node1", "node1"),
            ("node1.example.com", "node1.example.com"),
            ("Annas-Laptop", "annas-laptop"),
            ("build_host.Example.com", "build-host.example.com"),
            ("(none)", "none"),
            ("-a-..b.", "a.b"),
            ("", NAMELESS),
            ("___", NAMELESS),
            (&long, &long[..NAME_LIMIT]),
        ] {
            let machine = Machine { hostname: hostname.to_owned(), ..Machine::default() };
            let name = machine.node_name();
            assert_eq!(name, expected, "{hostname}");
            assert!(flyball_model::names::dns1123_subdomain(&name).is_empty(), "{hostname}");
        }
    }
}
