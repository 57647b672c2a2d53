#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: reads and copies test data")]
//! Captured machines: one sweep over each must give the body beside it, byte by byte.

use flyball_collector::clock::Clock;
use flyball_collector::disk::DiskUse;
use flyball_collector::machine::Machine;
use flyball_collector::names::NameTable;
use flyball_collector::parse::Limit;
use flyball_collector::selection::Selection;
use flyball_collector::slow::{RARE_SWEEPS, SLOW_SWEEPS};
use flyball_collector::summary::{self, Extent};
use flyball_collector::{Config, Names, SourceChoice, Sweep, Sweeper, cadvisor, resource, watch};
use flyball_model::exposition::{Event, Format, Reader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stands still unless told to go on.
#[derive(Clone, Default)]
struct FixedClock {
    /// Nanoseconds that passed.
    passed: Arc<AtomicU64>,
    /// Nanoseconds by which the wall clock was set forward.
    set_forward: Arc<AtomicU64>,
}

impl Clock for FixedClock {
    fn monotonic_ns(&self) -> u64 {
        10_000_000_000_000 + self.passed.load(Ordering::Relaxed)
    }

    fn unix_ns(&self) -> i64 {
        let set = self.set_forward.load(Ordering::Relaxed) + self.passed.load(Ordering::Relaxed);
        1_700_000_000_000_000_000 + set as i64
    }
}

fn machine(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn names(machine: &Path) -> Arc<Names> {
    let pods: Vec<k8s_openapi::api::core::v1::Pod> =
        serde_json::from_str(&std::fs::read_to_string(machine.join("pods.json")).unwrap()).unwrap();
    let mut table = NameTable::default();
    for pod in &pods {
        table.apply(&watch::facts(pod).unwrap());
    }
    let names = Names::default();
    names.publish(table);
    Arc::new(names)
}

fn sweeper(machine: &Path, names: Arc<Names>) -> Sweeper {
    sweeper_at(machine, names, FixedClock::default())
}

fn sweeper_at(machine: &Path, names: Arc<Names>, clock: FixedClock) -> Sweeper {
    let config = Config {
        source: SourceChoice::Tree(machine.to_owned()),
        proc_root: machine.join("proc"),
        ..Config::new("node1")
    };
    Sweeper::with_clock(&config, names, Box::new(clock)).unwrap()
}

fn check(name: &str, source: &str, pods: usize, containers: usize, unnamed: usize) {
    let machine = machine(name);
    let mut sweeper = sweeper(&machine, names(&machine));
    assert_eq!(sweeper.source().to_string(), source);
    let sweep = sweeper.sweep_once();
    assert_eq!(
        (sweep.pods.len(), sweep.containers.len(), sweep.unnamed_containers()),
        (pods, containers, unnamed)
    );
    let body = resource::render(sweep, Format::Text004);
    if std::env::var_os("FLYBALL_ACCEPT_GOLDEN").is_some() {
        std::fs::write(machine.join("metrics-resource.txt"), &body).unwrap();
    }
    let expected = std::fs::read_to_string(machine.join("metrics-resource.txt")).unwrap_or_default();
    assert!(body == expected, "{name}: body differs from metrics-resource.txt\n{body}");
    check_cadvisor(&machine, sweep);
    check_summary(&machine, sweep);
    for format in [Format::Text004, Format::OpenMetrics10] {
        let body = resource::render(sweep, format);
        let samples =
            Reader::new(&body, format).filter(|event| matches!(event, Ok(Event::Sample(_)))).count();
        assert_eq!(Reader::new(&body, format).filter(Result::is_err).count(), 0, "{name}");
        assert_eq!(samples, expected.lines().filter(|line| !line.starts_with('#')).count(), "{name}");
    }
}

/// The same sweep as `/metrics/cadvisor`, beside `metrics-cadvisor.txt`.
fn check_cadvisor(machine: &Path, sweep: &Sweep) {
    let facts = Machine { boot_id: "boot".to_owned(), cores: Some(2), ..Machine::default() };
    let selection = Selection::default();
    let body = cadvisor::render(sweep, &DiskUse::default(), &facts, &selection, Format::Text004);
    let path = machine.join("metrics-cadvisor.txt");
    if std::env::var_os("FLYBALL_ACCEPT_GOLDEN").is_some() {
        std::fs::write(&path, &body).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(body == expected, "body differs from {}\n{body}", path.display());
    for format in [Format::Text004, Format::OpenMetrics10] {
        let body = cadvisor::render(sweep, &DiskUse::default(), &facts, &selection, format);
        let faults: Vec<_> = Reader::new(&body, format).filter_map(Result::err).collect();
        assert!(faults.is_empty(), "{faults:?}");
    }
    let mut series: Vec<&str> = expected
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once("} ")?.0))
        .collect();
    series.sort_unstable();
    let all = series.len();
    series.dedup();
    assert_eq!(series.len(), all, "two series of one identity");
}

/// The same sweep as `/stats/summary`, beside `stats-summary.json`.
fn check_summary(machine: &Path, sweep: &Sweep) {
    let disk = DiskUse::default();
    let summary = summary::summary(sweep, &disk, "node1", None, Extent::All);
    let body = serde_json::to_string_pretty(&summary).unwrap() + "\n";
    let path = machine.join("stats-summary.json");
    if std::env::var_os("FLYBALL_ACCEPT_GOLDEN").is_some() {
        std::fs::write(&path, &body).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(body == expected, "body differs from {}\n{body}", path.display());
}

#[test]
fn v1_separate_hierarchies_cgroupfs() {
    check("v1-cgroupfs", "cgroup v1", 3, 4, 1);
}

#[test]
fn v1_comounted_systemd() {
    check("v1-systemd-comounted", "cgroup v1", 2, 3, 0);
}

#[test]
fn v2_systemd_crio() {
    check("v2-systemd-crio", "cgroup v2", 2, 4, 0);
}

#[test]
fn v2_kind_nested() {
    check("v2-kind-nested", "cgroup v2", 1, 1, 0);
}

#[test]
fn hybrid_cgroupfs() {
    check("hybrid-cgroupfs", "cgroup v1 (hybrid)", 1, 1, 0);
}

#[test]
fn a_root_elsewhere_hides_the_machines_own_pods() {
    let machine = machine("v1-cgroupfs");
    let config = Config {
        source: SourceChoice::Tree(machine.clone()),
        proc_root: machine.join("proc"),
        cgroup_root: "/flyball-1234".to_owned(),
        ..Config::new("node1")
    };
    let mut sweeper = Sweeper::new(&config, names(&machine)).unwrap();
    assert_eq!(sweeper.sweep_once().pods.len(), 0);
}

#[test]
fn the_root_may_also_be_the_kubepods_folder_itself() {
    let machine = machine("v1-cgroupfs");
    let config = Config {
        source: SourceChoice::Tree(machine.clone()),
        proc_root: machine.join("proc"),
        cgroup_root: "/kubepods".to_owned(),
        ..Config::new("node1")
    };
    let mut sweeper = Sweeper::new(&config, names(&machine)).unwrap();
    assert_eq!(sweeper.sweep_once().pods.len(), 3);
}

/// A copy that a test may change.
fn copy(machine: &Path) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        std::fs::create_dir_all(target.path().join(&folder)).unwrap();
        for entry in std::fs::read_dir(machine.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                std::fs::copy(entry.path(), target.path().join(path)).unwrap();
            }
        }
    }
    target
}

