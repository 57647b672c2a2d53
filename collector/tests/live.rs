#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: makes control groups and starts processes"
)]
//! The control groups of this machine, with real load. Skipped, and said so, where groups cannot be made.

use flyball_collector::files;
use flyball_collector::mounts::Hierarchies;
use flyball_collector::names::{ContainerFacts, NameTable, PodFacts, PodName};
use flyball_collector::parse::Limit;
use flyball_collector::sample::{ContainerReading, Sweep};
use flyball_collector::{Agent, Config, Names, SourceChoice, Sweeper, detect};
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
        let trees = match detect::on_this_machine() {
            Ok(found) => found.plan(&[]).trees,
            Err(error) => {
                eprintln!("SKIPPED: live test: {error}");
                return None;
            }
        };
        Ground::on(trees)
    }

    /// In these hierarchies.
    fn on(trees: Vec<PathBuf>) -> Option<Ground> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
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
        self.run(path, "while :; do :; done");
    }

    /// A shell that does something when it is in a group.
    fn run(&mut self, path: &str, script: &str) {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
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
        // What the shells started.
        if let Some(tree) = self.trees.first() {
            kill_all(&tree.join(&self.root));
        }
    }

    fn sweeper(&self) -> Sweeper {
        let config = Config { cgroup_root: format!("/{}", self.root), ..Config::new("node1") };
        Sweeper::new(&config, Arc::new(Names::default())).unwrap()
    }

    /// Of the v2 tree alone.
    fn unified() -> Option<(Ground, Sweeper)> {
        let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        let Some(mount) = mount.into_iter().find(|mount| mount.join("cgroup.controllers").exists()) else {
            eprintln!("SKIPPED: live test: there is no v2 tree");
            return None;
        };
        let mut hierarchies = Hierarchies::v2_at(&mount);
        // Beside v1 it has no controllers: CPU time and pressure are there all the same.
        hierarchies.memory = None;
        let ground = Ground::on(vec![mount])?;
        let config = Config {
            source: SourceChoice::Hierarchies(Box::new(hierarchies)),
            cgroup_root: format!("/{}", ground.root),
            ..Config::new("node1")
        };
        let sweeper = Sweeper::new(&config, Arc::new(Names::default())).unwrap();
        Some((ground, sweeper))
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

/// Ends every process in the groups of a folder.
fn kill_all(folder: &Path) {
    let pids = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            kill_all(&entry.path());
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
fn a_long_list_of_processes_is_read_to_its_end() {
    let Some(mut ground) = Ground::new() else { return };
    let path = format!("kubepods/burstable/pod{UID}/{}", "a1".repeat(32));
    ground.group(&path);
    // The kernel gives some 680 in a page. They are made by one shell, which is in the group first.
    ground.run(&path, "i=0; while [ $i -lt 900 ]; do sleep 600 & i=$((i+1)); done; wait");
    let mut sweeper = ground.sweeper();
    let deadline = Instant::now() + PATIENCE;
    let listed = || {
        let procs = ground.trees[0].join(&ground.root).join(&path).join("cgroup.procs");
        std::fs::read_to_string(procs).unwrap().lines().count() as u64
    };
    while listed() < 901 {
        assert!(Instant::now() < deadline, "{} processes after {PATIENCE:?}", listed());
        std::thread::yield_now();
    }
    assert_eq!(sweeper.sweep_once().containers[0].details.tasks.processes, Some(901));
}

#[test]
fn processes_in_a_group_below_the_containers_are_its_own() {
    let Some(mut ground) = Ground::new() else { return };
    let container = format!("kubepods/burstable/pod{UID}/crio-{}", "a1".repeat(32));
    ground.group(&format!("{container}/container"));
    ground.burn(&format!("{container}/container"));
    let mut sweeper = ground.sweeper();
    let found = &sweeper.sweep_once().containers[0];
    assert_eq!(found.details.tasks.processes, Some(1));
    assert!(found.reading.start_unix_ms.is_some(), "its first process is there");
}

/// Seconds in what the shell's `times` prints: `0m1.23s`.
fn shell_seconds(text: &str) -> f64 {
    let (minutes, seconds) = text.split_once('m').unwrap();
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.trim_end_matches('s').parse::<f64>().unwrap()
}

#[test]
fn cpu_is_within_one_percent_of_what_the_load_says_it_used() {
    let Some(mut ground) = Ground::new() else { return };
    let id = "a1".repeat(32);
    let path = format!("kubepods/burstable/pod{UID}/{id}");
    ground.group(&path);
    // The shell's own times, user and system, are those of getrusage.
    ground.run(&path, "trap 'times; exit' TERM; while :; do :; done");
    let mut sweeper = ground.sweeper();
    let used_ns = |sweeper: &mut Sweeper| {
        container(sweeper.sweep_once(), &id).unwrap().reading.cpu.map_or(0, |cpu| cpu.usage_ns)
    };
    let deadline = Instant::now() + PATIENCE * 6;
    while used_ns(&mut sweeper) < 4_000_000_000 {
        assert!(Instant::now() < deadline, "no CPU time");
        std::thread::sleep(Duration::from_millis(100));
    }
    let child = ground.children.pop().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let own_seconds: f64 = said.lines().next().unwrap().split(' ').map(shell_seconds).sum();
    let shown_seconds = used_ns(&mut sweeper) as f64 / 1e9;
    assert_eq!(used_ns(&mut sweeper), ground.cpu_ns(&path), "and exactly what the kernel's file says");
    assert!(
        (shown_seconds / own_seconds - 1.0).abs() < 0.01,
        "{shown_seconds} s shown, {own_seconds} s used"
    );
}

#[test]
fn memory_is_within_one_percent_of_what_the_processes_hold() {
    let Some(mut ground) = Ground::new() else { return };
    let id = "a1".repeat(32);
    let path = format!("kubepods/burstable/pod{UID}/{id}");
    ground.group(&path);
    ground.run(&path, "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo held; sleep 600; echo $x");
    let mut sweeper = ground.sweeper();
    let held = || -> u64 {
        let procs = ground.trees[0].join(&ground.root).join(&path).join("cgroup.procs");
        let pids = std::fs::read_to_string(procs).unwrap_or_default();
        let of = |pid: &str| -> Option<u64> {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
            kilobytes.trim().strip_suffix(" kB")?.parse().ok()
        };
        pids.lines().filter_map(of).sum::<u64>() * 1024
    };
    let deadline = Instant::now() + PATIENCE * 3;
    let mut seen = (0, None);
    // Until it holds still: the shell moves its text around before.
    loop {
        let before = held();
        let memory = container(sweeper.sweep_once(), &id).unwrap().reading.memory;
        let rss = memory.and_then(|memory| memory.rss_bytes);
        if before == held() && before > 95_000_000 {
            seen = (before, rss);
            if rss.is_some_and(|rss| rss.abs_diff(before) * 100 <= before) {
                break;
            }
        }
        assert!(Instant::now() < deadline, "held, and shown: {seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let usage = |file: &str| ground.number(&path, file);
    let usage = usage("memory.usage_in_bytes").or_else(|| usage("memory.current")).unwrap();
    let shown = container(sweeper.sweep_once(), &id).unwrap().reading.memory.unwrap();
    let shown = shown.usage_bytes.unwrap();
    assert!(shown.abs_diff(usage) * 100 <= usage, "{shown} shown, the kernel's file says {usage}");
}

#[test]
fn the_last_reading_of_a_group_that_became_empty_is_handed_out_before_the_next_sweep() {
    let Some((mut ground, mut sweeper)) = Ground::unified() else { return };
    let id = "a1".repeat(32);
    let pod = format!("kubepods/burstable/pod{UID}");
    let path = format!("{pod}/{id}");
    ground.group(&path);
    sweeper.sweep_once();
    let watches = sweeper.watches().unwrap().count();
    ground.run(&path, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    ground.children.pop().unwrap().wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        sweeper.look_again();
        let sweep = sweeper.latest().get();
        assert_eq!(sweep.sequence, 1, "no sweep was made");
        let of_container = container(&sweep, &id).unwrap().reading.cpu.unwrap().usage_ns;
        let of_pod = sweep.pods[0].reading.cpu.unwrap().usage_ns;
        if of_container > 0 && of_container == ground.cpu_ns(&path) && of_pod == ground.cpu_ns(&pod) {
            break;
        }
        assert!(Instant::now() < deadline, "{of_container} {of_pod}");
        std::thread::yield_now();
    }
    ground.remove(&pod);
    while sweeper.latest().get().containers.len() == 1 {
        sweeper.look_again();
        assert!(Instant::now() < deadline, "it is still there");
    }
    assert!(sweeper.watches().unwrap().count() < watches);
    assert_eq!(kernel_watches(&sweeper), sweeper.watches().unwrap().count(), "none is left");
}

#[test]
fn the_agent_hands_out_last_readings_between_its_sweeps() {
    let Some((mut ground, sweeper)) = Ground::unified() else { return };
    let path = format!("kubepods/burstable/pod{UID}/{}", "a1".repeat(32));
    ground.group(&path);
    // An interval in which the test cannot end by the sweeps alone.
    let agent = Agent::start(sweeper, Duration::from_secs(60), |_| {}, |_| {}).unwrap();
    let started = Instant::now();
    while agent.latest().get().sequence == 0 {
        assert!(started.elapsed() < PATIENCE, "no sweep");
        std::thread::yield_now();
    }
    ground.run(&path, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    ground.children.pop().unwrap().wait().unwrap();
    let used_ns = ground.cpu_ns(&path);
    let shown = || agent.latest().get().containers[0].reading.cpu.map_or(0, |cpu| cpu.usage_ns);
    while shown() < used_ns {
        assert!(started.elapsed() < PATIENCE, "{} of {used_ns}", shown());
        std::thread::yield_now();
    }
    assert_eq!(agent.latest().get().sequence, 1);
}

/// Set in the process that has a user namespace of its own.
const INSIDE: &str = "FLYBALL_LIVE_TEST_INSIDE";

/// The limits of inotify are those of a user namespace, so the test has one of its own.
#[test]
fn where_no_watches_are_given_sweeps_see_everything_and_it_shows() {
    if std::env::var_os(INSIDE).is_some() {
        return no_watches();
    }
    let name = "where_no_watches_are_given_sweeps_see_everything_and_it_shows";
    let in_namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]);
        command
    };
    match in_namespace().arg("true").status() {
        Ok(made) if made.success() => {}
        other => {
            eprintln!("SKIPPED: live test: no user namespace can be made: {other:?}");
            return;
        }
    }
    let mut again = in_namespace();
    again.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    assert!(again.status().unwrap().success());
}

fn no_watches() {
    let limit = |of: &str, number: u32| {
        std::fs::write(format!("/proc/sys/user/max_inotify_{of}"), number.to_string()).unwrap();
    };
    for of in ["instances", "watches"] {
        let Some(ground) = Ground::new() else { return };
        limit(of, 0);
        ground.group(&format!("kubepods/besteffort/pod{UID}/{}", "c".repeat(64)));
        let mut sweeper = ground.sweeper();
        assert_eq!(sweeper.sweep_once().containers.len(), 1, "{of}");
        let report = *sweeper.report();
        assert_eq!(report.watches, 0, "{of}");
        assert!(report.watches_refused > 0, "{of}: it shows");
        ground.group(&format!("kubepods/besteffort/pod{UID}/{}", "d".repeat(64)));
        assert_eq!(sweeper.sweep_once().containers.len(), 2, "{of}");
        limit(of, 1_000);
        // Each folder in its turn.
        for _ in 0..20 {
            sweeper.sweep_once();
        }
        assert!(sweeper.report().watches >= 3, "{of}: {:?}", sweeper.report());
        ground.group(&format!("kubepods/besteffort/pod{UID}/{}", "e".repeat(64)));
        assert!(sweeper.look_again(), "{of}");
        assert_eq!(sweeper.latest().get().containers.len(), 3, "{of}");
    }
}

#[test]
fn more_events_than_the_kernel_keeps_hide_nothing() {
    let Some((ground, mut sweeper)) = Ground::unified() else { return };
    ground.group("kubepods/besteffort");
    sweeper.sweep_once();
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();
    if most > 200_000 {
        eprintln!("SKIPPED: lost events: the kernel keeps {most}");
        return;
    }
    let folder = ground.trees[0].join(&ground.root).join("kubepods/besteffort");
    for _ in 0..=most / 2 {
        std::fs::create_dir(folder.join("x")).unwrap();
        std::fs::remove_dir(folder.join("x")).unwrap();
    }
    ground.group(&format!("kubepods/besteffort/pod{UID}/{}", "c".repeat(64)));
    assert!(sweeper.look_again());
    let sweep = sweeper.latest().get();
    assert_eq!((sweep.pods.len(), sweep.containers.len()), (1, 1));
}

#[test]
fn descriptors_and_sockets_are_counted_where_asked_for() {
    let Some(mut ground) = Ground::new() else { return };
    let path = format!("kubepods/burstable/pod{UID}/{}", "a1".repeat(32));
    ground.group(&path);
    // Its standard error is a socket of this test; standard output is a pipe, and so was standard input.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read go; while :; do sleep 600; done"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    for tree in &ground.trees {
        let procs = tree.join(&ground.root).join(&path).join("cgroup.procs");
        std::fs::write(procs, child.id().to_string()).unwrap();
    }
    // Held open, so that the shell waits and starts nothing.
    let stdin = child.stdin.take().unwrap();
    let pid = child.id();
    ground.children.push(child);
    let config = Config {
        cgroup_root: format!("/{}", ground.root),
        counts_descriptors: true,
        counts_sockets: true,
        ..Config::new("node1")
    };
    let mut sweeper = Sweeper::new(&config, Arc::new(Names::default())).unwrap();
    let tasks = sweeper.sweep_once().containers[0].details.tasks;
    let links: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count() as u64;
    let told = (std::fs::metadata("/proc/self/fd").unwrap().len() > 0).then_some(links.len() as u64);
    assert_eq!((tasks.descriptors, tasks.sockets), (told, Some(sockets)));
    assert!(sockets >= 1);
    drop((ours, stdin));
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
fn a_group_was_made_when_its_folders_say_or_when_its_runtime_does() {
    let Some(ground) = Ground::new() else { return };
    let id = "a1".repeat(32);
    let unix_ms = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    // The kernel stamps by a clock that is some ticks late.
    let before = unix_ms() - 100;
    ground.group(&format!("kubepods/burstable/pod{UID}/{id}"));
    let names = Arc::new(Names::default());
    let config = Config { cgroup_root: format!("/{}", ground.root), ..Config::new("node1") };
    let mut sweeper = Sweeper::new(&config, names.clone()).unwrap();
    let created = |sweep: &Sweep| container(sweep, &id).unwrap().reading.created_unix_ms;
    let first = created(sweeper.sweep_once()).unwrap();
    assert!((before..=unix_ms()).contains(&first), "{before} {first}");
    let sweep = sweeper.sweep_once();
    assert_eq!(created(sweep), Some(first), "looked up once");
    let of_pod = sweep.pods[0].reading.created_unix_ms.unwrap();
    assert!((before..=unix_ms()).contains(&of_pod), "{before} {of_pod}");
    let (boot, of_node) = (sweep.node.start_unix_ms.unwrap(), sweep.node.created_unix_ms.unwrap());
    assert!((boot - 60_000..=unix_ms()).contains(&of_node), "{boot} {of_node}");
    let mut table = NameTable::default();
    table.apply(&PodFacts {
        uid: UID.to_owned(),
        cgroup_uid: UID.to_owned(),
        name: PodName { namespace: "shop".to_owned(), pod: "web".to_owned() },
        containers: vec![ContainerFacts {
            name: "app".to_owned(),
            id: id.clone(),
            created_unix_ms: Some(7_000),
            ..ContainerFacts::default()
        }],
        sandboxes: Vec::new(),
        volumes: None,
    });
    names.publish(table);
    assert_eq!(created(sweeper.sweep_once()), Some(7_000));
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
    // Where pods have memory, they speak for containers that stand still.
    let speaks = sweeper.sweep_once().pods.iter().all(|pod| pod.reading.memory.is_some());
    let held = |file: &str| {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let links = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().contains(&ground.root) && link.ends_with(file)).count()
    };
    let cpu = held("cpuacct.usage") + held("cpu.stat");
    let read_each_sweep = if speaks { 3 } else { 23 };
    assert_eq!(
        (cpu, held("memory.stat")),
        (read_each_sweep, 0),
        "kubepods, its class, the pod, and its containers if they are read"
    );
}

#[test]
fn containers_of_a_still_pod_show_what_the_kernel_counts() {
    let Some(mut ground) = Ground::new() else { return };
    let ids = ["a1".repeat(32), "b2".repeat(32)];
    let path = |id: &str| format!("kubepods/burstable/pod{UID}/{id}");
    ids.iter().for_each(|id| ground.group(&path(id)));
    let mut sweeper = ground.sweeper();
    let mut last_unix_ms = 0;
    for round in 0..6 {
        // In turns the one and the other does something, and is done before the next sweep.
        if round > 0 {
            ground.run(&path(&ids[round % 2]), "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
            ground.children.drain(..).for_each(|mut child| drop(child.wait()));
        }
        for _ in 0..4 {
            let kernel = |ground: &Ground| {
                ids.each_ref()
                    .map(|id| (ground.cpu_ns(&path(id)), ground.number(&path(id), "memory.usage_in_bytes")))
            };
            let before = kernel(&ground);
            let sweep = sweeper.sweep_once();
            let after = kernel(&ground);
            for (at, id) in ids.iter().enumerate() {
                let reading = container(sweep, id).unwrap().reading;
                let cpu = reading.cpu.unwrap();
                assert!((before[at].0..=after[at].0).contains(&cpu.usage_ns), "{cpu:?} {before:?} {after:?}");
                // Of the sweep's own time, whether read or known from the pod.
                assert!((sweep.started_unix_ms..=sweep.finished_unix_ms).contains(&cpu.unix_ms), "{cpu:?}");
                assert!(cpu.unix_ms >= last_unix_ms);
                if let (Some(memory), (Some(low), Some(high))) = (reading.memory, (before[at].1, after[at].1))
                {
                    let usage = memory.usage_bytes.unwrap();
                    assert!((low.min(high)..=low.max(high)).contains(&usage), "{usage} {low} {high}");
                    assert!((sweep.started_unix_ms..=sweep.finished_unix_ms).contains(&memory.unix_ms));
                }
            }
            last_unix_ms = sweep.started_unix_ms;
        }
    }
}
