//! Sweeps over groups that are all active, and readings of cAdvisor's own file set, beside cAdvisor on the same groups.
//!
//! Each container has a process that uses a little CPU and more or less memory several times a second. Flyball's CPU is
//! that of the sweeping thread; cAdvisor's is that of its process while it collects each group once a second.

#![allow(clippy::disallowed_methods, reason = "a benchmark: starts loads and waits")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use flyball_collector::clock::{Anchor, Clock, SystemClock};
use flyball_collector::files::{self, BUFFER_BYTES, Budget};
use flyball_collector::group::{GroupFiles, SweepContext};
use flyball_collector::mounts::FilePlan;
use flyball_collector::readers::{Pace, Reader};
use flyball_collector::slow::{Extras, NetworkOf, SlowTier};
use flyball_collector::{Names, Sweeper, detect};
use rustix::fd::OwnedFd;

use crate::Figure;
use crate::cadvisor;
use crate::process::thread_cpu_seconds;
use crate::served::neighbour;
use crate::sweep::{Groups, floor_ms};

const ROW: &str = "collector sweep";
const CONTAINERS: usize = 1_000;
/// Containers and pods.
const GROUPS: usize = CONTAINERS * 3 / 2;
/// Time between two uses of a load.
const LOAD_PERIOD_MS: u64 = 300;
/// Sweeps before the measured ones.
const WARM_UP: u32 = 3;
/// Measured sweeps, one a second: two passes of the slower tier.
const SWEEPS: u32 = 20;

/// The figures of the row.
#[must_use]
pub fn figures(cadvisor: Option<&Path>) -> Vec<Figure> {
    measure(cadvisor).unwrap_or_else(|error| {
        vec![Figure::skipped(
            ROW,
            "the same with all groups active, and cAdvisor beside",
            format!("{error:#}"),
        )]
    })
}

fn measure(cadvisor: Option<&Path>) -> anyhow::Result<Vec<Figure>> {
    let groups = Groups::make(CONTAINERS)?;
    let mut figures = vec![own_files(&groups, cadvisor, "idle")?];
    let loads = Loads::start(&groups, CONTAINERS, LOAD_PERIOD_MS)?;
    let mut sweeper = Sweeper::new(&groups.config(), Arc::new(Names::default()))?;
    let sweep_ms = average_ms(|| {
        sweeper.sweep_once();
    });
    let found = sweeper.report().containers;
    if found != CONTAINERS {
        bail!("the sweep found {found} of {CONTAINERS} containers");
    }
    drop(sweeper);
    let floor_ms = floor_ms(&groups)?;
    let what = format!("CPU of one sweep at 1 s, all groups active: {CONTAINERS} containers and their pods");
    let beside = format!(
        "floor, kept files and bare pread in a row: {floor_ms:.2} ms, ratio {:.2}; the loads use {:.0} % of a core",
        sweep_ms / floor_ms,
        loads.cpu_percent()?
    );
    figures.insert(0, Figure::new(ROW, what, sweep_ms, "ms").promise("reported").beside(beside));
    figures.push(own_files(&groups, cadvisor, "active")?);
    Ok(figures)
}

/// cAdvisor's files read by Flyball's readers, and by cAdvisor.
fn own_files(groups: &Groups, cadvisor: Option<&Path>, state: &str) -> anyhow::Result<Figure> {
    let mut reader = EveryFile::new(groups)?;
    let own_ms = average_ms(|| reader.read());
    let files = reader.plan.slow.len() + 2;
    drop(reader);
    let what = format!(
        "CPU of reading cAdvisor's own file set ({files} files a group, each second), {state} groups: {CONTAINERS} \
         containers and their pods"
    );
    let figure = Figure::new(ROW, what, own_ms, "ms").promise("≥ 4x less than cAdvisor");
    let Some(program) = cadvisor else {
        return Ok(figure.beside("no cAdvisor: --cadvisor names none"));
    };
    let peer = cadvisor::measure(program, groups, GROUPS)?;
    Ok(figure.beside(format!(
        "cAdvisor v0.60.6 collecting the same groups: {:.0} ms, {:.1} times; its scrape {:.0} ms, {:.0} ms CPU, {:.1} MB; \
         {:.0} MB resident",
        peer.collecting_ms,
        peer.collecting_ms / own_ms,
        peer.scrape_ms,
        peer.scrape_cpu_ms,
        peer.bytes as f64 / 1e6,
        peer.resident_kb as f64 * 1.024e-3,
    )))
}

