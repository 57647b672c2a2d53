//! What a running instance has on this machine, and what of it is left afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// Folder under which control groups stand.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// How deep below [`CGROUP_ROOT`] an instance's own group may stand: controller, slices of a user scope, group.
const GROUP_DEPTH: usize = 8;

/// State of a listening socket in /proc/net/tcp.
const LISTEN: &str = "0A";

/// A process, told apart from a later one with the same id by its start time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    pid: u32,
    started_ticks: String,
}

/// Processes, control groups and listening sockets of one instance at one moment.
#[derive(Debug, Clone, Default)]
pub struct Footprint {
    folder: PathBuf,
    processes: BTreeSet<Process>,
    /// Names of its top control groups, `flyball-…`.
    groups: BTreeSet<String>,
    /// Inodes of its listening sockets.
    listeners: BTreeSet<String>,
}

impl Footprint {
    /// Of process `pid`, its descendants and whatever runs in their control groups.
    #[must_use]
    pub fn of(pid: u32, folder: &Path) -> Self {
        let all = all_processes();
        let mut family = BTreeSet::from([pid]);
        // /proc is read in the order of process ids, children may come first: repeat until nobody is added.
        loop {
            let before = family.len();
            family.extend(
                all.iter()
                    .filter(|stat| family.contains(&stat.parent))
                    .map(|stat| stat.process.pid)
                    .collect::<Vec<_>>(),
            );
            if family.len() == before {
                break;
            }
        }
        let groups: BTreeSet<_> = family.iter().flat_map(|&pid| own_groups(pid)).collect();
        let members =
            all.iter().filter(|stat| own_groups(stat.process.pid).iter().any(|name| groups.contains(name)));
        family.extend(members.map(|stat| stat.process.pid));
        let listening = listening_inodes();
        let sockets = family.iter().flat_map(|&pid| socket_inodes(pid));
        Self {
            folder: folder.to_owned(),
            listeners: sockets.filter(|inode| listening.contains(inode)).collect(),
            processes: all
                .into_iter()
                .filter(|stat| family.contains(&stat.process.pid))
                .map(|stat| stat.process)
                .collect(),
            groups,
        }
    }

    /// Number of processes.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    /// Names of its top control groups; none when it accounts per process.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// Number of listening sockets.
    #[must_use]
    pub fn listener_count(&self) -> usize {
        self.listeners.len()
    }

    /// `Ok` when nothing of it exists any more.
    ///
    /// # Errors
    /// What is left, one line each.
    pub fn left(&self) -> Result<(), String> {
        let mut left = self.processes_left();
        left.extend(
            group_folders(&self.groups).iter().map(|path| format!("control group {}", path.display())),
        );
        let listening = listening_inodes();
        left.extend(self.listeners.intersection(&listening).map(|inode| format!("listener, socket {inode}")));
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    }

    /// Processes of it that still run, and any other that runs in its control groups or names its folder.
    #[must_use]
    pub fn processes_left(&self) -> Vec<String> {
        let ours = |stat: &Stat| {
            self.processes.contains(&stat.process)
                || own_groups(stat.process.pid).iter().any(|name| self.groups.contains(name))
                || names_folder(stat.process.pid, &self.folder)
        };
        let me = std::process::id();
        all_processes().iter().filter(|stat| stat.process.pid != me && ours(stat)).map(describe).collect()
    }

    /// Processes of this very footprint that still run; later ones of the same folder do not count.
    #[must_use]
    pub fn same_processes_left(&self) -> Vec<String> {
        all_processes().iter().filter(|stat| self.processes.contains(&stat.process)).map(describe).collect()
    }

