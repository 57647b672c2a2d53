#![allow(clippy::disallowed_methods, reason = "owns the walking thread, whose rounds take time")]
//! Disk use of containers: writable layer, logs, and the pod's own volumes, measured by walking them in a thread of its
//! own, beside the sweeps.
//!
//! * **Writable layer**: the upper folder of the overlay that is the root of the container's first process, by that
//!   process's mountinfo; so every runtime that uses overlays is understood, whatever its folders are called. Where that cannot
//!   be measured (other kinds of layers, virtual machines) what the runtime says of it, where it is asked for names.
//! * **Logs**: the files directly in `<logs>/<namespace>_<pod>_<uid>/<container>/`, as every kubelet lays them out and counts
//!   them; and those directly in the pod's own folder of logs.
//! * **The machine's disks**: the block devices that are mounted, whole, as [`mounted`] finds them.
//! * **Volumes**: those that a kubelet measures, see [`volumes`]. A mount that does not answer delays nobody: it is asked as
//!   [`crate::node_exporter::statfs`] asks, and has no figure.
//!
//! Sizes are allocated blocks; a file with several names counts once per walk; other file systems below are not
//! entered. A walk ends at [`walk::ENTRIES_LIMIT`] entries, and what it measured is then absent, not short. All containers
//! are measured every [`ROUND`], less often when a round takes more than a tenth of the time. What the collector may
//! not read is absent.

pub mod claims;
pub mod mounted;
pub mod places;
mod pods;
pub mod volumes;
pub mod walk;

use crate::cost::{Cost, Meter};
use crate::files::BUFFER_BYTES;
use crate::names::Names;
use crate::node_exporter::statfs::Statfs;
use crate::runtime_store::{LatestStore, StoreUse};
use crate::sample::Sweep;
use crate::sweeper::Latest;
use claims::{Mounted, Sight};
use mounted::MountedDisk;
use places::{Places, upper_folder};
use pods::Claims;
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

/// What a volume of a pod takes, and its file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    /// Its name in the pod; that of the `PersistentVolume` where the pod's claim to it is not known.
    pub name: String,
    /// The claim, where it is known, in the pod's namespace.
    pub claim: Option<String>,
    /// Part of the pod's ephemeral storage.
    pub is_ephemeral: bool,
    /// What is used of it.
    pub amount: Amount,
    /// Its file system.
    pub space: Option<Space>,
    /// When it was measured, Unix milliseconds.
    pub unix_ms: i64,
}

/// Disk use of a pod beside that of its containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodUse {
    /// By name.
    pub volumes: Vec<VolumeUse>,
    /// Files directly in its folder of logs.
    pub logs: Option<Amount>,
    /// Its file of hosts.
    pub hosts: Option<Amount>,
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
    /// By UID of the pod, as in the name of its group.
    pub pods: HashMap<Arc<str>, PodUse>,
    /// Of the node itself.
    pub node: NodeUse,
}

/// The file systems of the node, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeUse {
    /// Those of block devices, by the device's name.
    pub disks: Vec<MountedDisk>,
    /// The one with the kubelet's folder.
    pub kubelet: Option<Use>,
    /// The one with the runtime's images.
    pub images: Option<RuntimeUse>,
    /// The one with the writable layers of containers.
    pub containers: Option<RuntimeUse>,
}

/// A file system of the container runtime, and what of it the runtime says is used for its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeUse {
    /// Bytes; only a runtime knows.
    pub bytes: Option<u64>,
    /// Inodes; of the whole file system where the runtime does not say.
    pub inodes: u64,
    /// The file system.
    pub space: Option<Space>,
    /// When it was measured, Unix milliseconds.
    pub unix_ms: i64,
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