/// CPU of this thread per round, a round a second.
fn average_ms(mut round: impl FnMut()) -> f64 {
    let (mut total, mut due) = (0.0, Instant::now());
    for number in 0..WARM_UP + SWEEPS {
        let before = thread_cpu_seconds();
        round();
        if number >= WARM_UP {
            total += thread_cpu_seconds() - before;
        }
        due += Duration::from_secs(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    total * 1e3 / f64::from(SWEEPS)
}

/// A process in each container; killed when dropped.
pub struct Loads(Vec<Child>);

impl Loads {
    /// Starts them and waits until each is in its group.
    ///
    /// # Errors
    /// One does not start, or cannot join.
    pub fn start(groups: &Groups, count: usize, period_ms: u64) -> anyhow::Result<Loads> {
        let program = neighbour("bench_collector")?;
        let mut loads = Loads(Vec::new());
        for index in 0..count {
            let child = Command::new(&program)
                .args(["load", "--period-ms", &period_ms.to_string()])
                .args(groups.of_container(index))
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot start a load")?;
            loads.0.push(child);
        }
        for child in &mut loads.0 {
            let mut line = String::new();
            BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
            if line.trim() != "joined" {
                bail!("a load could not join its groups");
            }
        }
        Ok(loads)
    }

    /// CPU of all of them since a second ago, percent of a core.
    fn cpu_percent(&self) -> anyhow::Result<f64> {
        let sum = || -> anyhow::Result<f64> {
            self.0.iter().map(|child| crate::process::threads_cpu_seconds(child.id())).sum()
        };
        let (began, before) = (Instant::now(), sum()?);
        std::thread::sleep(Duration::from_secs(2));
        Ok((sum()? - before) * 100.0 / began.elapsed().as_secs_f64())
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It has nothing to end cleanly.
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Flyball's readers, reading every file of cAdvisor's in every group.
struct EveryFile {
    plan: FilePlan,
    trees: Vec<OwnedFd>,
    proc_root: OwnedFd,
    budget: Budget,
    groups: Vec<(GroupFiles, SlowTier)>,
    buffer: Vec<u8>,
    path: String,
    sequence: u64,
}

impl EveryFile {
    fn new(groups: &Groups) -> anyhow::Result<EveryFile> {
        let mut plan = detect::on_this_machine()?.plan(&[]);
        plan.slow.clear();
        for (controller, names) in cadvisor::FILES {
            let is_here = |tree: &PathBuf| tree.ends_with(controller);
            let tree = plan.trees.iter().position(is_here).with_context(|| format!("no {controller}"))?;
            for name in names.iter().filter(|name| !READ_ANYWAY.contains(name)) {
                let take = |text: &[u8], _: usize, _: &mut _| {
                    std::hint::black_box(flyball_collector::parse::number(text));
                };
                let file = (*name).to_owned();
                plan.slow.push(Reader { tree, file, pace: Pace::Slow, take, argument: 0 });
            }
        }
        let open = |path: &PathBuf| files::open_folder(path).with_context(|| path.display().to_string());
        let trees: Vec<OwnedFd> = plan.trees.iter().map(open).collect::<anyhow::Result<_>>()?;
        let root = trees.first().context("no hierarchy")?;
        let mut found = Vec::new();
        for index in 0..CONTAINERS {
            let container = Path::new(&groups.root).join(crate::sweep::container_path(index));
            let pod = container.parent().filter(|_| index % 2 == 0);
            for path in pod.into_iter().chain([container.as_path()]) {
                let path = path.to_str().context("not UTF-8")?;
                let (inode, _) = files::inode_and_links(root, path)?;
                found.push((GroupFiles::new(path, inode, trees.len()), SlowTier::new(&[])));
            }
        }
        let budget = Budget::new(groups.config().kept_files_limit);
        let proc_root = files::open_folder(Path::new("/proc"))?;
        let (buffer, path) = (vec![0; BUFFER_BYTES], String::new());
        Ok(EveryFile { plan, trees, proc_root, budget, groups: found, buffer, path, sequence: 0 })
    }

    fn read(&mut self) {
        self.sequence += 1;
        let clock = SystemClock;
        let mut faults = |fault| {
            std::hint::black_box(fault);
        };
        let mut ctx = SweepContext {
            plan: &self.plan,
            trees: &self.trees,
            budget: &self.budget,
            clock: &clock as &dyn Clock,
            anchor: Anchor::now(&clock),
            sequence: self.sequence,
            buffer: &mut self.buffer,
            path: &mut self.path,
            faults: &mut faults,
        };
        for (files, slow) in &mut self.groups {
            let values = std::hint::black_box(files.read(&mut ctx));
            let extras = Extras {
                proc_root: &self.proc_root,
                network: NetworkOf::Nobody,
                descriptors: true,
                sockets: false,
                disks: false,
                descends: true,
            };
            slow.read(files, values.cpu.map(|cpu| cpu.usage_ns), extras, &mut ctx);
        }
    }
}

/// What every sweep reads, so that it is not read twice.
const READ_ANYWAY: [&str; 2] = ["cpuacct.usage", "memory.usage_in_bytes"];
