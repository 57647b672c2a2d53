#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: makes control groups and starts processes"
)]
//! A sweep in the steady state allocates nothing, whatever tier it reads: counted by the allocator of this program, on the
//! sweeping thread alone.

use flyball_collector::{Config, Names, SourceChoice, Sweeper, detect};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator; counts allocations and growths of each thread.
struct Counting;

#[allow(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; every call goes to the system's allocator unchanged"
)]
// SAFETY: every method passes its arguments to the system's allocator as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sweeps before the counted ones: two rounds of the slower tier over idle groups, with which every buffer has its size.
const WARM_UP: u64 = 130;
/// Sweeps of a count: one such round, and more than one search of the whole tree.
const COUNTED: u64 = 70;
/// Counts, of which one must be nothing: on a busy machine disks and interfaces come and go meanwhile.
const COUNTS: usize = 8;

/// The fewest allocations of [`COUNTED`] sweeps.
fn fewest(sweeper: &mut Sweeper, pause: Duration) -> u64 {
    let mut sweeps = |count: u64| {
        let mut allocations = 0;
        for _ in 0..count {
            let before = ALLOCATIONS.get();
            sweeper.sweep_once();
            allocations += ALLOCATIONS.get() - before;
            std::thread::sleep(pause);
        }
        allocations
    };
    sweeps(WARM_UP);
    (0..COUNTS).map(|_| sweeps(COUNTED)).find(|count| *count == 0).unwrap_or_else(|| sweeps(COUNTED))
}

#[test]
fn captured_machines() {
    for name in
        ["v1-cgroupfs", "v1-systemd-comounted", "v2-systemd-crio", "v2-kind-nested", "hybrid-cgroupfs"]
    {
        let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
        let config = Config {
            source: SourceChoice::Tree(machine.clone()),
            proc_root: machine.join("proc"),
            ..Config::new("node1")
        };
        let mut sweeper = Sweeper::new(&config, Arc::new(Names::default())).unwrap();
        assert!(!sweeper.sweep_once().containers.is_empty(), "{name}");
        assert_eq!(fewest(&mut sweeper, Duration::ZERO), 0, "{name}");
    }
}

#[test]
fn families_of_processes() {
    let folder = tempfile::tempdir().unwrap();
    let container =
        "kubepods/besteffort/pod2fc932ce-fdcc-454b-97bd-aadfdeb4c340/".to_owned() + &"c".repeat(64);
    std::fs::create_dir_all(folder.path().join(&container)).unwrap();
    std::fs::write(folder.path().join(container).join("cgroup.procs"), std::process::id().to_string())
        .unwrap();
    let source = SourceChoice::Processes(folder.path().to_owned());
    let config = Config { source, ..Config::new("node1") };
    let mut sweeper = Sweeper::new(&config, Arc::new(Names::default())).unwrap();
    assert_eq!(sweeper.sweep_once().containers.len(), 1);
    assert_eq!(fewest(&mut sweeper, Duration::ZERO), 0);
}

/// Groups and processes; gone when dropped.
struct Ground {
    root: String,
    trees: Vec<PathBuf>,
    children: Vec<Child>,
}

impl Ground {
    /// Of pods with two containers each, one of them with a group below it. The processes of every other pod use CPU all
    /// the time.
    fn new(pods: usize) -> Option<Ground> {
        let trees = match detect::on_this_machine() {
            Ok(found) => found.plan(&[]).trees,
            Err(error) => {
                eprintln!("SKIPPED: allocations of live groups: {error}");
                return None;
            }
        };
        let root = format!("flyball-allocations-{}", std::process::id());
        let mut ground = Ground { root, trees, children: Vec::new() };
        for tree in &ground.trees {
            if let Err(error) = std::fs::create_dir(tree.join(&ground.root)) {
                eprintln!(
                    "SKIPPED: allocations of live groups: none can be made in {}: {error}",
                    tree.display()
                );
                return None;
            }
        }
        for pod in 0..pods {
            let path = format!("kubepods/burstable/pod2fc932ce-fdcc-454b-97bd-aadfdeb4c3{pod:02}");
            let script = if pod % 2 == 0 { "while :; do sleep 0.01; done" } else { "exec sleep 600" };
            for (number, below) in ["", "/init.scope"].into_iter().enumerate() {
                let container =
                    format!("{path}/{}{below}", format!("{pod}{number}").repeat(64)[..64].to_owned());
                ground.run(&container, script);
            }
        }
        Some(ground)
    }

    fn run(&mut self, group: &str, script: &str) {
        let child = Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap();
        for tree in &self.trees {
            let folder = tree.join(&self.root).join(group);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        self.children.push(child);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        // What the shells started ends by itself in a moment.
        let started = Instant::now();
        for tree in &self.trees {
            let root = tree.join(&self.root);
            while root.exists() && started.elapsed() < Duration::from_secs(10) {
                remove(&root);
                std::thread::yield_now();
            }
        }
    }
}

fn remove(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(folder);
}

#[test]
fn live_groups_idle_and_active() {
    let Some(ground) = Ground::new(6) else { return };
    let config = Config {
        cgroup_root: format!("/{}", ground.root),
        counts_descriptors: true,
        counts_sockets: true,
        per_cpu: true,
        ..Config::new("node1")
    };
    let mut sweeper = Sweeper::new(&config, Arc::new(Names::default())).unwrap();
    assert_eq!(sweeper.sweep_once().containers.len(), 12);
    assert_eq!(fewest(&mut sweeper, Duration::from_millis(4)), 0);
}
