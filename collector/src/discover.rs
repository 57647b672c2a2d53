//! Finding the groups of pods and containers, anew at each sweep.
//!
//! Folders whose children are pods or containers are watched ([`crate::watches`]), so that the agent can look again at
//! once. A folder is listed again when its watch told of it, where it has none when its link count changed (on cgroup file systems
//! it counts the child folders), when a group in it turned out to be gone, and now and then in any case. A group is its path and its inode: a recreated
//! path is a new group. Only folders named as kubelets name them are entered, below the configured root.

mod lister;
mod listing;

use crate::files::{self, Budget};
use crate::layout::{self, Qos, SystemGroup};
use crate::watches::{WatchId, Watches};
use lister::Lister;
use listing::ToVisit;
use rustix::fd::OwnedFd;
use std::collections::HashSet;
use std::sync::Arc;

/// Sweeps after which every folder is listed in any case.
const FULL_LISTING_SWEEPS: u64 = 16;
/// Sweeps between searches of the whole tree for nested kubelets.
const SEARCH_SWEEPS: u64 = 30;
/// Depth to which a search goes, and the number of folders it looks into.
const SEARCH_DEPTH: usize = 8;
const SEARCH_FOLDERS_LIMIT: usize = 20_000;
/// Most places that may hold a kubepods folder.
const BASES_LIMIT: usize = 256;
/// Most groups followed. Beyond it new ones are not seen.
pub const GROUPS_LIMIT: usize = 50_000;
/// Bytes of directory entries taken per system call.
const LISTING_BYTES: usize = 16 * 1024;

/// Names a group for as long as it lives; never used twice.
pub type GroupId = u64;

/// A group that appeared.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name from now on.
    pub id: GroupId,
    /// Path below the mount point, no leading slash.
    pub path: String,
    /// Inode of its folder.
    pub inode: u64,
    /// What it is.
    pub whose: Whose,
}

/// What a group is.
#[derive(Debug, Clone)]
pub enum Whose {
    /// Neither a pod nor a container.
    System(SystemGroup),
    /// A pod.
    Pod {
        /// UID in the name of its folder.
        uid: Arc<str>,
        /// Its class.
        qos: Qos,
    },
    /// A container.
    Container {
        /// UID of its pod.
        pod_uid: Arc<str>,
        /// Its pod's group.
        pod: GroupId,
        /// Its id.
        id: Arc<str>,
    },
}

/// What a refresh found.
#[derive(Debug)]
pub enum Change {
    /// New.
    Added(Found),
    /// No longer there.
    Removed(GroupId),
}

enum Role {
    /// May hold kubepods folders.
    Base,
    /// Holds classes and Guaranteed pods.
    Kubepods,
    /// Holds pods of a class.
    Class(Qos),
    /// Holds containers.
    Pod { group: GroupId, uid: Arc<str>, emptying: Option<WatchId> },
}

struct Folder {
    path: String,
    name: String,
    inode: u64,
    kept: Option<OwnedFd>,
    watch: Option<WatchId>,
    links: u64,
    /// The listing whose children are the known ones.
    reconciled: Option<u64>,
    role: Role,
    /// Its own group, where it is followed as neither a pod's nor a container's.
    system_group: Option<GroupId>,
    folders: Vec<Folder>,
    containers: Vec<Container>,
}

impl Role {
    fn system_group(&self) -> Option<SystemGroup> {
        match self {
            Role::Kubepods => Some(SystemGroup::Pods),
            Role::Class(qos) => Some(SystemGroup::Class(*qos)),
            Role::Base | Role::Pod { .. } => None,
        }
    }
}

/// A service's group that is there.
struct Service {
    path: &'static str,
    inode: u64,
    group: GroupId,
}

struct Container {
    name: String,
    inode: u64,
    group: GroupId,
    emptying: Option<WatchId>,
}

/// The tree of known folders.
pub struct Discovery {
    bases: Vec<Folder>,
    wanted_bases: Vec<String>,
    searches: bool,
    cgroup_root: String,
    /// As systemd names its folder; the same where it is one folder.
    systemd_root: String,
    to_visit: ToVisit,
    path: String,
    /// The node's own services, for a collector of the whole node.
    follows_services: bool,
    services: Vec<Service>,
    lister: Lister,
}

impl Discovery {
    /// Looks below `cgroup_root` of the hierarchy whose mount point is `root`.
    ///
    /// `searches`: also look for kubelets nested deeper (kind nodes seen from their host).
    pub fn new(root: OwnedFd, cgroup_root: &str, searches: bool) -> Discovery {
        let plain = cgroup_root.trim_matches('/').to_owned();
        let systemd = layout::systemd_path(cgroup_root);
        let mut wanted_bases = vec![plain.clone()];
        if systemd != plain {
            wanted_bases.push(systemd.clone());
        }
        let lister = Lister::new(root);
        let follows_services = searches && plain.is_empty();
        Discovery {
            bases: Vec::new(),
            wanted_bases,
            searches,
            cgroup_root: plain,
            systemd_root: systemd,
            to_visit: ToVisit::default(),
            path: String::new(),
            follows_services,
            services: Vec::new(),
            lister,
        }
    }

