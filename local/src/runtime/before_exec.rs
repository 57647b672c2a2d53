//! What a new process does between fork and exec.
#![allow(
    unsafe_code,
    reason = "std offers joining a group, a session and a death signal only through pre_exec"
)]

use std::fs::File;
use std::io;

use rustix::process::Signal;
use tokio::process::Command;

/// Makes the command join the groups behind these open `cgroup.procs` files, lead its own session, and die with the
/// thread that starts it.
pub(super) fn prepare(command: &mut Command, groups: Vec<File>) {
    let parent = std::process::id().cast_signed();
    let enter = move || {
        for group in &groups {
            // "0" means the writing process.
            rustix::io::write(group, b"0")?;
        }
        rustix::process::setsid()?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        let orphaned = rustix::process::getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent);
        if orphaned {
            Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()))
        } else {
            Ok(())
        }
    };
    // SAFETY: after fork only system calls are made, all through rustix without allocation or locks.
    unsafe {
        command.pre_exec(enter);
    }
}