/// Who knows what files do not tell.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The volumes of pods.
    pub names: Arc<Names>,
    /// The runtime's images.
    pub store: Arc<LatestStore>,
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
        sources: Sources,
        places: Places,
        observe: impl Fn(&Walked) + Send + 'static,
    ) -> std::io::Result<DiskMeter> {
        let latest = Arc::new(LatestDiskUse::default());
        let (stop, stopped) = channel();
        let results = latest.clone();
        std::thread::Builder::new().name("flyball-disk".to_owned()).spawn(move || {
            // Only this thread's; a kernel that refuses changes nothing but who waits.
            let _ = rustix::process::nice(NICENESS);
            rounds(&sweeps, &sources, &places, &results, &stopped, observe);
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
    sources: &Sources,
    places: &Places,
    results: &LatestDiskUse,
    stopped: &Receiver<()>,
    observe: impl Fn(&Walked),
) {
    let mut meter = Meter::start();
    let mut statfs = Statfs::new(pods::ask_mount);
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
        let Some(round) = round(&sweep, sources, places, &mut statfs, is_stopped) else { return };
        results.put(round);
        observe(&Walked { cost: meter.lap(), took: started.elapsed(), unix_ms: unix_ms() });
        pause = ROUND.max(started.elapsed() * DUTY_DIVISOR);
    }
}

/// One round; `None` when it is told to stop.
fn round(
    sweep: &Sweep,
    sources: &Sources,
    places: &Places,
    statfs: &mut Statfs,
    is_stopped: impl Fn() -> bool,
) -> Option<DiskUse> {
    let mut walker = Walker::default();
    let node = NodeUse { disks: mounted::disks(places, statfs), ..node(places, &sources.store) };
    let mut found = DiskUse { node, ..DiskUse::default() };
    let mut buffer = vec![0; BUFFER_BYTES];
    let (layers, mut all_seen) = (sources.store.layers(), true);
    let table = sources.names.table();
    let spec = |uid: &str| table.volumes(uid).map_or(&[][..], |volumes| volumes);
    let mut sights: HashMap<&str, Vec<Sight>> = HashMap::new();
    for container in &sweep.containers {
        if is_stopped() {
            return None;
        }
        let mountinfo = places.first_pid(&container.path, &mut buffer).and_then(|pid| places.mountinfo(pid));
        let upper = mountinfo.as_deref().and_then(upper_folder);
        let name = container.name.as_deref();
        let root = upper.and_then(|upper| measure(&mut walker, &places.on_host(&upper)));
        all_seen &= root.is_some() || name.is_none();
        let root = root.or_else(|| of_runtime(layers.get(&*container.id)?, places));
        if let (Some(name), Some(mountinfo)) = (name, &mountinfo) {
            let seen = claims::sights(&name.container, mountinfo, spec(&container.pod_uid));
            sights.entry(&container.pod_uid).or_default().extend(seen);
        }
        let logs = name.and_then(|name| {
            let folder = places.logs(&name.pod.namespace, &name.pod.pod, &container.pod_uid);
            let folder = folder.join(&name.container);
            in_place(walker.files(&folder)?, &folder)
        });
        if root.is_some() || logs.is_some() {
            found.containers.insert(container.id.clone(), ContainerUse { root, logs });
        }
    }
    sources.store.want_layers(!all_seen);
    let mounted = if sights.values().all(Vec::is_empty) { Vec::new() } else { of_pods(places) };
    for pod in &sweep.pods {
        if is_stopped() {
            return None;
        }
        let sights = sights.get(&*pod.uid).map_or(&[][..], Vec::as_slice);
        let claims = Claims { spec: spec(&pod.uid), sights, mounted: &mounted };
        let logs = pod.name.as_deref().map(|name| places.logs(&name.namespace, &name.pod, &pod.uid));
        let used = PodUse {
            volumes: pods::volumes(&places.volumes(&pod.uid), claims, &mut walker, statfs),
            logs: logs.and_then(|folder| walker.files(&folder)),
            hosts: walk::file(&places.hosts(&pod.uid)),
        };
        if used != PodUse::default() {
            found.pods.insert(pod.uid.clone(), used);
        }
    }
    Some(found)
}

/// What is mounted in the volumes of pods, as the node's first process sees it.
fn of_pods(places: &Places) -> Vec<(String, Mounted)> {
    let mountinfo = places.mountinfo(1).unwrap_or_default();
    claims::mounted(&mountinfo).filter(|(place, _)| place.contains("/volumes/")).collect()
}

/// The runtime's folders are where it says; where nobody can ask it, at the usual places.
fn node(places: &Places, store: &LatestStore) -> NodeUse {
    let kubelet = whole(&places.kubelet());
    let Some(store) = store.get() else {
        let files = places.runtime().and_then(|folder| whole(&folder));
        let files = files.and_then(|used| {
            let inodes = used.amount.inodes?;
            Some(RuntimeUse { bytes: None, inodes, space: used.space, unix_ms: used.unix_ms })
        });
        return NodeUse { kubelet, images: files, containers: files, ..NodeUse::default() };
    };
    let of = |told: &StoreUse| {
        let files = whole(&places.on_host(&told.mountpoint));
        let inodes = told.inodes.or(files.and_then(|files| files.amount.inodes))?;
        let space = files.and_then(|files| files.space);
        Some(RuntimeUse { bytes: told.bytes, inodes, space, unix_ms: told.unix_ms })
    };
    // As a kubelet has it: one that does not tell them apart has both in one place.
    let containers = store.containers.as_ref().unwrap_or(&store.images);
    NodeUse { kubelet, images: of(&store.images), containers: of(containers), ..NodeUse::default() }
}

/// What a runtime says of a writable layer.
fn of_runtime(told: &StoreUse, places: &Places) -> Option<Use> {
    let amount = Amount { bytes: told.bytes?, inodes: told.inodes };
    let used = in_place(amount, &places.on_host(&told.mountpoint))?;
    Some(Use { unix_ms: told.unix_ms, ..used })
}

fn measure(walker: &mut Walker, folder: &Path) -> Option<Use> {
    in_place(walker.walk(folder)?, folder)
}

/// What was found in a folder, with the file system it is on.
fn in_place(amount: Amount, folder: &Path) -> Option<Use> {
    let device = rustix::fs::stat(folder).ok()?.st_dev;
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    Some(Use { amount, space: space(folder), device, unix_ms: unix_ms() })
}

/// The whole file system that holds a folder.
fn whole(folder: &Path) -> Option<Use> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    let used_blocks = stat.f_blocks.checked_sub(stat.f_bfree)?;
    let bytes = used_blocks.checked_mul(stat.f_frsize)?;
    let amount = Amount { bytes, inodes: Some(stat.f_files.checked_sub(stat.f_ffree)?) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ContainerName, PodName};
    use crate::sample::{ContainerReading, Reading};

    #[test]
    fn a_layer_that_no_file_tells_of_is_what_the_runtime_says() {
        let host = tempfile::tempdir().unwrap();
        let config = DiskConfig { host_root: host.path().to_owned(), ..DiskConfig::default() };
        let places = Places::new(config, host.path(), host.path());
        let pod = Arc::new(PodName { namespace: "shop".to_owned(), pod: "web".to_owned() });
        let name =
            ContainerName { container: "app".to_owned(), pod, image: String::new(), started_unix_ms: None };
        let container = ContainerReading {
            id: "id".into(),
            pod_uid: "uid".into(),
            name: Some(Arc::new(name)),
            pod_name: None,
            looks_like_sandbox: false,
            reading: Reading::default(),
            path: "/kubepods/poduid/id".into(),
            details: Arc::default(),
        };
        let sweep = Sweep { sequence: 1, containers: vec![container], ..Sweep::default() };
        let sources = Sources::default();
        let mut statfs = Statfs::new(pods::ask_mount);
        let mut root = || {
            let round = round(&sweep, &sources, &places, &mut statfs, || false).unwrap();
            round.containers.get("id").and_then(|used| used.root)
        };
        assert_eq!(root(), None);
        assert!(sources.store.wants_layers());
        let told = StoreUse {
            mountpoint: PathBuf::from("/"),
            bytes: Some(104_857_600),
            inodes: None,
            unix_ms: 1_700_000_000_000,
        };
        sources.store.put_layers(HashMap::from([("id".to_owned(), told)]));
        let found = root().unwrap();
        assert_eq!(found.amount, Amount { bytes: 104_857_600, inodes: None }, "it said nothing of inodes");
        assert_eq!(found.unix_ms, 1_700_000_000_000);
        assert!(found.space.is_some());
    }
}