    /// Brings the tree up to date and says what changed. `gone` are groups that a read found removed.
    pub fn refresh(
        &mut self,
        sequence: u64,
        gone: &HashSet<GroupId>,
        budget: &Budget,
        changes: &mut Vec<Change>,
    ) {
        if self.searches && sequence % SEARCH_SWEEPS == 1 {
            self.search();
        }
        self.refresh_bases(budget, changes);
        if self.follows_services && sequence % FULL_LISTING_SWEEPS == 1 {
            self.refresh_services(changes);
        }
        self.lister.unwatched = 0;
        for base in &mut self.bases {
            self.lister.refresh(base, sequence, gone, budget, changes);
        }
        self.lister.lists_all = false;
        self.lister.told.clear();
        self.lister.has_news = false;
    }

    /// The watches, to wait for.
    pub fn watches(&self) -> Option<&Watches> {
        self.lister.watches.as_ref()
    }

    /// Times a watch was not given.
    pub fn watches_refused(&self) -> u64 {
        self.lister.without_instance + self.watches().map_or(0, Watches::refused)
    }

    /// Takes the events that are there. After lost ones the next refresh lists every folder.
    pub fn take_events(&mut self) {
        self.lister.take_events();
    }

    /// Times a group was not followed, for there are too many: once for each listing that shows it.
    pub fn left_out(&self) -> u64 {
        self.lister.left_out
    }

    /// Whether groups came or went since the last refresh.
    pub fn has_news(&self) -> bool {
        self.lister.has_news
    }

    /// Whether the kernel tells of every group that comes or goes, as of the last refresh, so that none has to be read to see
    /// that it is there.
    pub fn is_told_of_all(&self) -> bool {
        self.lister.watches.is_some() && self.lister.unwatched == 0
    }

    /// Moves the groups whose `cgroup.events` changed into `to`.
    pub fn take_emptied(&mut self, to: &mut Vec<GroupId>) {
        to.append(&mut self.lister.emptied);
    }

    fn refresh_bases(&mut self, budget: &Budget, changes: &mut Vec<Change>) {
        let lister = &mut self.lister;
        self.bases.retain_mut(|base| {
            let alive =
                files::inode_and_links(&lister.root, &base.path).is_ok_and(|(inode, _)| inode == base.inode);
            if !alive {
                lister.remove(base, budget, changes);
            }
            alive
        });
        for path in &self.wanted_bases {
            if self.bases.iter().any(|base| base.path == *path) {
                continue;
            }
            if let Ok((inode, _)) = files::inode_and_links(&lister.root, path) {
                let name = path.rsplit('/').next().unwrap_or_default();
                let role = if layout::is_kubepods(name) { Role::Kubepods } else { Role::Base };
                self.bases.push(Folder::new(path.clone(), inode, role));
            }
        }
    }

    fn refresh_services(&mut self, changes: &mut Vec<Change>) {
        let lister = &mut self.lister;
        let there =
            |root: &OwnedFd, path: &str| files::inode_and_links(root, path).ok().map(|(inode, _)| inode);
        self.services.retain(|service| {
            let stays = there(&lister.root, service.path) == Some(service.inode);
            if !stays {
                changes.push(Change::Removed(service.group));
                lister.groups -= 1;
            }
            stays
        });
        for (path, whose) in layout::SERVICES {
            if self.services.iter().any(|service| service.path == path) {
                continue;
            }
            let Some(inode) = there(&lister.root, path) else { continue };
            let found = Found { id: 0, path: path.to_owned(), inode, whose: Whose::System(whose) };
            if let Some(group) = lister.admit(found, changes) {
                self.services.push(Service { path, inode, group });
            }
        }
    }

    /// Walks the tree for folders that hold a kubepods folder and are not known yet.
    fn search(&mut self) {
        let (to_visit, path) = (&mut self.to_visit, &mut self.path);
        to_visit.clear();
        to_visit.push("", &self.cgroup_root, 0);
        let mut visited = 0;
        while let Some(depth) = to_visit.pop(path) {
            visited += 1;
            if visited > SEARCH_FOLDERS_LIMIT {
                break;
            }
            if self.lister.list(None, path).is_err() {
                continue;
            }
            for (name, _) in self.lister.listing.iter() {
                if layout::is_kubepods(name) {
                    if !self.wanted_bases.contains(path) && self.wanted_bases.len() < BASES_LIMIT {
                        self.wanted_bases.push(path.clone());
                    }
                } else if depth < SEARCH_DEPTH {
                    to_visit.push(path, name, depth + 1);
                }
            }
        }
        let root = &self.lister.root;
        // Nested bases come and go with their node containers; the configured ones are waited for.
        let (plain, systemd) = (&self.cgroup_root, &self.systemd_root);
        self.wanted_bases
            .retain(|path| path == plain || path == systemd || files::inode_and_links(root, path).is_ok());
    }
}

impl Folder {
    fn new(path: String, inode: u64, role: Role) -> Folder {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Folder {
            path,
            name,
            inode,
            kept: None,
            watch: None,
            links: 0,
            reconciled: None,
            role,
            system_group: None,
            folders: Vec::new(),
            containers: Vec::new(),
        }
    }

    fn holds_any(&self, gone: &HashSet<GroupId>) -> bool {
        !gone.is_empty()
            && (self.containers.iter().any(|container| gone.contains(&container.group))
                || self.folders.iter().any(|child| child.is_any(gone)))
    }

    fn is_any(&self, gone: &HashSet<GroupId>) -> bool {
        let own = match &self.role {
            Role::Pod { group, .. } => Some(*group),
            _ => self.system_group,
        };
        own.is_some_and(|group| gone.contains(&group))
    }
}

fn join(parent: &str, name: &str) -> String {
    match parent {
        "" => name.to_owned(),
        _ => format!("{parent}/{name}"),
    }
}
