//! Pod UIDs and container ids to the names users know.
//!
//! Filled by one of the sources of [`crate::name_source`] and looked up once per new group, outside of the reading of
//! counters. An id that no pod claims has no name: it stays out of the named series. In particular the sandbox
//! ("pause") container, which appears in no pod's status, is never listed as a container.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Most pods the table holds. Beyond it new pods stay unnamed; a node has at most a few hundred.
pub const PODS_LIMIT: usize = 10_000;

/// Namespace and name of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName {
    /// Its name in the pod's spec.
    pub container: String,
    /// The pod.
    pub pod: Arc<PodName>,
    /// Its image, as the runtime names it; may be empty.
    pub image: String,
    /// When it started by its status, Unix milliseconds (whole seconds). For where its processes cannot be seen.
    pub started_unix_ms: Option<i64>,
}

/// What one pod object says about the groups that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// `metadata.uid`: the key under which the API server knows the pod.
    pub uid: String,
    /// UID in the names of its cgroups: annotation `kubernetes.io/config.hash` for static pods, else `uid`.
    pub cgroup_uid: String,
    /// Names.
    pub name: PodName,
    /// Regular, init and ephemeral containers; those without an id yet are left out.
    pub containers: Vec<ContainerFacts>,
    /// Its sandboxes, as far as the source tells.
    pub sandboxes: Vec<SandboxFacts>,
    /// The volumes of its spec, if the source tells them.
    pub volumes: Option<Vec<PodVolume>>,
}

/// What a source says about a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxFacts {
    /// Its id.
    pub id: String,
    /// When it was made, Unix milliseconds.
    pub created_unix_ms: Option<i64>,
}

/// A volume of a pod's spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodVolume {
    /// Its name.
    pub name: String,
    /// The claim in the pod's namespace that it stands for.
    pub claim: Option<String>,
    /// Where containers see it; told of claims only.
    pub mounts: Vec<VolumeMount>,
}

/// Where a container of the pod sees a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// Name of the container.
    pub container: String,
    /// The path in the container.
    pub path: String,
    /// A part of the volume is there, not the whole.
    pub is_part: bool,
}

/// What a pod says about one of its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerFacts {
    /// Its name in the pod's spec.
    pub name: String,
    /// `containerID` of its status, such as `containerd://<id>`.
    pub id: String,
    /// `image` of its status.
    pub image: String,
    /// When it started, if it runs, Unix milliseconds.
    pub started_unix_ms: Option<i64>,
    /// When it was made, Unix milliseconds; only a runtime tells.
    pub created_unix_ms: Option<i64>,
    /// That it, or the one before it, was killed for want of memory.
    pub oom_killed: Option<OomKilledFacts>,
}

/// What a pod says about a container that was killed for want of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomKilledFacts {
    /// Id of the container that was killed.
    pub id: String,
    /// When it ended, Unix milliseconds (whole seconds).
    pub unix_ms: i64,
}

/// A container that was killed for want of memory, by its pod's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomKilled {
    /// Its name.
    pub container: Arc<ContainerName>,
    /// UID in the names of its pod's cgroups.
    pub cgroup_uid: String,
    /// When it ended, Unix milliseconds (whole seconds).
    pub unix_ms: i64,
}

/// The names known now. Immutable once published: see [`Names`].
#[derive(Debug, Clone, Default)]
pub struct NameTable {
    pods: HashMap<String, Arc<PodName>>,
    containers: HashMap<String, Arc<ContainerName>>,
    sandboxes: HashSet<String>,
    /// Of containers and sandboxes, Unix milliseconds.
    created: HashMap<String, i64>,
    volumes: HashMap<String, Arc<[PodVolume]>>,
    oom_killed: HashMap<String, OomKilled>,
    claims: HashMap<String, Claim>,
}

/// What to take back when a pod changes or goes.
#[derive(Debug, Clone)]
struct Claim {
    cgroup_uid: String,
    container_ids: Vec<String>,
    sandbox_ids: Vec<String>,
    oom_killed_ids: Vec<String>,
}

impl NameTable {
    /// The pod whose cgroup carries this UID.
    pub fn pod(&self, cgroup_uid: &str) -> Option<&Arc<PodName>> {
        self.pods.get(cgroup_uid)
    }