    /// Ends what is left, as far as possible: the clean-up of a failed test.
    pub(crate) fn end(&self) {
        for stat in all_processes() {
            let raw = i32::try_from(stat.process.pid).ok().and_then(Pid::from_raw);
            if let (true, Some(pid)) = (self.processes.contains(&stat.process), raw) {
                // Fails only when it ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The few fields of /proc/PID/stat that count here.
#[derive(Debug)]
struct Stat {
    process: Process,
    parent: u32,
}

/// Every process that is not dead yet.
fn all_processes() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold any character.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, parent, started_ticks) = (*fields.first()?, fields.get(1)?.parse().ok()?, *fields.get(19)?);
    let dead = matches!(state, "Z" | "X");
    (!dead).then(|| Stat { process: Process { pid, started_ticks: started_ticks.to_owned() }, parent })
}

fn describe(stat: &Stat) -> String {
    let command = fs::read(format!("/proc/{}/cmdline", stat.process.pid)).unwrap_or_default();
    let words = String::from_utf8_lossy(&command).replace('\0', " ");
    format!("process {} (parent {}): {words}", stat.process.pid, stat.parent)
}

/// The parts named `flyball-…` of the paths of a process's control groups.
fn own_groups(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths
        .flat_map(|path| path.split('/').filter(|part| part.starts_with("flyball-")).map(str::to_owned))
        .collect()
}

fn names_folder(pid: u32, folder: &Path) -> bool {
    let folder = folder.as_os_str().as_encoded_bytes();
    let holds = |file: &str| {
        fs::read(format!("/proc/{pid}/{file}"))
            .is_ok_and(|bytes| bytes.windows(folder.len()).any(|window| window == folder))
    };
    holds("cmdline") || holds("environ")
}

/// Inodes of the machine's listening TCP sockets.
fn listening_inodes() -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let rows = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&LISTEN))
        .filter_map(|row| row.get(9).map(|&inode| inode.to_owned()))
        .collect()
}

fn socket_inodes(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect()
}

/// Folders of these names among the machine's control groups.
fn group_folders(names: &BTreeSet<String>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut level = vec![PathBuf::from(CGROUP_ROOT)];
    for _ in 0..GROUP_DEPTH {
        let mut next = Vec::new();
        for entry in level.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let named = entry.file_name().to_str().is_some_and(|name| names.contains(name));
            if named { found.push(entry.path()) } else { next.push(entry.path()) }
        }
        level = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{SHORT, eventually};

    #[test]
    fn processes_are_seen_until_they_end() {
        // The shell keeps a child of its own.
        let script = "sleep 100000 & wait";
        let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().expect("sh starts");
        let folder = Path::new("/nowhere/flyball-e2e");
        let footprint = eventually(SHORT, "shell and child", String::new, || {
            let footprint = Footprint::of(child.id(), folder);
            if footprint.process_count() == 2 { Ok(footprint) } else { Err(format!("{footprint:?}")) }
        });
        let left = footprint.left().expect_err("both run");
        assert!(left.contains("sleep 100000"), "{left}");
        footprint.end();
        child.wait().expect("the shell ended");
        eventually(SHORT, "nothing is left", String::new, || footprint.left());
    }

    #[test]
    fn listeners_are_seen_until_they_close() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let before = Footprint::of(std::process::id(), Path::new("/nowhere/flyball-e2e"));
        assert!(before.listener_count() >= 1);
        drop(listener);
        // A child that another test is starting may share the socket for a moment.
        eventually(SHORT, "one listener less", String::new, || {
            let after = Footprint::of(std::process::id(), Path::new("/nowhere/flyball-e2e"));
            if after.listener_count() + 1 == before.listener_count() {
                Ok(())
            } else {
                Err(format!("{after:?}"))
            }
        });
    }

    #[test]
    fn processes_that_name_the_folder_count() {
        let folder = Path::new("/nowhere/flyball-e2e-named");
        let mut child = std::process::Command::new("sleep")
            .arg("100000")
            .env("SOMETHING", folder)
            .spawn()
            .expect("sleep starts");
        let footprint = Footprint { folder: folder.to_owned(), ..Footprint::default() };
        eventually(SHORT, "the process is seen", String::new, || {
            if footprint.processes_left().is_empty() { Err("none".to_owned()) } else { Ok(()) }
        });
        child.kill().and_then(|()| child.wait()).expect("sleep ended");
        assert_eq!(footprint.processes_left(), Vec::<String>::new());
    }
}
