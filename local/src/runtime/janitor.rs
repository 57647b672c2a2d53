//! What cleans up if this process is killed: a shell that waits for the end of this process, then kills what is left in
//! the groups and removes them.
//!
//! The kernel already kills each container's root process with this one; their children, and the groups, need this. The
//! shell holds the lock file until it is done, so that the next run in the same folder waits for it.
#![allow(clippy::disallowed_methods, reason = "edge: starts the janitor and locks the folder")]

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::fs::FlockOperation;

/// Attempts to get the lock.
const LOCK_ATTEMPTS: u32 = 200;
/// Pause between attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// `$1` is `groups` or `processes`, the rest are top folders. Signals of the terminal must not end it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
mode=$1; shift
while read -r _; do :; done
round=0
while [ $round -lt 100 ]; do
  pids=$(find "$@" -name cgroup.procs -exec cat {} + 2>/dev/null)
  [ -z "$pids" ] && break
  for pid in $pids; do
    if [ "$mode" = processes ]; then kill -9 "-$pid" 2>/dev/null; else kill -9 "$pid" 2>/dev/null; fi
  done
  [ "$mode" = processes ] && break
  round=$((round + 1))
  sleep 0.05
done
if [ "$mode" = processes ]; then rm -rf "$@"; else find "$@" -depth -type d -exec rmdir {} \; 2>/dev/null; fi
"#;

/// The waiting shell. Dropping it, or the death of this process, closes its input and sets it to work.
#[derive(Debug)]
pub(super) struct Janitor {
    input: Option<ChildStdin>,
    shell: Child,
    _lock: File,
}

impl Janitor {
    /// Takes the lock, waiting for an earlier janitor, and starts the shell.
    ///
    /// # Errors
    /// `WouldBlock` if the folder stays locked; else what refused.
    pub(super) fn start(lock: &Path, tops: &[PathBuf], processes: bool) -> io::Result<Self> {
        let file = take_lock(lock)?;
        let mode = if processes { "processes" } else { "groups" };
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg("flyball-janitor").arg(mode).args(tops);
        // The lock goes along as standard output: it is held until both have closed it.
        command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(Stdio::null());
        command.current_dir("/").process_group(0);
        let mut shell = command.spawn()?;
        let input = shell.stdin.take();
        Ok(Self { input, shell, _lock: file })
    }
}

impl Drop for Janitor {
    /// Lets the shell look for leftovers and waits for its end, so that the lock is free when this returns.
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.shell.wait();
    }
}

fn take_lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    for _ in 0..LOCK_ATTEMPTS {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}