    /// The container with this id (64 hexadecimal digits, without a scheme).
    pub fn container(&self, id: &str) -> Option<&Arc<ContainerName>> {
        self.containers.get(id)
    }

    /// Whether a container is a pod's sandbox, by the word of the source.
    pub fn is_sandbox(&self, id: &str) -> bool {
        self.sandboxes.contains(id)
    }

    /// When a container or sandbox was made, Unix milliseconds, by the word of the source.
    pub fn created_unix_ms(&self, id: &str) -> Option<i64> {
        self.created.get(id).copied()
    }

    /// The volumes of the pod whose cgroup carries this UID, if the source tells them.
    pub fn volumes(&self, cgroup_uid: &str) -> Option<&Arc<[PodVolume]>> {
        self.volumes.get(cgroup_uid)
    }

    /// The container with this id, if its pod's status says that it was killed for want of memory.
    pub fn oom_killed(&self, id: &str) -> Option<&OomKilled> {
        self.oom_killed.get(id)
    }

    /// All containers of which the status of a pod says that, with their ids.
    pub fn all_oom_killed(&self) -> impl Iterator<Item = (&String, &OomKilled)> {
        self.oom_killed.iter()
    }

    /// Number of pods known.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether no pod is known.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Adds a pod, or replaces what was known of it.
    pub fn apply(&mut self, facts: &PodFacts) {
        self.remove(&facts.uid);
        if self.claims.len() >= PODS_LIMIT {
            return;
        }
        let pod = Arc::new(facts.name.clone());
        let mut container_ids = Vec::with_capacity(facts.containers.len());
        let mut oom_killed_ids = Vec::new();
        for container in &facts.containers {
            let id = bare_id(&container.id);
            if id.is_empty() {
                continue;
            }
            let name = ContainerName {
                container: container.name.clone(),
                pod: pod.clone(),
                image: container.image.clone(),
                started_unix_ms: container.started_unix_ms,
            };
            let name = Arc::new(name);
            if let Some(killed) = &container.oom_killed {
                let (killed_id, cgroup_uid) = (bare_id(&killed.id), facts.cgroup_uid.clone());
                let entry = OomKilled { container: name.clone(), cgroup_uid, unix_ms: killed.unix_ms };
                self.oom_killed.insert(killed_id.to_owned(), entry);
                oom_killed_ids.push(killed_id.to_owned());
            }
            self.containers.insert(id.to_owned(), name);
            self.created.extend(container.created_unix_ms.map(|unix_ms| (id.to_owned(), unix_ms)));
            container_ids.push(id.to_owned());
        }
        self.pods.insert(facts.cgroup_uid.clone(), pod);
        if let Some(volumes) = &facts.volumes {
            self.volumes.insert(facts.cgroup_uid.clone(), volumes.as_slice().into());
        }
        let mut sandbox_ids = Vec::with_capacity(facts.sandboxes.len());
        for sandbox in &facts.sandboxes {
            let id = bare_id(&sandbox.id).to_owned();
            self.created.extend(sandbox.created_unix_ms.map(|unix_ms| (id.clone(), unix_ms)));
            sandbox_ids.push(id);
        }
        self.sandboxes.extend(sandbox_ids.iter().cloned());
        let cgroup_uid = facts.cgroup_uid.clone();
        let claim = Claim { cgroup_uid, container_ids, sandbox_ids, oom_killed_ids };
        self.claims.insert(facts.uid.clone(), claim);
    }

    /// Forgets a pod by its `metadata.uid`.
    pub fn remove(&mut self, uid: &str) {
        if let Some(claim) = self.claims.remove(uid) {
            self.pods.remove(&claim.cgroup_uid);
            self.volumes.remove(&claim.cgroup_uid);
            for id in claim.container_ids {
                self.containers.remove(&id);
                self.created.remove(&id);
            }
            for id in claim.sandbox_ids {
                self.sandboxes.remove(&id);
                self.created.remove(&id);
            }
            for id in claim.oom_killed_ids {
                self.oom_killed.remove(&id);
            }
        }
    }
}

/// `containerd://<id>`, `docker://<id>`, `cri-o://<id>` or a bare id: the id.
pub fn bare_id(scheme_and_id: &str) -> &str {
    scheme_and_id.rsplit_once("://").map_or(scheme_and_id, |(_, id)| id)
}

