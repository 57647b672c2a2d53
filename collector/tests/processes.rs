#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: writes a folder and starts processes"
)]
//! Accounting by process: a container is a child of this test and its own children.

use flyball_collector::sample::Sweep;
use flyball_collector::{Config, Names, Source, SourceChoice, Sweeper};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

const UID: &str = "2fc932ce-fdcc-454b-97bd-aadfdeb4c340";
const PATIENCE: Duration = Duration::from_secs(20);

/// A process group, ended with the value.
struct Family(Child);

impl Family {
    fn start(script: &str) -> Family {
        Family(Command::new("/bin/sh").args(["-c", script]).process_group(0).spawn().unwrap())
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.0.id() as i32) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn container(&self, id: &str) -> PathBuf {
        self.0.path().join(format!("kubepods/burstable/pod{UID}/{id}"))
    }

    fn sweeper(&self) -> Sweeper {
        let config =
            Config { source: SourceChoice::Processes(self.0.path().to_owned()), ..Config::new("node1") };
        Sweeper::new(&config, Arc::new(Names::default())).unwrap()
    }
}

fn cpu_ns(sweep: &Sweep) -> u64 {
    sweep.containers.first().and_then(|c| c.reading.cpu).map_or(0, |cpu| cpu.usage_ns)
}

#[test]
fn a_family_is_one_container_and_its_pod_goes_on_after_it() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let id = "a1".repeat(32);
    std::fs::create_dir_all(folder.container(&id)).unwrap();
    let mut sweeper = folder.sweeper();
    assert_eq!(sweeper.source(), Source::Processes);
    let sweep = sweeper.sweep_once();
    assert_eq!(sweep.containers[0].reading.cpu, None, "nothing named yet: absent, not zero");
    assert!(sweep.node.cpu.is_some() && sweep.node.memory.is_some());

    // The work is done by a grandchild; the first process only waits.
    let family = Family::start("sh -c 'while :; do :; done' & wait");
    std::fs::write(folder.container(&id).join("cgroup.procs"), format!("{}\n", family.0.id())).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut last_ns = 0;
    while last_ns < 300_000_000 {
        assert!(Instant::now() < deadline, "only {last_ns} ns after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
        let used_ns = cpu_ns(sweeper.sweep_once());
        assert!(used_ns >= last_ns);
        last_ns = used_ns;
    }
    let sweep = sweeper.sweep_once();
    let reading = sweep.containers[0].reading;
    assert!(reading.memory.unwrap().rss_bytes.unwrap() > 0);
    assert!(reading.start_unix_ms.is_some());
    assert_eq!(sweep.pods[0].reading.cpu.unwrap().usage_ns, reading.cpu.unwrap().usage_ns);
    last_ns = cpu_ns(sweep);

    // The container ends and another takes its place: the pod's time does not go back.
    drop(family);
    std::fs::remove_dir_all(folder.container(&id)).unwrap();
    let next = "b2".repeat(32);
    let family = Family::start("sleep 1000");
    std::fs::create_dir_all(folder.container(&next)).unwrap();
    std::fs::write(folder.container(&next).join("cgroup.procs"), family.0.id().to_string()).unwrap();
    let sweep = sweeper.sweep_once();
    assert_eq!(*sweep.containers[0].id, *next);
    assert!(sweep.pods[0].reading.cpu.unwrap().usage_ns >= last_ns);
    assert!(sweep.pods[0].reading.memory.unwrap().usage_bytes.unwrap() > 0);
}
