//! `cargo xtask vm-test`: Flyball on control groups v2 for real, whatever this machine has.
//!
//! Debian's kernel boots under qemu, by plain emulation, with an initramfs that holds a static `flyball` and a static
//! test program (`e2e/guest/`) as its first process. The test program makes groups with known load, compares what the
//! collector says with what was really consumed, runs `flyball demo`, and says on the console how each check ended.

mod initramfs;
mod kernel;
mod qemu;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::image::{self, FLYBALL, Profile, Program};
use crate::totals::Totals;
use initramfs::{File, Initramfs};
use qemu::Time;
use verdict::Verdict;

/// Where downloads and the machine's files are kept, under the workspace.
const FOLDER: &str = "target/vm";
/// The first process of the machine.
const GUEST: Program = Program { package: "flyball-vm-guest", name: "flyball-vm-guest" };
/// What is checked, each in a machine of its own. The collector is compared with the kernel of two processors; the
/// demo's pods must answer in time, which emulation by the clock on the wall is too slow for.
const SUBJECTS: [(&str, Time); 2] = [("collector", Time::Real), ("program", Time::Instructions)];
/// Bytes of the disk that the guest may write to. It is sparse, and what is written is thrown away.
const DISK_BYTES: u64 = 512 << 20;
/// Bytes of the guest's swap space.
const SWAP_BYTES: u64 = 128 << 20;

/// Flags of `cargo xtask vm-test`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Time after which a machine is stopped, whatever it does, in seconds. There are two, one after the other.
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    pub limit: u64,
    /// Tests this static program in place of one that is built here.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Only checks with one of these in their names.
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: 900, program: None, filters: Vec::new() }
    }
}

/// Builds the programs, boots the machines and reads their verdicts. What this machine lacks is said.
///
/// # Errors
/// Something does not build or start, a check fails, or the machine does not come to its end in time.
pub fn run(options: &Options) -> anyhow::Result<Totals> {
    if let Some(why) = missing() {
        println!("vm-test: SKIPPED, all of it: {why}");
        return Ok(Totals::default());
    }
    let folder = folder()?;
    let kernel = match kernel::get(&folder) {
        Ok(kernel) => kernel,
        Err(error) => {
            println!("vm-test: SKIPPED, all of it: no kernel: {error:#}");
            return Ok(Totals::default());
        }
    };
    let initramfs = folder.join("initramfs.cpio");
    let contents = contents(options.program.as_deref())?;
    std::fs::write(&initramfs, contents).with_context(|| initramfs.display().to_string())?;
    let disks = vec![disk(&folder, "disk.raw", DISK_BYTES)?, disk(&folder, "swap.raw", SWAP_BYTES)?];
    let mut verdict = Verdict::default();
    for (subject, time) in SUBJECTS {
        let arguments = std::iter::once(subject.to_owned()).chain(options.filters.iter().cloned()).collect();
        let (kernel, initramfs, disks) = (kernel.clone(), initramfs.clone(), disks.clone());
        let machine = qemu::Machine { kernel, initramfs, disks, time, arguments };
        verdict.begin();
        let end = machine.run(Duration::from_secs(options.limit), |line| {
            verdict.add_line(line);
            println!("{line}");
        })?;
        if !verdict.has_ended() {
            bail!("the virtual machine did not finish its checks of the {subject}: {end}");
        }
    }
    let totals = verdict.totals();
    println!("vm-test: {totals}");
    if verdict.is_empty() {
        bail!("no check has such a name");
    }
    if verdict.has_failed() {
        bail!("on control groups v2 these fail: {}", verdict.failed().join(", "));
    }
    Ok(totals)
}

/// The first thing without which no machine can be booted here.
fn missing() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the kernel that is booted is one for x86_64");
    }
    [
        (qemu::PROGRAM, "no qemu-system-x86_64 in PATH (Debian: apt-get install qemu-system-x86)"),
        ("busybox", "no busybox in PATH (Debian: apt-get install busybox-static)"),
    ]
    .into_iter()
    .find(|(program, _)| image::program_in_path(program).is_none())
    .map(|(_, why)| why)
}

/// Where downloads and the machine's files are kept between runs.
fn folder() -> anyhow::Result<PathBuf> {
    let folder = image::root().join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// The root file system: two static programs of ours, and busybox for the shell that the demo's janitor is.
fn contents(program: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let busybox = image::program_in_path("busybox").context("no busybox")?;
    let read = |path: PathBuf| std::fs::read(&path).with_context(|| path.display().to_string());
    // Optimised because emulation is slow; the checks wait for their loads, and are quicker to build as they are.
    let flyball = match program {
        Some(given) => given.to_owned(),
        None => image::static_program(FLYBALL, Profile::Release)?,
    };
    let flyball = read(flyball)?;
    let guest = read(image::static_program(GUEST, Profile::Dev)?)?;
    let mut initramfs = Initramfs::default();
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        initramfs.folder(folder);
    }
    initramfs.file(&File { path: "init", mode: 0o755, bytes: &guest });
    initramfs.file(&File { path: "bin/flyball", mode: 0o755, bytes: &flyball });
    initramfs.file(&File { path: "bin/busybox", mode: 0o755, bytes: &read(busybox)? });
    initramfs.file(&File { path: "etc/hosts", mode: 0o644, bytes: b"127.0.0.1 localhost\n" });
    initramfs.file(&File {
        path: "etc/passwd",
        mode: 0o644,
        bytes: b"root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n",
    });
    for tool in ["sh", "cat", "find", "ip", "mke2fs", "mkswap", "mount", "rm", "rmdir", "sleep", "swapon"] {
        initramfs.link(&format!("bin/{tool}"), "busybox");
    }
    Ok(initramfs.finish())
}

/// A sparse image without a byte in it.
fn disk(folder: &Path, name: &str, bytes: u64) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    file.set_len(bytes).with_context(|| path.display().to_string())?;
    Ok(path)
}