/// The table shared between the watch that fills it and the sweep that reads it: whole tables are swapped, so a
/// reader holds the lock only for the copy of a pointer, and an unchanged [`Names::generation`] spares even that.
#[derive(Debug, Default)]
pub struct Names {
    table: Mutex<Arc<NameTable>>,
    generation: AtomicU64,
    wanted: Notify,
    unnamed: AtomicUsize,
}

impl Names {
    /// Changes whenever a table was published.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The table published last.
    pub fn table(&self) -> Arc<NameTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// There are groups whose names are not known: sources that are asked, not watched, are asked now.
    pub fn want(&self) {
        self.wanted.notify_one();
    }

    /// Ends when names are wanted; at once if they were since it ended last.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// How many containers had no name in the last sweep.
    pub fn unnamed(&self) -> usize {
        self.unnamed.load(Ordering::Relaxed)
    }

    /// So many containers have no name.
    pub fn set_unnamed(&self, count: usize) {
        self.unnamed.store(count, Ordering::Relaxed);
    }

    /// Replaces the table.
    pub fn publish(&self, table: NameTable) {
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.generation.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uid: &str, cgroup_uid: &str, pod: &str, containers: &[(&str, &str)]) -> PodFacts {
        PodFacts {
            uid: uid.to_owned(),
            cgroup_uid: cgroup_uid.to_owned(),
            name: PodName { namespace: "shop".to_owned(), pod: pod.to_owned() },
            containers: containers
                .iter()
                .map(|(name, id)| ContainerFacts {
                    name: (*name).to_owned(),
                    id: (*id).to_owned(),
                    ..ContainerFacts::default()
                })
                .collect(),
            sandboxes: Vec::new(),
            volumes: None,
        }
    }

    #[test]
    fn any_scheme_is_stripped() {
        for id in ["containerd://abc", "docker://abc", "cri-o://abc", "flyball://abc", "abc"] {
            assert_eq!(bare_id(id), "abc", "{id}");
        }
    }

    #[test]
    fn a_static_pod_is_found_by_its_hash_not_its_uid() {
        let mut table = NameTable::default();
        table.apply(&facts("mirror-uid", "hash", "etcd-node1", &[("etcd", "containerd://e")]));
        assert_eq!(table.pod("hash").unwrap().pod, "etcd-node1");
        assert!(table.pod("mirror-uid").is_none());
        assert_eq!(table.container("e").unwrap().container, "etcd");
    }

    #[test]
    fn a_restarted_container_gives_up_its_old_id() {
        let mut table = NameTable::default();
        table.apply(&facts("u", "u", "web", &[("web", "containerd://old")]));
        table.apply(&facts("u", "u", "web", &[("web", "containerd://new")]));
        assert!(table.container("old").is_none());
        assert_eq!(table.container("new").unwrap().pod.pod, "web");
        table.remove("u");
        assert!(table.is_empty() && table.container("new").is_none() && table.pod("u").is_none());
    }

    #[test]
    fn a_container_without_an_id_has_no_name() {
        let mut table = NameTable::default();
        table.apply(&facts("u", "u", "web", &[("web", ""), ("side", "containerd://")]));
        assert_eq!(table.containers.len(), 0);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_a_source_says_of_a_pod_goes_with_it() {
        let mut table = NameTable::default();
        let mut web = facts("u", "hash", "web", &[("web", "containerd://c")]);
        web.containers[0].created_unix_ms = Some(7);
        web.sandboxes.push(SandboxFacts { id: "s".to_owned(), created_unix_ms: Some(5) });
        let volume =
            PodVolume { name: "data".to_owned(), claim: Some("web-data".to_owned()), mounts: Vec::new() };
        web.volumes = Some(vec![volume.clone()]);
        table.apply(&web);
        assert_eq!((table.created_unix_ms("c"), table.created_unix_ms("s")), (Some(7), Some(5)));
        assert!(table.is_sandbox("s"));
        assert_eq!(table.volumes("hash").unwrap()[..], [volume]);
        table.remove("u");
        assert_eq!((table.created_unix_ms("c"), table.created_unix_ms("s")), (None, None));
        assert!(table.volumes("hash").is_none() && !table.is_sandbox("s"));
    }

    #[test]
    fn the_generation_tells_of_a_new_table() {
        let names = Names::default();
        let before = names.generation();
        names.publish(NameTable::default());
        assert_ne!(names.generation(), before);
    }
}
