//! Killing what is left and removing its groups: at the end of a container, at shutdown, and at start for what an
//! earlier run of the same folder left behind.
//!
//! Where folders stand in for control groups, a process id on disk may belong to a stranger by now. So each folder also
//! holds an `identity` (boot and start time of the root process). The container's processes are those of the root's
//! session; the kernel reuses no process id that is still a session's, so a session without its leader is still ours.
#![allow(clippy::disallowed_methods, reason = "edge: kills processes and removes folders")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::cgroups::read_pids;

/// File beside `cgroup.procs` that tells the root process from a later one with its id.
const IDENTITY: &str = "identity";
/// Rounds of killing.
const ROUNDS: u32 = 200;
/// Pause between rounds.
const PAUSE: Duration = Duration::from_millis(10);
/// Deepest folder below a top: `kubepods/<qos>/<pod>/<container>`.
const MAX_DEPTH: u32 = 6;

/// Sends SIGKILL; a process that is gone already is fine.
pub(super) fn kill_process(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Writes the identity of a container's root process.
pub(super) fn note_identity(folder: &Path, pid: i32) -> io::Result<()> {
    let start = Stat::read(pid).map_or(0, |stat| stat.start_ticks);
    fs::write(folder.join(IDENTITY), format!("{} {start}\n", boot_id()))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Session, start and state of a process.
struct Stat {
    session: i32,
    start_ticks: u64,
    ended: bool,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in parentheses may contain anything, so fields count from the last parenthesis.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Self {
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
            ended: matches!(*fields.first()?, "Z" | "X"),
        })
    }
}

/// Kills the sessions whose root processes are noted in these folders. Blocks, bounded; true if none is left.
pub(super) fn kill_noted(folders: &[PathBuf]) -> bool {
    let roots: Vec<i32> = folders.iter().filter_map(|folder| noted_root(folder)).collect();
    for _ in 0..ROUNDS {
        let mut left = false;
        for (pid, stat) in processes() {
            if roots.contains(&stat.session) && !stat.ended {
                left = true;
                kill_process(pid);
            }
        }
        if !left {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

/// The noted root process, unless its id belongs to another process by now.
fn noted_root(folder: &Path) -> Option<i32> {
    let pid = *read_pids(&folder.join("cgroup.procs"))?.first()?;
    let identity = fs::read_to_string(folder.join(IDENTITY)).ok()?;
    let (boot, start) = identity.trim().split_once(' ')?;
    let same = Stat::read(pid).is_none_or(|stat| start.parse() == Ok(stat.start_ticks));
    (boot == boot_id() && same).then_some(pid)
}

fn processes() -> Vec<(i32, Stat)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, Stat::read(pid)?))).collect()
}

/// Kills everything below the top folders and removes them. Blocks, bounded; safe to repeat.
pub(super) fn clear(tops: &[PathBuf], processes: bool) {
    let mut folders = Vec::new();
    for top in tops.iter().filter(|top| top.is_dir()) {
        collect(top, 0, &mut folders);
    }
    if processes {
        let noted: Vec<PathBuf> =
            folders.iter().filter(|folder| folder.join(IDENTITY).is_file()).cloned().collect();
        kill_noted(&noted);
        for top in tops {
            let _ = fs::remove_dir_all(top);
        }
        return;
    }
    let own = std::process::id().cast_signed();
    for _ in 0..ROUNDS {
        let pids = folders.iter().filter_map(|folder| read_pids(&folder.join("cgroup.procs"))).flatten();
        pids.filter(|pid| *pid != own).for_each(kill_process);
        // Children were collected after their parents. A group may gain a last process until it is gone, so both are
        // done again until nothing is left.
        for folder in folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        if tops.iter().all(|top| !top.exists()) {
            return;
        }
        std::thread::sleep(PAUSE);
        folders.clear();
        for top in tops.iter().filter(|top| top.is_dir()) {
            collect(top, 0, &mut folders);
        }
    }
    tracing::warn!(?tops, "control groups cannot be removed");
}

fn collect(folder: &Path, depth: u32, folders: &mut Vec<PathBuf>) {
    folders.push(folder.to_owned());
    if depth >= MAX_DEPTH {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), depth + 1, folders);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_odd_name() {
        let line = "7 (a) b (c)) S 1 7 6 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.session, stat.start_ticks, stat.ended), (6, 4242, false));
        let own = std::process::id().cast_signed();
        assert!(Stat::read(own).is_some_and(|stat| stat.start_ticks > 0));
    }

    #[test]
    fn stranger_with_a_noted_id_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::process::id().cast_signed();
        fs::write(folder.path().join("cgroup.procs"), format!("{own}\n")).unwrap();
        assert_eq!(noted_root(folder.path()), None, "no identity");
        fs::write(folder.path().join(IDENTITY), format!("{} 1\n", boot_id())).unwrap();
        assert_eq!(noted_root(folder.path()), None, "another start time");
        fs::write(folder.path().join(IDENTITY), "other-boot 1\n").unwrap();
        assert_eq!(noted_root(folder.path()), None, "another boot");
        note_identity(folder.path(), own).unwrap();
        assert_eq!(noted_root(folder.path()), Some(own));
    }
}
