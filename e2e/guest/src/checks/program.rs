//! The program as users start it: `flyball demo`, as root and as an ordinary user.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::console;
use crate::evidence::Evidence;
use crate::groups::Group;

/// The ordinary user.
const USER: u32 = 1000;
/// Files that systemd gives to the user of a group with `Delegate=yes`, beside the folder.
const DELEGATED: [&str; 3] = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
/// Length of the demo's load wave, seconds.
const WAVE_SECONDS: &str = "78";
/// Longest time that the demo may take, from its start to its end.
const DEMO_LIMIT: Duration = Duration::from_secs(330);

pub fn demo_as_root(evidence: &mut Evidence) -> anyhow::Result<()> {
    let root = Group::top("demo.service")?;
    let outcome = demo(&root, 0, evidence);
    root.remove();
    outcome
}

/// In a group that belongs to the user, as systemd makes one for a scope with `Delegate=yes`.
pub fn demo_in_a_delegated_group(evidence: &mut Evidence) -> anyhow::Result<()> {
    let slice = Group::top("user.slice")?;
    let outcome = delegated(&slice).and_then(|scope| {
        demo(&scope, USER, evidence)?;
        let below: Vec<_> = folders(&scope)?;
        evidence.equal("groups left in the user's scope", below, vec!["flyball".to_owned()]);
        Ok(())
    });
    slice.remove();
    outcome
}

fn delegated(slice: &Group) -> anyhow::Result<Group> {
    slice.enable_all()?;
    let scope = slice.child("flyball-demo.scope")?;
    chown(scope.folder(), Some(USER), Some(USER)).context("cannot give a group away")?;
    for file in DELEGATED {
        chown(scope.file(file), Some(USER), Some(USER)).context(file)?;
    }
    Ok(scope)
}

/// Runs the demo in a group as a user, shows its lines, and notes what they and its end say.
fn demo(group: &Group, user: u32, evidence: &mut Evidence) -> anyhow::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .args(["load", "--run"])
        .arg(group.folder())
        .arg(user.to_string())
        .args(["/bin/flyball", "demo", "--seconds", WAVE_SECONDS])
        .env_clear()
        .envs([("PATH", "/bin"), ("HOME", "/tmp"), ("TMPDIR", "/tmp")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the demo")?;
    let (sender, lines) = channel();
    let outputs: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|out| Box::new(out) as _),
        child.stderr.take().map(|out| Box::new(out) as _),
    ];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            // Nobody listens any more when the demo took too long.
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
    }
    drop(sender);
    let deadline = Instant::now() + DEMO_LIMIT;
    let mut source = None;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                console::say(&format!("| {line}"));
                if let Some(named) = line.strip_prefix("measured from: ") {
                    source = Some(named.to_owned());
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                bail!("the demo was not over after {} s", DEMO_LIMIT.as_secs());
            }
        }
    }
    let status = child.wait()?;
    let source = source.unwrap_or_default();
    evidence.holds("source in the table's header", source.starts_with("control groups (v2) below /"), source);
    evidence.equal("exit code", status.code(), Some(0));
    Ok(())
}

/// Names of the groups in a group.
fn folders(group: &Group) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(group.folder())?.flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
