//! Sweeps over many idle containers, beside the bare `pread`s of the same files in the same run.
//!
//! The groups are made for the run in the hierarchies of this machine, two containers a pod, below one folder of this
//! process, and removed after it, also after a panic. CPU is the thread's own, so that a busy machine does not count.

#![allow(clippy::disallowed_methods, reason = "a benchmark: makes control groups and reads their files")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use flyball_collector::history::Recorder;
use flyball_collector::{Config, Names, Sweeper, detect};

use crate::Figure;
use crate::process::{descriptors, thread_cpu_seconds};

/// Row of the table.
const ROW: &str = "collector sweep";
/// Sweeps before the measured ones: they open files, fill buffers, and see that the groups are idle, which takes the slower
/// tier two rounds.
const WARM_UP: u32 = 124;
/// The same for the floor, which only fills buffers.
const FLOOR_WARM_UP: u32 = 4;
/// Measured sweeps: two rounds of the slower tier, whose cost is averaged in.
const ROUNDS: u32 = 120;
/// Where a v1 machine mounts what each sweep reads.
const V1_MOUNTS: [&str; 2] = ["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/memory"];
/// Files the floor holds open at once.
const FLOOR_FILES: usize = 5_000;
/// The files the floor reads in each group, by hierarchy.
const V1_FILES: [&[&str]; 2] = [&["cpuacct.usage"], &["memory.usage_in_bytes", "memory.stat"]];

/// The figures of the row.
#[must_use]
pub fn figures() -> Vec<Figure> {
    let sizes = [(1_000, "≤ 10 ms, ≤ 2x the floor"), (5_000, "≤ 60 ms, ≤ 2x the floor")];
    sizes
        .into_iter()
        .map(|(containers, promise)| {
            let what = format!("CPU of one sweep at 1 s, idle groups: {containers} containers and their pods");
            match measure(containers) {
                Ok(cost) => Figure::new(ROW, what, cost.sweep_ms, "ms").promise(promise).beside(format!(
                    "floor, kept files and bare pread: {:.2} ms, ratio {:.2}; storing each sweep in the history adds \
                     {:.2} ms; {} descriptors held",
                    cost.floor_ms,
                    cost.sweep_ms / cost.floor_ms,
                    cost.history_ms,
                    cost.descriptors,
                )),
                Err(error) => Figure::skipped(ROW, what, format!("{error:#}")),
            }
        })
        .collect()
}

/// The groups of one run; removes them when it goes.
pub struct Groups {
    folders: Vec<PathBuf>,
    /// Path below the mount points.
    pub root: String,
    /// The mount points.
    pub trees: Vec<PathBuf>,
}

/// Pods are below this folder of the root.
const CLASS: &str = "kubepods/besteffort";

impl Groups {
    /// Makes them: two containers a pod.
    pub fn make(containers: usize) -> anyhow::Result<Self> {
        let root = format!("flyball-bench-{}", std::process::id());
        for mount in V1_MOUNTS {
            if !Path::new(mount).is_dir() {
                bail!("{mount} is not there: this row needs cgroup v1 hierarchies and root");
            }
        }
        // In every hierarchy of the machine, as a runtime makes them.
        let trees = detect::on_this_machine()?.plan(&[]).trees;
        let mut groups = Self { folders: Vec::new(), root, trees };
        for mount in groups.trees.clone() {
            let base = mount.join(&groups.root);
            for folder in ["", "kubepods", CLASS] {
                groups.folder(base.join(folder))?;
            }
            for index in 0..containers {
                if index % 2 == 0 {
                    groups.folder(base.join(CLASS).join(pod_folder(index / 2)))?;
                }
                groups.folder(base.join(container_path(index)))?;
            }
        }
        Ok(groups)
    }

    /// The folders of a container, one in each hierarchy.
    #[must_use]
    pub fn of_container(&self, index: usize) -> Vec<PathBuf> {
        self.trees.iter().map(|tree| tree.join(&self.root).join(container_path(index))).collect()
    }

