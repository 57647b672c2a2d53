//! The kernel's own counters of a pod, read beside the program.

use std::fs;
use std::path::{Path, PathBuf};

/// The control group of one pod: v1 or v2, wherever it is mounted.
#[derive(Debug, Clone)]
pub struct PodGroup {
    cpu: PathBuf,
    memory: PathBuf,
    version2: bool,
}

impl PodGroup {
    /// Finds the group by a process of the pod with this UID.
    ///
    /// # Errors
    /// When no process runs in such a group, or a group's folder is not found.
    pub fn find(uid: &str) -> Result<Self, String> {
        let names = [uid.to_owned(), uid.replace('-', "_")];
        let table = fs::read_dir("/proc")
            .map_err(|error| error.to_string())?
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path().join("cgroup")).ok())
            .find(|table| names.iter().any(|name| table.contains(name.as_str())))
            .ok_or_else(|| format!("no process runs in a control group of pod {uid}"))?;
        let path_of = |controller: &str| {
            let mut lines = table.lines().filter_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                Some((parts.next()?, parts.next()?))
            });
            let path = lines.find(|(list, _)| list.split(',').any(|name| name == controller))?.1;
            up_to(path, &names)
        };
        match (path_of("cpuacct"), path_of("memory")) {
            (Some(cpu), Some(memory)) => Ok(Self {
                cpu: mounted("cgroup", "cpuacct", &cpu)?,
                memory: mounted("cgroup", "memory", &memory)?,
                version2: false,
            }),
            _ => {
                let path = path_of("").ok_or_else(|| format!("no group of pod {uid} in {table}"))?;
                let folder = mounted("cgroup2", "", &path)?;
                Ok(Self { cpu: folder.clone(), memory: folder, version2: true })
            }
        }
    }

    /// CPU time used since the pod began, in nanoseconds.
    ///
    /// # Errors
    /// When the counter cannot be read.
    pub fn cpu_ns(&self) -> Result<u64, String> {
        if self.version2 {
            return Ok(field(&self.cpu.join("cpu.stat"), "usage_usec")? * 1_000);
        }
        number(&self.cpu.join("cpuacct.usage"))
    }

    /// Memory in use without the file cache that could be dropped at once, in bytes.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn working_set_bytes(&self) -> Result<u64, String> {
        let (usage, inactive) = if self.version2 {
            ("memory.current", "inactive_file")
        } else {
            ("memory.usage_in_bytes", "total_inactive_file")
        };
        let inactive_bytes = field(&self.memory.join("memory.stat"), inactive)?;
        Ok(number(&self.memory.join(usage))?.saturating_sub(inactive_bytes))
    }
}

/// The path up to and with the part that holds one of `names`.
fn up_to(path: &str, names: &[String]) -> Option<String> {
    let parts: Vec<_> = path.split('/').collect();
    let last = parts.iter().position(|part| names.iter().any(|name| part.contains(name.as_str())))?;
    Some(parts[1..=last].join("/"))
}

/// Folder of the group `path` on the mount of this type that has `option`; the empty option fits any.
fn mounted(kind: &str, option: &str, path: &str) -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields.get(2) == Some(&kind))
        .filter(|fields| {
            option.is_empty() || fields.get(3).is_some_and(|list| list.split(',').any(|o| o == option))
        })
        .filter_map(|fields| fields.get(1).map(|mount| Path::new(mount).join(path)))
        .find(|folder| folder.is_dir())
        .ok_or_else(|| format!("no {kind} mount {option} holds {path}"))
}

fn number(path: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.trim().parse().map_err(|error| format!("{}: {error}", path.display()))
}

fn field(path: &Path, name: &str) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    value.ok_or_else(|| format!("{} has no {name}", path.display()))
}