const UID: &str = "c0ffee00-1234-4abc-8def-0123456789ab";

#[test]
fn groups_come_and_go_between_sweeps_and_counters_that_fall_start_an_epoch() {
    let machine = copy(&machine("hybrid-cgroupfs"));
    let mut sweeper = sweeper(machine.path(), names(machine.path()));
    let app = format!("crio-{}", "a1".repeat(32));
    let pod = |tree: &str| {
        machine.path().join("sys/fs/cgroup").join(tree).join("kubepods/burstable/pod".to_owned() + UID)
    };
    assert_eq!(sweeper.sweep_once().containers[0].reading.cpu.unwrap().usage_ns, 100_000_000);

    std::fs::write(pod("cpuacct").join(&app).join("cpuacct.usage"), "5\n").unwrap();
    let sweep = sweeper.sweep_once();
    assert_eq!(sweep.containers[0].reading.epoch, 1);
    assert_eq!(sweep.containers[0].reading.cpu.unwrap().usage_ns, 5);
    assert_eq!(sweeper.report().resets, 1);

    // Another container, in the memory hierarchy first.
    let second = pod("memory").join("b2".repeat(32));
    std::fs::create_dir(&second).unwrap();
    std::fs::write(second.join("memory.usage_in_bytes"), "77\n").unwrap();
    let sweep = sweeper.sweep_once();
    let new = sweep.containers.iter().find(|c| c.id.starts_with("b2")).unwrap();
    assert_eq!(new.reading.cpu, None);
    assert_eq!(new.reading.memory.unwrap().usage_bytes, Some(77));
    assert_eq!(new.reading.memory.unwrap().working_set_bytes, None, "absent, not zero");
    assert_eq!(new.name, None);

    // The same path made anew is another group, whose counters start again without an epoch.
    std::fs::remove_dir_all(pod("memory").join(&app)).unwrap();
    assert_eq!(sweeper.sweep_once().containers.len(), 1);
    for tree in ["memory", "cpuacct"] {
        std::fs::create_dir_all(pod(tree).join(&app)).unwrap();
    }
    let sweep = sweeper.sweep_once();
    let again = sweep.containers.iter().find(|c| c.id.starts_with("a1")).unwrap();
    assert_eq!(again.reading.epoch, 0);
    assert!(again.name.is_some());

    std::fs::remove_dir_all(machine.path().join("sys/fs/cgroup/memory/kubepods")).unwrap();
    assert_eq!(sweeper.sweep_once().pods.len(), 0);
    assert_eq!(
        sweeper.report().removed,
        5,
        "two containers and their pod, and the groups of its class and of all"
    );
}

