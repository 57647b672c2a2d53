#![allow(clippy::disallowed_methods, reason = "owns the walking thread, whose rounds take time")]
//! Disk use of containers: writable layer, logs, and the pod's own volumes, measured by walking them in a thread of its
//! own, beside the sweeps.
//!
//! * **Writable layer**: the upper folder of the overlay that is the root of the container's first process, by that
//!   process's mountinfo; so every runtime that uses overlays is understood, whatever its folders are called.
//! * **Logs**: `<logs>/<namespace>_<pod>_<uid>/<container>/`, as every kubelet lays them out.
//! * **Volumes**: the pod's `emptyDir`s on disk, `<kubelet>/pods/<uid>/volumes/kubernetes.io~empty-dir/<name>/`.
//!
//! Sizes are allocated blocks; a file with several names counts once per walk; other file systems below are not
//! entered. A walk ends at [`walk::ENTRIES_LIMIT`] entries, and what it measured is then absent, not short. All containers
//! are measured every [`ROUND`], less often when a round takes more than a tenth of the time. What the collector may
//! not read is absent.

pub mod places;
pub mod walk;

use crate::cost::{Cost, Meter};
use crate::sample::{ContainerReading, PodReading};
use crate::sweeper::Latest;
use places::{Places, upper_folder};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use walk::{Amount, Walker};

/// Time between two rounds.
pub const ROUND: Duration = Duration::from_secs(15);
/// A round may take this part of the time: a tenth.
const DUTY_DIVISOR: u32 = 10;
/// Niceness of the walking thread.
const NICENESS: i32 = 10;

/// A file system as its folder's owner sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub capacity_bytes: u64,
    /// Bytes an ordinary user may still use.
    pub available_bytes: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes left.
    pub inodes_free: u64,
}

/// What one folder uses, and the file system it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Its files.
    pub amount: Amount,
    /// Its file system.
    pub space: Option<Space>,
    /// Major and minor number of the device that holds it.
    pub device: (u32, u32),
    /// When it was measured, Unix milliseconds.
    pub unix_ms: i64,
}

/// Disk use of one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerUse {
    /// Its writable layer.
    pub root: Option<Use>,
    /// Its logs.
    pub logs: Option<Use>,
}

/// The result of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// By container id.
    pub containers: HashMap<Arc<str>, ContainerUse>,
    /// Volumes by UID of the pod: name and use, by name.
    pub volumes: HashMap<Arc<str>, Vec<(String, Use)>>,
    /// Of the node itself.
    pub node: NodeUse,
}

/// The file systems of the node that a kubelet looks after, whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeUse {
    /// The one with the kubelet's folder.
    pub kubelet: Option<Use>,
    /// The one with the container runtime's.
    pub runtime: Option<Use>,
}

/// What a round took.
#[derive(Debug, Clone, Copy)]
pub struct Walked {
    /// Of the walking thread.
    pub cost: Cost,
    /// By the clock on the wall.
    pub took: Duration,
    /// When it was over, Unix milliseconds. A file system that does not answer shows in that none follows.
    pub unix_ms: i64,
}

/// The last finished round.
#[derive(Debug, Default)]
pub struct LatestDiskUse(Mutex<Arc<DiskUse>>);

impl LatestDiskUse {
    /// The last finished round; empty before the first.
    pub fn get(&self) -> Arc<DiskUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, round: DiskUse) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(round);
    }
}

/// The thread that walks; ends when dropped, after the folder it is in.
#[derive(Debug)]
pub struct DiskMeter {
    latest: Arc<LatestDiskUse>,
    stop: Option<Sender<()>>,
}

impl DiskMeter {
    /// Measures the containers of the last sweep, round after round.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        sweeps: Arc<Latest>,
        places: Places,
        observe: impl Fn(&Walked) + Send + 'static,
    ) -> std::io::Result<DiskMeter> {
        let latest = Arc::new(LatestDiskUse::default());
        let (stop, stopped) = channel();
        let results = latest.clone();
        std::thread::Builder::new().name("flyball-disk".to_owned()).spawn(move || {
            // Only this thread's; a kernel that refuses changes nothing but who waits.
            let _ = rustix::process::nice(NICENESS);
            rounds(&sweeps, &places, &results, &stopped, observe);
        })?;
        Ok(DiskMeter { latest, stop: Some(stop) })
    }

    /// Where results are found.
    pub fn latest(&self) -> Arc<LatestDiskUse> {
        self.latest.clone()
    }
}

