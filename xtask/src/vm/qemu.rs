//! Starting the virtual machine, and making sure that it ends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;

use crate::image;

/// The emulator.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// Memory of the machine, MiB.
const MEMORY_MIB: u32 = 1024;

/// What time is to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// That of this machine: two processors, as slow as emulation is.
    Real,
    /// A count of instructions, two nanoseconds each, and none while idle: one processor. To the machine it is a
    /// processor of usual speed that nobody else uses, however slow and busy this machine is; idle time costs nothing.
    /// (With two processors, qemu 7.2 does not get through the boot in this mode.)
    Instructions,
}

/// A machine to boot.
#[derive(Debug)]
pub struct Machine {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its first file system, with `/init`.
    pub initramfs: PathBuf,
    /// Images of disks, `/dev/nvme0n1` and so on. They stay as they are: what is written goes to an unlinked file.
    pub disks: Vec<PathBuf>,
    /// Its clock.
    pub time: Time,
    /// Words for the first process.
    pub arguments: Vec<String>,
}

impl Machine {
    /// Boots it, hands on each line of its console and returns when it is off; says how it ended. After `limit` it is
    /// killed. It ends with this program too, however that ends.
    pub fn run(&self, limit: Duration, mut line: impl FnMut(&str)) -> anyhow::Result<String> {
        let mut command = self.command();
        println!("+ {}", shown(&command));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let console = child.as_mut().map(|child| child.stdout.take());
        let console = console.ok().flatten().context("cannot start qemu")?;
        let running = Arc::new(Running(Mutex::new(child.context("cannot start qemu")?)));
        let (ended, wait) = channel::<()>();
        let too_late = Arc::new(AtomicBool::new(false));
        let watch = {
            let (running, too_late) = (running.clone(), too_late.clone());
            std::thread::spawn(move || {
                if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    too_late.store(true, Ordering::SeqCst);
                    running.kill();
                }
            })
        };
        let mut lines = BufReader::new(console);
        let mut bytes = Vec::new();
        // The console ends when the machine does.
        while lines.read_until(b'\n', &mut bytes)? > 0 {
            line(String::from_utf8_lossy(&bytes).trim_end());
            bytes.clear();
        }
        drop(ended);
        let _ = watch.join();
        let status = running.wait()?;
        Ok(match too_late.load(Ordering::SeqCst) {
            true => format!("stopped after {} s", limit.as_secs()),
            false => format!("qemu ended with {status}"),
        })
    }

    fn command(&self) -> Command {
        let mut command = match image::program_in_path("setpriv") {
            // The kernel then kills the machine when this program dies, by a signal for example.
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--", PROGRAM]);
                command
            }
            None => Command::new(PROGRAM),
        };
        // Never by hardware virtualisation: it hangs on machines that are virtual themselves.
        command.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", &MEMORY_MIB.to_string()]);
        command.args(match self.time {
            Time::Real => &["-smp", "2"][..],
            Time::Instructions => &["-smp", "1", "-icount", "shift=1,sleep=off"],
        });
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            "stdio",
        ]);
        command.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initramfs);
        for (index, disk) in self.disks.iter().enumerate() {
            let path = disk.display().to_string().replace(',', ",,");
            command.args(["-drive", &format!("if=none,id=disk{index},format=raw,snapshot=on,file={path}")]);
            command.args(["-device", &format!("nvme,drive=disk{index},serial=disk{index}")]);
        }
        command.arg("-append").arg(self.kernel_arguments());
        command
    }

    /// Only emergencies of the kernel go to the console, which belongs to the tests; a panic ends the machine.
    fn kernel_arguments(&self) -> String {
        let fixed =
            "console=ttyS0 quiet loglevel=1 panic=-1 oops=panic psi=1 mitigations=off random.trust_cpu=on --";
        let words = std::iter::once(fixed).chain(self.arguments.iter().map(String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The process of the machine; killed if it is still there when this is dropped.
struct Running(Mutex<Child>);

impl Running {
    fn kill(&self) {
        // Fails only when it has ended already.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    fn wait(&self) -> std::io::Result<std::process::ExitStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let _ = self.wait();
    }
}