#[test]
fn a_name_that_arrives_late_is_taken_without_a_new_group() {
    let machine = machine("v2-kind-nested");
    let empty = Arc::new(Names::default());
    let mut sweeper = sweeper(&machine, empty.clone());
    assert!(sweeper.sweep_once().containers[0].name.is_none());
    empty.publish((*names(&machine).table()).clone());
    assert_eq!(sweeper.sweep_once().containers[0].name.as_ref().unwrap().container, "app");
}

#[test]
fn readers_keep_their_sweep_while_others_are_made() {
    let machine = machine("v1-cgroupfs");
    let mut sweeper = sweeper(&machine, names(&machine));
    let latest = sweeper.latest();
    assert_eq!(latest.get().sequence, 0);
    sweeper.sweep_once();
    let held = latest.get();
    for _ in 0..5 {
        sweeper.sweep_once();
    }
    assert_eq!((held.sequence, held.containers.len()), (1, 4));
    assert_eq!(latest.get().sequence, 6);
}

#[test]
fn a_step_of_the_wall_clock_reaches_stamps_but_no_rate() {
    let machine = copy(&machine("hybrid-cgroupfs"));
    let clock = FixedClock::default();
    let mut sweeper = sweeper_at(machine.path(), names(machine.path()), clock.clone());
    let before = sweeper.sweep_once().containers[0].reading.cpu.unwrap();
    let app =
        format!("sys/fs/cgroup/cpuacct/kubepods/burstable/pod{UID}/crio-{}/cpuacct.usage", "a1".repeat(32));
    let used = before.usage_ns + 500_000_000;
    std::fs::write(machine.path().join(app), format!("{used}\n")).unwrap();
    clock.passed.fetch_add(1_000_000_000, Ordering::Relaxed);
    clock.set_forward.fetch_add(3_600_000_000_000, Ordering::Relaxed);
    let reading = sweeper.sweep_once().containers[0].reading;
    assert_eq!(reading.cpu.unwrap().unix_ms - before.unix_ms, 3_601_000);
    assert_eq!(reading.cpu_rate_nanocores, Some(500_000_000), "half a core for a second");
}

