#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: mounts, makes groups and starts processes"
)]
//! Disk use of a container as runtimes make them: a process whose root is an overlay, with volumes of its pod in it. Skipped,
//! and said so, where overlays cannot be mounted.

use flyball_collector::disk::places::Places;
use flyball_collector::disk::{DiskConfig, DiskMeter, PodUse, Sources};
use flyball_collector::names::{ContainerFacts, NameTable, PodFacts, PodName, PodVolume, VolumeMount};
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

fn skip<T>(why: String) -> Option<T> {
    eprintln!("SKIPPED: disk use of a container: {why}");
    None
}

impl Container {
    /// Of this pod, after these commands of a shell in the folder with the container's root, `merged`.
    fn start(pod: &str, prepare: &str) -> Option<Container> {
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
        let root = tree.join(format!("flyball-disk-{}-{}", std::process::id(), &pod[..8]));
        let container = root.join(format!("kubepods/besteffort/pod{pod}/{}", "c".repeat(64)));
        if let Err(error) = std::fs::create_dir_all(&container) {
            return skip(format!("no control group can be made: {error}"));
        }
        let groups =
            container.ancestors().take_while(|path| path.starts_with(&root)).map(Path::to_owned).collect();
        // Says that it is there, and ends with its standard input.
        let script = format!(
            "mount -t overlay overlay -o lowerdir=lower,upperdir=$PWD/upper,workdir=work merged && {prepare} \
             exec chroot merged /bin/busybox sh -c 'echo up; read line'"
        );
        let mut process = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
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
    let Some(container) = Container::start(UID, "") else { return };
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

/// Set in the process that is in a mount namespace of its own.
const INSIDE: &str = "FLYBALL_DISK_TEST_INSIDE";
const POD_WITH_CLAIMS: &str = "3fc932ce-fdcc-454b-97bd-aadfdeb4c340";

/// The volumes are mounted, so the test is in a mount namespace of its own.
#[test]
fn several_claims_of_a_pod_are_told_apart() {
    if std::env::var_os(INSIDE).is_some() {
        return told_apart();
    }
    let name = "several_claims_of_a_pod_are_told_apart";
    let mut again = Command::new("unshare");
    again.arg("--mount").arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    match Command::new("unshare").args(["--mount", "true"]).status() {
        Ok(made) if made.success() => assert!(again.env(INSIDE, "1").status().unwrap().success()),
        other => {
            skip::<()>(format!("no mount namespace can be made: {other:?}"));
        }
    }
}

fn told_apart() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (kubelet, proc) = (folder.path().join("kubelet"), folder.path().join("proc"));
    std::fs::create_dir(&proc).unwrap();
    // What the node's first process sees is what this one sees.
    std::os::unix::fs::symlink("/proc/self", proc.join("1")).unwrap();
    let volume =
        |name: &str| kubelet.join(format!("pods/{POD_WITH_CLAIMS}/volumes/kubernetes.io~csi/{name}/mount"));
    for name in ["pvc-1", "pvc-2"] {
        std::fs::create_dir_all(volume(name)).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(volume(name)).status().unwrap();
        assert!(mounted.success());
    }
    std::fs::create_dir(volume("pvc-1").join("part")).unwrap();
    std::fs::write(volume("pvc-2").join("file"), vec![1; MIB as usize]).unwrap();
    let prepare = format!(
        "mkdir merged/data merged/logs && mount --bind {} merged/data && mount --bind {}/part merged/logs &&",
        volume("pvc-2").display(),
        volume("pvc-1").display(),
    );
    let Some(container) = Container::start(POD_WITH_CLAIMS, &prepare) else { return };
    let pid = container.process.id().to_string();
    std::os::unix::fs::symlink(format!("/proc/{pid}"), proc.join(&pid)).unwrap();

    let names = Arc::new(Names::default());
    names.publish(pod_with_two_claims());
    let config = Config { cgroup_root: container.root(), ..Config::new("node1") };
    let mut sweeper = Sweeper::new(&config, names.clone()).unwrap();
    assert_eq!(sweeper.sweep_once().containers.len(), 1);
    let disk = DiskConfig { kubelet: kubelet.clone(), ..DiskConfig::default() };
    let places = Places::new(disk, &proc, sweeper.groups_root());
    let sources = Sources { names, ..Sources::default() };
    let meter = DiskMeter::start(sweeper.latest(), sources, places, |_| {}).unwrap();
    let started = Instant::now();
    let used: PodUse = loop {
        let round = meter.latest().get();
        // Mounts are asked beside the round, and may miss the first.
        if let Some(used) = round.pods.get(POD_WITH_CLAIMS).filter(|used| used.volumes.len() == 2) {
            break used.clone();
        }
        assert!(started.elapsed() < PATIENCE, "{round:?}");
        std::thread::yield_now();
    };
    let seen: Vec<_> = used
        .volumes
        .iter()
        .map(|volume| (volume.name.as_str(), volume.claim.as_deref(), volume.amount.bytes >= MIB))
        .collect();
    assert_eq!(seen, [("data", Some("web-data"), true), ("logs", Some("web-logs"), false)]);
    // Overlay and binds are gone with the container; these would keep the folder.
    drop(container);
    for name in ["pvc-1", "pvc-2"] {
        assert!(Command::new("umount").arg(volume(name)).status().unwrap().success());
    }
}

fn pod_with_two_claims() -> NameTable {
    let volume = |name: &str, path: &str, is_part| PodVolume {
        name: name.to_owned(),
        claim: Some(format!("web-{name}")),
        mounts: vec![VolumeMount { container: "app".to_owned(), path: path.to_owned(), is_part }],
    };
    let container =
        ContainerFacts { name: "app".to_owned(), id: "c".repeat(64), ..ContainerFacts::default() };
    let mut table = NameTable::default();
    table.apply(&PodFacts {
        uid: POD_WITH_CLAIMS.to_owned(),
        cgroup_uid: POD_WITH_CLAIMS.to_owned(),
        name: PodName { namespace: "shop".to_owned(), pod: "web-0".to_owned() },
        containers: vec![container],
        sandboxes: Vec::new(),
        volumes: Some(vec![volume("data", "/data", false), volume("logs", "/logs", true)]),
    });
    table
}
