//! The machine: file systems, network, disk and swap at the start, and the end of it all.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::system::{RebootCommand, reboot, sethostname};

use crate::{console, kernel};

/// Where the only hierarchy is mounted.
pub const CGROUPS: &str = "/sys/fs/cgroup";
/// A real file system on a real block device: its pages are file cache, its writes are input and output.
pub const DISK: &str = "/disk";
/// Host name: one as people give them, which is no name of a node.
const HOSTNAME: &str = "Test_Machine";
/// Device under [`DISK`].
const DISK_DEVICE: &str = "/dev/nvme0n1";
/// Device for swap.
const SWAP_DEVICE: &str = "/dev/nvme1n1";
/// Longest wait for a device to show up.
const DEVICE_LIMIT: Duration = Duration::from_secs(20);

/// Makes the machine as a node is: everything mounted, every controller on.
pub fn prepare() -> anyhow::Result<()> {
    mounted("proc", "/proc", "proc", "")?;
    mounted("sysfs", "/sys", "sysfs", "")?;
    mounted("devtmpfs", "/dev", "devtmpfs", "")?;
    mounted("cgroup2", CGROUPS, "cgroup2", "nsdelegate,memory_recursiveprot")?;
    for (folder, options) in [("/dev/shm", "mode=1777"), ("/tmp", "mode=1777"), ("/run", "mode=755")] {
        std::fs::create_dir_all(folder).context(folder)?;
        mounted("tmpfs", folder, "tmpfs", options)?;
    }
    sethostname(HOSTNAME.as_bytes()).context("cannot set the host name")?;
    tool("ip", &["link", "set", "lo", "up"])?;
    await_device(DISK_DEVICE)?;
    tool("mke2fs", &["-F", DISK_DEVICE])?;
    std::fs::create_dir_all(DISK).context(DISK)?;
    mounted(DISK_DEVICE, DISK, "ext2", "")?;
    await_device(SWAP_DEVICE)?;
    tool("mkswap", &[SWAP_DEVICE])?;
    tool("swapon", &[SWAP_DEVICE])?;
    let release = kernel::text(Path::new("/proc/sys/kernel/osrelease"))?;
    let controllers = kernel::text(&Path::new(CGROUPS).join("cgroup.controllers"))?;
    console::say(&format!("Linux {release}, control groups v2 with {controllers}"));
    ensure!(controllers.contains("memory"), "the kernel has no memory controller");
    Ok(())
}

/// `MAJ:MIN` of the disk, as `io.stat` names it.
pub fn disk_number() -> anyhow::Result<String> {
    let name = DISK_DEVICE.rsplit('/').next().unwrap_or(DISK_DEVICE);
    kernel::text(&Path::new("/sys/class/block").join(name).join("dev"))
}

/// Switches the machine off. Does not return.
pub fn switch_off() -> ! {
    // What was written on the console must be out first.
    std::thread::sleep(Duration::from_millis(200));
    let _ = reboot(RebootCommand::PowerOff);
    loop {
        std::thread::park();
    }
}

fn mounted(source: &str, target: &str, kind: &str, options: &str) -> anyhow::Result<()> {
    let options: &[&str] = if options.is_empty() { &[] } else { &["-o", options] };
    tool("mount", &[&["-t", kind, source, target], options].concat())
}

/// Runs one of busybox's tools. Its input is the console, as there is no `/dev/null` at first.
fn tool(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(Path::new("/bin").join(name)).args(arguments).stdin(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name} {arguments:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn await_device(path: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEVICE_LIMIT;
    while !Path::new(path).exists() {
        ensure!(Instant::now() < deadline, "there is no {path}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