#[test]
fn hostile_names_above_pods_are_escaped() {
    let machine = copy(&machine("v2-kind-nested"));
    let root = machine.path().join("sys/fs/cgroup");
    let hostile = "x\"} 1\n# HELP y \\{a=\u{202e}";
    // The node's own group gets a name that would end a line and a label.
    let outer = std::fs::read_dir(&root).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    std::fs::rename(outer.path(), root.join(hostile)).unwrap();
    let mut sweeper = sweeper(machine.path(), names(machine.path()));
    let sweep = sweeper.sweep_once();
    assert_eq!(sweep.containers.len(), 1);
    for format in [Format::Text004, Format::OpenMetrics10] {
        let (disk, machine) = (DiskUse::default(), Machine::default());
        let body = cadvisor::render(sweep, &disk, &machine, &Selection::default(), format);
        let id = format!("/{hostile}/");
        let of_container = Reader::new(&body, format).filter(|event| match event.as_ref().unwrap() {
            Event::Sample(sample) => sample.label("id").is_some_and(|label| label.starts_with(&id)),
            _ => false,
        });
        assert!(of_container.count() > 10, "{body}");
    }
}

#[test]
fn thousands_of_other_groups_do_not_hide_pods() {
    let machine = copy(&machine("hybrid-cgroupfs"));
    let memory = machine.path().join("sys/fs/cgroup/memory");
    for number in 0..3_000 {
        std::fs::create_dir_all(memory.join(format!("user.slice/{}/{number}", number % 60))).unwrap();
    }
    let deep: PathBuf = (0..200).map(|level| level.to_string()).collect();
    std::fs::create_dir_all(memory.join(deep)).unwrap();
    let mut sweeper = sweeper(machine.path(), names(machine.path()));
    let sweep = sweeper.sweep_once();
    assert_eq!((sweep.pods.len(), sweep.containers.len()), (1, 1));
}

#[test]
fn files_that_are_no_longer_there_or_hold_nothing_leave_their_values_absent() {
    let machine = copy(&machine("hybrid-cgroupfs"));
    let mut sweeper = sweeper(machine.path(), names(machine.path()));
    let first = sweeper.sweep_once().containers[0].reading;
    assert!(first.cpu.is_some() && first.memory.is_some());
    let file = |tree: &str, file: &str| {
        let app = format!("kubepods/burstable/pod{UID}/crio-{}/{file}", "a1".repeat(32));
        machine.path().join("sys/fs/cgroup").join(tree).join(app)
    };
    for text in ["", "max\n", "-", "\u{0}", "18446744073709551616\n"] {
        std::fs::write(file("cpuacct", "cpuacct.usage"), text).unwrap();
        std::fs::write(file("memory", "memory.usage_in_bytes"), text).unwrap();
        let reading = sweeper.sweep_once().containers[0].reading;
        assert_eq!((reading.cpu, reading.memory, reading.epoch), (None, None, 0), "{text:?}");
        assert!(sweeper.report().faults[5] > 0, "{text:?} is said to be malformed");
    }
    std::fs::remove_file(file("cpuacct", "cpuacct.usage")).unwrap();
    let reading = sweeper.sweep_once().containers[0].reading;
    assert_eq!((reading.cpu, reading.memory), (None, None));
    // Back again, with more: the rate goes over the gap, and no epoch begins.
    std::fs::write(file("cpuacct", "cpuacct.usage"), "200000000\n").unwrap();
    assert_eq!(sweeper.sweep_once().containers[0].reading.epoch, 0);
}