impl Drop for DiskMeter {
    /// Tells the thread to end and does not wait for it: a file system that does not answer may hold it for ever.
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

fn rounds(
    sweeps: &Latest,
    places: &Places,
    results: &LatestDiskUse,
    stopped: &Receiver<()>,
    observe: impl Fn(&Walked),
) {
    let mut meter = Meter::start();
    // The first round waits for a sweep, not for its turn.
    let mut pause = Duration::from_millis(200);
    loop {
        match stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let sweep = sweeps.get();
        if sweep.sequence == 0 {
            continue;
        }
        let started = Instant::now();
        let is_stopped = || !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
        let Some(round) = round(&sweep.pods, &sweep.containers, places, is_stopped) else { return };
        results.put(round);
        observe(&Walked { cost: meter.lap(), took: started.elapsed(), unix_ms: unix_ms() });
        pause = ROUND.max(started.elapsed() * DUTY_DIVISOR);
    }
}

/// One round; `None` when it is told to stop.
fn round(
    pods: &[PodReading],
    containers: &[ContainerReading],
    places: &Places,
    is_stopped: impl Fn() -> bool,
) -> Option<DiskUse> {
    let mut walker = Walker::default();
    let runtime = places.runtime();
    let node =
        NodeUse { kubelet: whole(&places.kubelet()), runtime: runtime.and_then(|folder| whole(&folder)) };
    let mut found = DiskUse { node, ..DiskUse::default() };
    for container in containers {
        if is_stopped() {
            return None;
        }
        let pids = places.first_pid(&container.path);
        let upper = pids.and_then(|pid| upper_folder(&places.mountinfo(pid)?));
        let root = upper.and_then(|upper| measure(&mut walker, &places.on_host(&upper)));
        let name = container.name.as_deref();
        let logs = name.and_then(|name| {
            let folder = places.logs(&name.pod.namespace, &name.pod.pod, &container.pod_uid);
            measure(&mut walker, &folder.join(&name.container))
        });
        if root.is_some() || logs.is_some() {
            found.containers.insert(container.id.clone(), ContainerUse { root, logs });
        }
    }
    for pod in pods {
        if is_stopped() {
            return None;
        }
        let mut volumes: Vec<(String, Use)> = places
            .empty_dirs(&pod.uid)
            .into_iter()
            .filter_map(|(name, folder)| Some((name, measure(&mut walker, &folder)?)))
            .collect();
        if !volumes.is_empty() {
            volumes.sort_by(|a, b| a.0.cmp(&b.0));
            found.volumes.insert(pod.uid.clone(), volumes);
        }
    }
    Some(found)
}

fn measure(walker: &mut Walker, folder: &Path) -> Option<Use> {
    let amount = walker.walk(folder)?;
    let device = rustix::fs::stat(folder).ok()?.st_dev;
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    Some(Use { amount, space: space(folder), device, unix_ms: unix_ms() })
}

/// The whole file system that holds a folder.
fn whole(folder: &Path) -> Option<Use> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    let used_blocks = stat.f_blocks.checked_sub(stat.f_bfree)?;
    let bytes = used_blocks.checked_mul(stat.f_frsize)?;
    let amount = Amount { bytes, inodes: stat.f_files.checked_sub(stat.f_ffree)? };
    let device = rustix::fs::stat(folder).ok()?.st_dev;
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    Some(Use { amount, space: space(folder), device, unix_ms: unix_ms() })
}

fn space(folder: &Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(Space {
        capacity_bytes: stat.f_blocks.checked_mul(stat.f_frsize)?,
        available_bytes: stat.f_bavail.checked_mul(stat.f_frsize)?,
        inodes: stat.f_files,
        inodes_free: stat.f_ffree,
    })
}

fn unix_ms() -> i64 {
    use crate::clock::{Anchor, Clock, SystemClock};
    Anchor::now(&SystemClock).unix_ms(SystemClock.monotonic_ns())
}

/// Settings of the walks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskConfig {
    /// Where the host's root folder is.
    pub host_root: PathBuf,
    /// The kubelet's folder of pods' logs, on the host.
    pub logs: PathBuf,
    /// The kubelet's own folder, on the host.
    pub kubelet: PathBuf,
    /// Where runtimes keep images and writable layers, on the host: the first that is there.
    pub runtimes: Vec<PathBuf>,
}

impl Default for DiskConfig {
    fn default() -> DiskConfig {
        DiskConfig {
            host_root: PathBuf::from("/"),
            logs: PathBuf::from("/var/log/pods"),
            kubelet: PathBuf::from("/var/lib/kubelet"),
            runtimes: ["/var/lib/containerd", "/var/lib/containers/storage", "/var/lib/docker"]
                .map(PathBuf::from)
                .to_vec(),
        }
    }
}
