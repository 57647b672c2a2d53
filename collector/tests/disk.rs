#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: mounts, makes groups and starts processes"
)]
//! Disk use of a container as runtimes make them: a process whose root is an overlay. Skipped, and said so, where overlays
//! cannot be mounted.

use flyball_collector::disk::places::Places;
use flyball_collector::disk::{DiskConfig, DiskMeter, Sources};
use flyball_collector::{Config, Names, Sweeper, detect};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const UID: &str = "2fc932ce-fdcc-454b-97bd-aadfdeb4c340";
const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A process in an overlay and in a group; gone with its folders when dropped.
struct Container {
    process: Child,
    groups: Vec<PathBuf>,
    /// Of this machine, and not in memory: overlays need a real disk below on some kernels.
    folder: tempfile::TempDir,
}

impl Container {
    fn start() -> Option<Container> {
        let skip = |why: String| {
            eprintln!("SKIPPED: disk use of a container: {why}");
            None
        };
        let tree = match detect::on_this_machine() {
            Ok(found) => found.plan(&[]).trees.remove(0),
            Err(error) => return skip(error.to_string()),
        };
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() {
            return skip("there is no /bin/busybox".to_owned());
        }
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for part in ["lower/bin", "upper", "work", "merged"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        std::fs::copy(busybox, folder.path().join("lower/bin/busybox")).unwrap();
        let root = tree.join(format!("flyball-disk-{}", std::process::id()));
        let container = root.join(format!("kubepods/besteffort/pod{UID}/{}", "c".repeat(64)));
        if let Err(error) = std::fs::create_dir_all(&container) {
            return skip(format!("no control group can be made: {error}"));
        }
        let groups =
            container.ancestors().take_while(|path| path.starts_with(&root)).map(Path::to_owned).collect();
        // Says that it is there, and ends with its standard input.
        let script = "mount -t overlay overlay -o lowerdir=lower,upperdir=$PWD/upper,workdir=work merged && \
                      exec chroot merged /bin/busybox sh -c 'echo up; read line'";
        let mut process = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let output = process.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said).unwrap();
        let started = Container { process, groups, folder };
        if said.trim() != "up" {
            return skip("an overlay cannot be mounted in a namespace of its own".to_owned());
        }
        std::fs::write(container.join("cgroup.procs"), started.process.id().to_string()).unwrap();
        Some(started)
    }

    fn root(&self) -> String {
        format!("/{}", self.groups.last().unwrap().file_name().unwrap().to_str().unwrap())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // A group is free a moment after its last process was waited for.
        let started = Instant::now();
        for group in &self.groups {
            while std::fs::remove_dir(group).is_err() && started.elapsed() < Duration::from_secs(5) {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn what_a_container_writes_is_shown() {
    let Some(container) = Container::start() else { return };
    let config = Config { cgroup_root: container.root(), ..Config::new("node1") };
    let mut sweeper = Sweeper::new(&config, Arc::new(Names::default())).unwrap();
    let upper = container.folder.path().join("upper");
    std::fs::write(upper.join("before"), vec![1; (3 * MIB) as usize]).unwrap();
    assert_eq!(sweeper.sweep_once().containers.len(), 1);
    let places = Places::new(DiskConfig::default(), &config.proc_root, sweeper.groups_root());
    let meter = DiskMeter::start(sweeper.latest(), Sources::default(), places, |_| {}).unwrap();
    let started = Instant::now();
    let used = loop {
        let round = meter.latest().get();
        if let Some(used) = round.containers.values().next() {
            break *used;
        }
        assert!(started.elapsed() < PATIENCE, "no disk use is measured");
        std::thread::yield_now();
    };
    let root = used.root.unwrap();
    assert!((3 * MIB..4 * MIB).contains(&root.amount.bytes), "{root:?}");
    assert!(root.space.unwrap().capacity_bytes > root.amount.bytes);
    assert_eq!(used.logs, None, "it has no name, so its logs are not known");
}