#[test]
fn time_by_cpu_stands_in_the_place_of_the_total_where_asked_for() {
    let machine = copy(&machine("hybrid-cgroupfs"));
    let app = format!("sys/fs/cgroup/cpuacct/kubepods/burstable/pod{UID}/crio-{}", "a1".repeat(32));
    std::fs::write(machine.path().join(app).join("cpuacct.usage_percpu"), "2000000000 0 500000000 \n")
        .unwrap();
    let config = Config {
        source: SourceChoice::Tree(machine.path().to_owned()),
        proc_root: machine.path().join("proc"),
        per_cpu: true,
        ..Config::new("node1")
    };
    let names = names(machine.path());
    let mut sweeper = Sweeper::with_clock(&config, names, Box::new(FixedClock::default())).unwrap();
    let (disk, facts) = (DiskUse::default(), Machine::default());
    let body = cadvisor::render(sweeper.sweep_once(), &disk, &facts, &Selection::default(), Format::Text004);
    let of_app: Vec<_> = body
        .lines()
        .filter(|line| line.starts_with("container_cpu_usage_seconds_total{container=\"cart\""))
        .map(|line| {
            let label = line.split("cpu=\"").nth(1).unwrap().split('"').next().unwrap();
            (label.to_owned(), line.split("} ").nth(1).unwrap().split(' ').next().unwrap().to_owned())
        })
        .collect();
    let expected = [("cpu00", "2"), ("cpu02", "0.5")].map(|(cpu, value)| (cpu.to_owned(), value.to_owned()));
    assert_eq!(of_app, expected, "{body}");
}

/// What each pass of the slower tier shows of a group that stands still: what others can move, at once; what only the group
/// itself moves, when it moved; and a file that went, as absent.
#[test]
fn a_group_that_stands_still_is_read_for_what_others_move() {
    let machine = copy(&machine("v2-systemd-crio"));
    let mut sweeper = sweeper(machine.path(), names(machine.path()));
    let id = sweeper.sweep_once().containers[0].id.clone();
    let folders = walk(&machine.path().join("sys/fs/cgroup"));
    let folder = folders.iter().find(|folder| folder.to_string_lossy().contains(&*id)).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let passes = |sweeper: &mut Sweeper, sweeps: u64| {
        for _ in 0..sweeps {
            sweeper.sweep_once();
        }
        let sweep = sweeper.latest().get();
        let details = &sweep.containers.iter().find(|container| container.id == id).unwrap().details;
        (details.memory.oom_kills, details.tasks.current, details.memory.limit)
    };
    let two_passes = 2 * RARE_SWEEPS;
    write("memory.current", "4096\n");
    write("memory.events", "high 0\nmax 0\noom_kill 1\n");
    write("pids.current", "3\n");
    write("memory.max", "4096\n");
    // Nothing was there when it was found; that is looked at again soon.
    assert_eq!(passes(&mut sweeper, two_passes), (Some(1), Some(3), Some(Limit::Bytes(4_096))));

    write("memory.events", "high 0\nmax 0\noom_kill 2\n");
    write("pids.current", "4\n");
    write("memory.max", "max\n");
    assert_eq!(passes(&mut sweeper, two_passes), (Some(1), Some(4), Some(Limit::Unlimited)));

    let moved =
        std::fs::read_to_string(folder.join("cpu.stat")).unwrap().replacen("usage_usec ", "usage_usec 1", 1);
    write("cpu.stat", &moved);
    assert_eq!(passes(&mut sweeper, SLOW_SWEEPS), (Some(2), Some(4), Some(Limit::Unlimited)));

    std::fs::remove_file(folder.join("pids.current")).unwrap();
    assert_eq!(passes(&mut sweeper, two_passes), (Some(2), None, Some(Limit::Unlimited)));
    std::fs::remove_file(folder.join("memory.events")).unwrap();
    write("memory.current", "8192\n");
    assert_eq!(passes(&mut sweeper, two_passes).0, None, "absent, not as it was");
}

/// Every folder below one.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let below = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = below.filter(|path| path.is_dir()).collect();
    let deeper: Vec<PathBuf> = folders.iter().flat_map(|folder| walk(folder)).collect();
    folders.into_iter().chain(deeper).collect()
}
