#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: makes control groups and starts processes"
)]
//! The control groups of this machine, with real load. Skipped, and said so, where groups cannot be made.

use flyball_collector::files;
use flyball_collector::parse::Limit;
use flyball_collector::sample::{ContainerReading, Sweep};
use flyball_collector::{Agent, Config, Names, Sweeper, detect};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

const UID: &str = "2fc932ce-fdcc-454b-97bd-aadfdeb4c340";
/// Longest wait for something that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Groups and processes of one test; gone when it ends, however it ends.
struct Ground {
    /// Path below each mount point.
    root: String,
    trees: Vec<PathBuf>,
    children: Vec<Child>,
}

impl Ground {
    fn new() -> Option<Ground> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let trees = match detect::on_this_machine() {
            Ok(found) => found.plan(&[]).trees,
            Err(error) => {
                eprintln!("SKIPPED: live test: {error}");
                return None;
            }
        };
        let root = format!("flyball-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let ground = Ground { root, trees, children: Vec::new() };
        for tree in &ground.trees {
            if let Err(error) = std::fs::create_dir(tree.join(&ground.root)) {
                eprintln!("SKIPPED: live test: no control group can be made in {}: {error}", tree.display());
                return None;
            }
        }
        Some(ground)
    }

    fn group(&self, path: &str) {
        for tree in &self.trees {
            std::fs::create_dir_all(tree.join(&self.root).join(path)).unwrap();
        }
    }

    fn remove(&self, path: &str) {
        for tree in &self.trees {
            remove_tree(&tree.join(&self.root).join(path));
        }
    }

