//! A process that uses a known amount of something and says how much.
//!
//! `load GROUP JOB ARGUMENT…`: it joins the group, does the job, prints one line `key=value key=value …`, and waits. A
//! line on its standard input makes it do the job again; the end of its input ends it. It also tells its own CPU time
//! just before and just after it joined: what it used until then is not the group's.
//!
//! With `load --run` it becomes another program in place of a job.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::time::{ClockId, clock_gettime};

const MIB: usize = 1 << 20;
/// Arithmetic between two looks at a clock.
const SPIN: u64 = 20_000;
/// `O_DIRECT`, past the page cache.
const DIRECT: i32 = rustix::fs::OFlags::DIRECT.bits().cast_signed();

/// Memory as `O_DIRECT` wants it.
#[repr(align(4096))]
struct Block([u8; MIB]);

static BLOCK: Block = Block([0xa5; MIB]);

/// Runs until its input ends.
pub fn main(words: &[String]) -> ExitCode {
    let outcome = match words {
        [first, rest @ ..] if first == "--run" => become_program(rest),
        _ => run(words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load {}: {error:#}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// `--run GROUP UID PROGRAM ARGUMENT…`: joins the group, becomes the user, and then the program.
fn become_program(words: &[String]) -> anyhow::Result<()> {
    let [group, user, program, arguments @ ..] = words else { bail!("no group, user and program") };
    join(group)?;
    let user = user.parse()?;
    let error = Command::new(program).args(arguments).uid(user).gid(user).exec();
    Err(error).with_context(|| program.clone())
}

fn join(group: &str) -> anyhow::Result<()> {
    let procs = format!("{group}/cgroup.procs");
    std::fs::write(&procs, "0").context(procs)
}

fn run(words: &[String]) -> anyhow::Result<()> {
    let [group, job, arguments @ ..] = words else { bail!("no group and job") };
    let before_ns = cpu_ns();
    join(group)?;
    let joined_ns = cpu_ns();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut kept = Vec::new();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        let told = work(job, &arguments, &mut kept)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{told} before_ns={before_ns} joined_ns={joined_ns}")?;
        out.flush()?;
        if lines.next().is_none() {
            return Ok(());
        }
    }
}

/// Does the job once and says what it did.
fn work(job: &str, arguments: &[&str], kept: &mut Vec<Vec<u8>>) -> anyhow::Result<String> {
    match (job, arguments) {
        ("idle", []) => Ok(String::new()),
        ("burn", [ms]) => Ok(burn(Duration::from_millis(ms.parse()?))),
        ("spin", [ms]) => Ok(spin(Duration::from_millis(ms.parse()?))),
        ("memory", [mib]) => {
            kept.push(touched(mib.parse()?));
            Ok(format!("bytes={}", kept.iter().map(Vec::len).sum::<usize>()))
        }
        ("file", [path, mib]) => file(path, mib.parse()?),
        ("direct", [path, mib]) => direct(path, mib.parse()?),
        ("threads", [count]) => {
            for _ in 0..count.parse::<usize>()? {
                std::thread::Builder::new().spawn(std::thread::park)?;
            }
            Ok(format!("tasks={}", count.parse::<usize>()? + 1))
        }
        _ => bail!("no such job"),
    }
}

/// Uses so much CPU time.
fn burn(time: Duration) -> String {
    let until_ns = cpu_ns() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    while cpu_ns() < until_ns {
        arithmetic();
    }
    String::new()
}

/// Wants CPU for so long by the wall clock, and takes what it gets.
fn spin(time: Duration) -> String {
    let (started, started_ns) = (Instant::now(), cpu_ns());
    while started.elapsed() < time {
        arithmetic();
    }
    format!("wall_ns={} spun_ns={}", started.elapsed().as_nanos(), cpu_ns() - started_ns)
}

fn arithmetic() {
    let mut value = 0_u64;
    for step in 0..SPIN {
        value = std::hint::black_box(value.wrapping_mul(31).wrapping_add(step));
    }
}

/// Anonymous memory, every page of it written.
fn touched(mib: usize) -> Vec<u8> {
    let mut memory = vec![0_u8; mib * MIB];
    // Not all the same, so that nothing is merged or compressed away.
    memory.chunks_mut(64).enumerate().for_each(|(at, chunk)| chunk[0] = (at % 251) as u8);
    std::hint::black_box(memory)
}

/// A file through the page cache, all of it on the device at the end.
fn file(path: &str, mib: usize) -> anyhow::Result<String> {
    let mut file = File::create(path).with_context(|| path.to_owned())?;
    for _ in 0..mib {
        file.write_all(&BLOCK.0)?;
    }
    file.sync_all()?;
    Ok(format!("bytes={}", mib * MIB))
}

/// A file past the page cache: written, then read.
fn direct(path: &str, mib: usize) -> anyhow::Result<String> {
    let options = |write: bool| {
        let mut options = OpenOptions::new();
        options.read(!write).write(write).create(write).custom_flags(DIRECT);
        options
    };
    let mut file = options(true).open(path).with_context(|| path.to_owned())?;
    for _ in 0..mib {
        file.write_all(&BLOCK.0)?;
    }
    file.sync_all()?;
    let mut file = options(false).open(path).with_context(|| path.to_owned())?;
    let mut block = Box::new(Block([0; MIB]));
    for _ in 0..mib {
        file.read_exact(&mut block.0)?;
    }
    Ok(format!("written={} read={}", mib * MIB, mib * MIB))
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