    /// The configuration of a collector that looks at them and at nothing else.
    #[must_use]
    pub fn config(&self) -> Config {
        Config { cgroup_root: format!("/{}", self.root), ..Config::new("bench") }
    }

    fn folder(&mut self, path: PathBuf) -> anyhow::Result<()> {
        std::fs::create_dir(&path)
            .with_context(|| format!("cannot make the control group {}", path.display()))?;
        self.folders.push(path);
        Ok(())
    }

    /// The groups a sweep reads: pods and containers, not the folders above them.
    fn measured(&self) -> impl Iterator<Item = &PathBuf> {
        self.folders.iter().filter(|folder| {
            folder
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("pod") || name.len() == 64)
        })
    }
}

/// UID of a pod.
#[must_use]
pub fn pod_uid(pod: usize) -> String {
    format!("00000000-0000-4000-8000-{pod:012x}")
}

/// Id of a container.
#[must_use]
pub fn container_id(index: usize) -> String {
    format!("{index:064x}")
}

fn pod_folder(pod: usize) -> String {
    format!("pod{}", pod_uid(pod))
}

/// Path of a container below the root: two are in each pod.
#[must_use]
pub fn container_path(index: usize) -> PathBuf {
    Path::new(CLASS).join(pod_folder(index / 2)).join(container_id(index))
}

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in self.folders.iter().rev() {
            if let Err(error) = std::fs::remove_dir(folder) {
                eprintln!("cannot remove the control group {}: {error}", folder.display());
            }
        }
    }
}

/// Milliseconds of CPU.
struct Cost {
    sweep_ms: f64,
    floor_ms: f64,
    history_ms: f64,
    descriptors: usize,
}

fn measure(containers: usize) -> anyhow::Result<Cost> {
    let groups = Groups::make(containers)?;
    let names = Arc::new(Names::default());
    let mut sweeper = Sweeper::new(&groups.config(), names.clone())?;
    for _ in 0..WARM_UP {
        sweeper.sweep_once();
    }
    let found = sweeper.report().containers;
    if found != containers {
        bail!("the sweep found {found} of {containers} containers");
    }
    let sweep_ms = average_ms(|| {
        sweeper.sweep_once();
    });
    let descriptors = descriptors(std::process::id())?;
    let (recorder, sweep) = (Recorder::new(names), sweeper.latest().get());
    let history_ms = average_ms(|| {
        recorder.record(&sweep);
    });
    drop(sweeper);
    let floor_ms = floor_ms(&groups)?;
    Ok(Cost { sweep_ms, floor_ms, history_ms, descriptors })
}

/// The same files, held open, read with one `pread` each into one buffer, and nothing else.
///
/// Files are held [`FLOOR_FILES`] at a time, for a process may not hold all at once; the parts are added up.
///
/// # Errors
/// A file cannot be opened.
pub fn floor_ms(groups: &Groups) -> anyhow::Result<f64> {
    let paths: Vec<PathBuf> = groups
        .measured()
        .flat_map(|folder| {
            let mount = V1_MOUNTS.iter().position(|mount| folder.starts_with(mount));
            let names = mount.map_or(&[][..], |index| V1_FILES[index]);
            names.iter().map(move |name| folder.join(name))
        })
        .collect();
    let mut total_ms = 0.0;
    for part in paths.chunks(FLOOR_FILES) {
        let open =
            |path: &PathBuf| File::open(path).with_context(|| format!("cannot open {}", path.display()));
        let files = part.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        let mut buffer = [0_u8; 4096];
        let mut read_all = || {
            for file in &files {
                std::hint::black_box(file.read_at(&mut buffer, 0).unwrap_or(0));
            }
        };
        for _ in 0..FLOOR_WARM_UP {
            read_all();
        }
        total_ms += average_ms(read_all);
    }
    Ok(total_ms)
}

fn average_ms(mut round: impl FnMut()) -> f64 {
    let started = thread_cpu_seconds();
    for _ in 0..ROUNDS {
        round();
    }
    (thread_cpu_seconds() - started) * 1e3 / f64::from(ROUNDS)
}