    /// A shell that burns CPU in a group from its first instruction after it was put there.
    fn burn(&mut self, path: &str) {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read go; while :; do :; done"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        for tree in &self.trees {
            std::fs::write(tree.join(&self.root).join(path).join("cgroup.procs"), child.id().to_string())
                .unwrap();
        }
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        self.children.push(child);
    }

    fn stop(&mut self) {
        for mut child in self.children.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn sweeper(&self) -> Sweeper {
        let config = Config { cgroup_root: format!("/{}", self.root), ..Config::new("node1") };
        Sweeper::new(&config, Arc::new(Names::default())).unwrap()
    }

    fn number(&self, path: &str, file: &str) -> Option<u64> {
        self.trees.iter().find_map(|tree| {
            let text = std::fs::read_to_string(tree.join(&self.root).join(path).join(file)).ok()?;
            text.trim().parse().ok()
        })
    }

    /// The kernel's own counter: v1 in its file, v2 in `cpu.stat`.
    fn cpu_ns(&self, path: &str) -> u64 {
        if let Some(ns) = self.number(path, "cpuacct.usage") {
            return ns;
        }
        let text =
            std::fs::read_to_string(self.trees[0].join(&self.root).join(path).join("cpu.stat")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
        line.parse::<u64>().unwrap() * 1_000
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.stop();
        for tree in &self.trees {
            remove_tree(&tree.join(&self.root));
        }
    }
}

/// Control groups cannot be removed recursively by anyone but their owner, deepest first; a group whose last process
/// just ended is busy for a moment.
fn remove_tree(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = std::fs::remove_dir(folder) {
        if error.kind() == std::io::ErrorKind::NotFound || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn container<'a>(sweep: &'a Sweep, id: &str) -> Option<&'a ContainerReading> {
    sweep.containers.iter().find(|container| *container.id == *id)
}

#[test]
fn load_is_measured_as_the_kernel_counts_it() {
    let Some(mut ground) = Ground::new() else { return };
    let id = "a1".repeat(32);
    let pod = format!("kubepods/burstable/pod{UID}");
    let path = format!("{pod}/{id}");
    ground.group(&path);
    ground.burn(&path);
    let mut sweeper = ground.sweeper();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before_ns = ground.cpu_ns(&path);
        let sweep = sweeper.sweep_once();
        let reading = container(sweep, &id).unwrap().reading;
        let used_ns = reading.cpu.unwrap().usage_ns;
        let after_ns = ground.cpu_ns(&path);
        assert!(before_ns <= used_ns && used_ns <= after_ns, "{before_ns} {used_ns} {after_ns}");
        // The pod is read on its own, maybe before its container.
        assert!(sweep.pods[0].reading.cpu.unwrap().usage_ns >= before_ns);
        assert!(sweep.node.cpu.unwrap().usage_ns > used_ns);
        assert!(sweep.node.memory.unwrap().working_set_bytes.unwrap() > 0);
        if used_ns > 300_000_000 {
            let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
            let age_ms = now_ms - reading.start_unix_ms.unwrap();
            assert!((0..PATIENCE.as_millis() as i64).contains(&age_ms), "{age_ms}");
            if let (Some(memory), Some(bytes)) =
                (reading.memory, ground.number(&path, "memory.usage_in_bytes"))
            {
                assert!(memory.usage_bytes.unwrap().abs_diff(bytes) <= 1 << 20, "{memory:?} {bytes}");
                assert!(memory.working_set_bytes.unwrap() <= memory.usage_bytes.unwrap());
            }
            break;
        }
        assert!(Instant::now() < deadline, "no CPU time after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // A stopped load counts no further, and an idle group's memory is still that of its files.
    ground.stop();
    let last_ns = container(sweeper.sweep_once(), &id).unwrap().reading.cpu.unwrap().usage_ns;
    assert_eq!(last_ns, ground.cpu_ns(&path));
    ground.remove(&path);
    let sweep = sweeper.sweep_once();
    assert_eq!((sweep.containers.len(), sweep.pods.len()), (0, 1));
    assert_eq!(sweeper.report().removed, 1);
}

/// A key of a `key value` file of v1 or v2, from whichever hierarchy has the file.
fn keyed(ground: &Ground, path: &str, file: &str, key: &str) -> Option<u64> {
    ground.trees.iter().find_map(|tree| {
        let text = std::fs::read_to_string(tree.join(&ground.root).join(path).join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
    })
}

#[test]
fn limits_and_throttling_are_those_of_the_kernel() {
    let Some(mut ground) = Ground::new() else { return };
    let id = "a1".repeat(32);
    let path = format!("kubepods/burstable/pod{UID}/{id}");
    ground.group(&path);
    // A tenth of a CPU and 64 MiB, in the words of either version.
    let limits = [
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "10000"),
        ("cpu.max", "10000 100000"),
        ("memory.limit_in_bytes", "67108864"),
        ("memory.max", "67108864"),
        ("pids.max", "50"),
    ];
    for tree in &ground.trees {
        for (file, value) in limits {
            let file = tree.join(&ground.root).join(&path).join(file);
            if file.exists() {
                std::fs::write(&file, value).unwrap();
            }
        }
    }
    if !ground.trees.iter().any(|tree| tree.join(&ground.root).join(&path).join("cpu.stat").exists()) {
        eprintln!("SKIPPED: limits and throttling: no hierarchy of this machine limits CPU");
        return;
    }
    ground.burn(&path);
    let mut sweeper = ground.sweeper();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = keyed(&ground, &path, "cpu.stat", "nr_throttled").unwrap_or(0);
        let sweep = sweeper.sweep_once();
        let after = keyed(&ground, &path, "cpu.stat", "nr_throttled").unwrap_or(0);
        let details = &container(sweep, &id).unwrap().details;
        assert_eq!(details.cpu.period_us, Some(100_000));
        assert_eq!(details.cpu.quota_us, Some(Limit::Bytes(10_000)));
        assert_eq!(details.memory.limit, Some(Limit::Bytes(64 << 20)));
        assert_eq!(details.tasks.limit, Some(Limit::Bytes(50)));
        assert_eq!((details.tasks.current, details.tasks.processes), (Some(1), Some(1)));
        assert!(details.memory.rss_bytes.is_some() && details.memory.page_faults.is_some());
        let throttled = details.cpu.throttled_periods.unwrap();
        // Between passes the last one's values stand.
        assert!(throttled <= after, "{throttled} {after}");
        if throttled >= 5 {
            assert!(details.cpu.throttled_ns.unwrap() > 0 && details.cpu.periods.unwrap() >= throttled);
            assert!(throttled >= before || sweep.sequence > 1);
            break;
        }
        assert!(Instant::now() < deadline, "not throttled after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_container_that_takes_anothers_place_is_seen_in_the_same_sweep() {
    let Some(ground) = Ground::new() else { return };
    let (first, second) = ("a1".repeat(32), "b2".repeat(32));
    let pod = format!("kubepods/pod{UID}");
    ground.group(&format!("{pod}/{first}"));
    let mut sweeper = ground.sweeper();
    assert!(container(sweeper.sweep_once(), &first).is_some());
    assert_eq!(sweeper.sweep_once().containers.len(), 1);
    // The link count of the pod's folder is the same afterwards, so only the dead file tells.
    ground.remove(&format!("{pod}/{first}"));
    ground.group(&format!("{pod}/{second}"));
    let sweep = sweeper.sweep_once();
    assert!(container(sweep, &first).is_none());
    assert!(container(sweep, &second).unwrap().reading.cpu.is_some());
    // The same path again is another group.
    ground.remove(&format!("{pod}/{second}"));
    ground.group(&format!("{pod}/{second}"));
    sweeper.sweep_once();
    assert_eq!((sweeper.report().added, sweeper.report().removed), (1, 1));
    // The whole pod replaced.
    ground.remove(&pod);
    ground.group(&format!("{pod}/{first}"));
    let sweep = sweeper.sweep_once();
    assert!(container(sweep, &first).unwrap().reading.cpu.is_some());
    assert_eq!(sweep.pods.len(), 1);
    ground.remove("kubepods");
    assert_eq!(sweeper.sweep_once().pods.len(), 0);
}

#[test]
fn groups_beyond_the_kept_files_read_the_same() {
    let Some(ground) = Ground::new() else { return };
    for n in 0..20 {
        ground.group(&format!("kubepods/besteffort/pod{UID}/{n:064x}"));
    }
    let open_before = open_files();
    let config =
        Config { cgroup_root: format!("/{}", ground.root), kept_files_limit: 7, ..Config::new("node1") };
    let mut sweeper = Sweeper::new(&config, Arc::new(Names::default())).unwrap();
    for _ in 0..3 {
        let sweep = sweeper.sweep_once();
        assert_eq!(sweep.containers.len(), 20);
        assert!(sweep.containers.iter().all(|c| c.reading.cpu.is_some()));
        assert_eq!(sweeper.report().faults.iter().sum::<u64>(), 0);
    }
    ground.remove("kubepods");
    assert_eq!(sweeper.sweep_once().containers.len(), 0);
    drop(sweeper);
    // Other tests of this program run beside this one and open a few files of their own.
    assert!(open_files() < open_before + 60, "{} {}", open_files(), open_before);
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many watches the kernel has for a sweeper.
fn kernel_watches(sweeper: &Sweeper) -> usize {
    let fd = sweeper.watches().unwrap().as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    text.lines().filter(|line| line.starts_with("inotify ")).count()
}

#[test]
fn what_comes_and_goes_between_sweeps_is_seen_and_no_watch_is_left() {
    let Some(ground) = Ground::new() else { return };
    ground.group("kubepods/besteffort");
    let mut sweeper = ground.sweeper();
    sweeper.sweep_once();
    assert!(!sweeper.look_again(), "nothing happened");
    let watches = sweeper.watches().unwrap().count();
    let pod = format!("kubepods/besteffort/pod{UID}");
    let container = format!("{pod}/{}", "c".repeat(64));
    // The pod and what is in it come at once; the second is below a folder that was not watched yet.
    ground.group(&container);
    assert!(sweeper.look_again());
    let sweep = sweeper.latest().get();
    assert_eq!((sweep.sequence, sweep.pods.len(), sweep.containers.len()), (1, 1, 1));
    assert!(sweep.containers[0].reading.cpu.is_some(), "it is read, too");
    ground.remove(&container);
    assert!(sweeper.look_again());
    assert_eq!(sweeper.latest().get().containers.len(), 0);
    for round in 0..20 {
        ground.group(&format!("{pod}/{}", "d".repeat(64)));
        sweeper.look_again();
        if round % 2 == 0 {
            sweeper.sweep_once();
        }
        ground.remove(&pod);
        sweeper.look_again();
    }
    assert_eq!(sweeper.latest().get().pods.len(), 0);
    assert_eq!(sweeper.watches().unwrap().count(), watches, "watches of removed groups are given back");
    assert_eq!(kernel_watches(&sweeper), watches, "to the kernel, too");
}

#[test]
fn a_container_is_served_within_moments_of_its_making() {
    let Some(ground) = Ground::new() else { return };
    ground.group("kubepods/besteffort");
    // An interval in which the test cannot end by the sweeps alone.
    let agent = Agent::start(ground.sweeper(), Duration::from_secs(60), |_| {}, |_| {}).unwrap();
    let started = Instant::now();
    while agent.latest().get().sequence == 0 {
        assert!(started.elapsed() < PATIENCE, "no sweep");
        std::thread::yield_now();
    }
    ground.group(&format!("kubepods/besteffort/pod{UID}/{}", "c".repeat(64)));
    while agent.latest().get().containers.is_empty() {
        assert!(started.elapsed() < PATIENCE, "the container is not seen");
        std::thread::yield_now();
    }
}

#[test]
fn this_machine_is_recognised_as_its_mounts_say() {
    let found = match detect::on_this_machine() {
        Ok(found) => found,
        Err(error) => {
            eprintln!("SKIPPED: live test: {error}");
            return;
        }
    };
    let by_mountinfo = detect::below(Path::new("/")).unwrap();
    assert_eq!(found.version, by_mountinfo.version);
    assert_eq!(found, by_mountinfo);
    for tree in found.plan(&[]).trees {
        assert!(files::is_cgroup_fs(files::open_folder(&tree).unwrap()), "{}", tree.display());
    }
}

#[test]
fn the_start_of_a_process_that_comes_late_is_found() {
    let Some(mut ground) = Ground::new() else { return };
    let id = "b2".repeat(32);
    let path = format!("kubepods/burstable/pod{UID}/{id}");
    ground.group(&path);
    let mut sweeper = ground.sweeper();
    // For longer than each sweep looks for it.
    for _ in 0..15 {
        let sweep = sweeper.sweep_once();
        assert_eq!(container(sweep, &id).unwrap().reading.start_unix_ms, None, "there is no process");
    }
    ground.burn(&path);
    let started = Instant::now();
    while container(sweeper.sweep_once(), &id).unwrap().reading.start_unix_ms.is_none() {
        assert!(started.elapsed() < PATIENCE, "the process is not seen");
    }
}

#[test]
fn an_idle_group_holds_only_what_each_sweep_reads() {
    let Some(ground) = Ground::new() else { return };
    for n in 0..20 {
        ground.group(&format!("kubepods/besteffort/pod{UID}/{n:064x}"));
    }
    let mut sweeper = ground.sweeper();
    for _ in 0..25 {
        sweeper.sweep_once();
    }
    let held = |file: &str| {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let links = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().contains(&ground.root) && link.ends_with(file)).count()
    };
    let cpu = held("cpuacct.usage") + held("cpu.stat");
    assert_eq!((cpu, held("memory.stat")), (21, 0), "the pod and its containers");
}
