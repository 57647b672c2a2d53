//! Row 1: one sweep over many idle containers, beside the bare `pread`s of the same files in the same run.
//!
//! The groups are made for the run in the hierarchies of this machine, two containers a pod, below one folder of this
//! process, and removed after it, also after a panic. CPU is the thread's own, so that a busy machine does not count.

#![allow(clippy::disallowed_methods, reason = "a benchmark: makes control groups and reads their files")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use flyball_collector::{Config, Names, Sweeper, detect};
use rustix::time::{ClockId, clock_gettime};

use crate::Figure;

/// Sweeps before the measured ones: they open files and fill buffers.
const WARM_UP: u32 = 4;
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
            let what = format!("CPU of one sweep over {containers} idle containers (and their pods)");
            match measure(containers) {
                Ok((sweep_ms, floor_ms)) => {
                    Figure::new("1", what, sweep_ms, "ms").promise(promise).beside(format!(
                        "floor, kept files and bare pread: {floor_ms:.2} ms, ratio {:.2}",
                        sweep_ms / floor_ms
                    ))
                }
                Err(error) => Figure::skipped("1", what, format!("{error:#}")),
            }
        })
        .collect()
}

/// The groups of one run; removes them when it goes.
pub struct Groups {
    folders: Vec<PathBuf>,
    /// Path below the mount points.
    pub root: String,
}

impl Groups {
    /// Makes them: two containers a pod.
    pub fn make(containers: usize) -> anyhow::Result<Self> {
        let root = format!("flyball-bench-{}", std::process::id());
        let mut groups = Self { folders: Vec::new(), root };
        for mount in V1_MOUNTS {
            if !Path::new(mount).is_dir() {
                bail!("{mount} is not there: this row needs cgroup v1 hierarchies and root");
            }
        }
        // In every hierarchy of the machine, as a runtime makes them.
        for mount in detect::on_this_machine()?.plan(&[]).trees {
            let base = mount.join(&groups.root);
            groups.folder(base.clone())?;
            groups.folder(base.join("kubepods"))?;
            let besteffort = base.join("kubepods/besteffort");
            groups.folder(besteffort.clone())?;
            for index in 0..containers {
                let pod = besteffort.join(format!("pod00000000-0000-4000-8000-{:012x}", index / 2));
                if index % 2 == 0 {
                    groups.folder(pod.clone())?;
                }
                groups.folder(pod.join(format!("{index:064x}")))?;
            }
        }
        Ok(groups)
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

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in self.folders.iter().rev() {
            if let Err(error) = std::fs::remove_dir(folder) {
                eprintln!("cannot remove the control group {}: {error}", folder.display());
            }
        }
    }
}

/// CPU of one sweep and of the floor, in milliseconds.
fn measure(containers: usize) -> anyhow::Result<(f64, f64)> {
    let groups = Groups::make(containers)?;
    let mut config = Config::new("bench");
    config.cgroup_root = format!("/{}", groups.root);
    let mut sweeper = Sweeper::new(&config, Arc::new(Names::default()))?;
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
    drop(sweeper);
    let floor_ms = floor_ms(&groups)?;
    Ok((sweep_ms, floor_ms))
}

/// The same files, held open, read with one `pread` each into one buffer, and nothing else.
///
/// Files are held [`FLOOR_FILES`] at a time, for a process may not hold all at once; the parts are added up.
fn floor_ms(groups: &Groups) -> anyhow::Result<f64> {
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
        for _ in 0..WARM_UP {
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

fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
