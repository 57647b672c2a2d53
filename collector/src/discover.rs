//! Finding the groups of pods and containers, anew at each sweep.
//!
//! Folders whose children are pods or containers are watched ([`crate::watches`]), so that the agent can look again at
//! once. A folder is listed again when its watch told of it, when its link count changed (on cgroup file systems it counts the
//! child folders), when a group in it turned out to be gone, and now and then in any case. A group is its path and its inode: a recreated
//! path is a new group. Only folders named as kubelets name them are entered, below the configured root.

use crate::cost;
use crate::files::{self, Budget};
use crate::layout::{self, Qos, SystemGroup};
use crate::watches::{Seen, Told, WatchId, Watches};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::MaybeUninit;
use std::ops::Range;
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

/// What listing needs, apart from the tree so that both can be borrowed at once.
struct Lister {
    root: OwnedFd,
    trust_links: bool,
    next_group: GroupId,
    groups: usize,
    /// Times a group was not followed, for there are too many.
    left_out: u64,
    /// `None` while the kernel gives no inotify instance.
    watches: Option<Watches>,
    /// Times a folder was not watched for want of one.
    without_instance: u64,
    /// Events were lost: every folder is listed.
    lists_all: bool,
    /// Folders in which groups came or went since the last refresh.
    told: HashSet<WatchId>,
    /// Folders without a watch at the last refresh.
    unwatched: usize,
    /// Groups came or went since the last refresh, as far as the watches say.
    has_news: bool,
    /// The kernel tells when a group becomes empty.
    tells_emptying: bool,
    emptying: HashMap<WatchId, GroupId>,
    emptied: Vec<GroupId>,
    buffer: Vec<MaybeUninit<u8>>,
    listing: Listing,
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
        let trust_links = files::is_cgroup_fs(&root);
        let tells_emptying = files::is_cgroup2_fs(&root);
        let lister = Lister {
            root,
            trust_links,
            next_group: 1,
            groups: 0,
            left_out: 0,
            watches: None,
            without_instance: 0,
            lists_all: false,
            told: HashSet::new(),
            unwatched: 0,
            has_news: false,
            tells_emptying,
            emptying: HashMap::new(),
            emptied: Vec::new(),
            buffer: vec![MaybeUninit::uninit(); LISTING_BYTES],
            listing: Listing::default(),
        };
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

impl Lister {
    fn take_events(&mut self) {
        let mut told = Told::default();
        let seen = self.watches.as_mut().map_or(Seen::Nothing, |watches| watches.drain(&mut told));
        self.lists_all |= seen == Seen::Overflow;
        self.has_news |= seen != Seen::Nothing || !told.emptying.is_empty();
        self.emptied.extend(told.emptying.iter().filter_map(|watch| self.emptying.get(watch)));
        self.told.extend(told.folders);
    }

    /// A watch that is not given is tried again when the folder is listed in its turn: others may have given theirs back.
    fn watch(&mut self, path: &str) -> Option<WatchId> {
        if !self.trust_links {
            return None;
        }
        if self.watches.is_none() {
            self.watches = Watches::new();
        }
        match &mut self.watches {
            Some(watches) => watches.add(&self.root, path),
            None => {
                self.without_instance += 1;
                None
            }
        }
    }

    fn watch_emptying(&mut self, path: &str, group: GroupId) -> Option<WatchId> {
        let watches = self.watches.as_mut().filter(|_| self.tells_emptying)?;
        let watch = watches.add_emptying(&self.root, path)?;
        self.emptying.insert(watch, group);
        Some(watch)
    }

    fn unwatch_emptying(&mut self, watch: Option<WatchId>) {
        if let (Some(watches), Some(watch)) = (&mut self.watches, watch) {
            self.emptying.remove(&watch);
            watches.remove(watch);
        }
    }

    fn refresh(
        &mut self,
        folder: &mut Folder,
        sequence: u64,
        gone: &HashSet<GroupId>,
        budget: &Budget,
        changes: &mut Vec<Change>,
    ) {
        if folder.kept.is_none() && !folder.path.is_empty() && self.trust_links && budget.take_folder() {
            folder.kept = files::open_folder_at(&self.root, &folder.path).ok();
            if folder.kept.is_none() {
                budget.give_back(0, 1);
            }
        }
        // Folders take turns, so that no sweep lists all of them.
        let due = !self.trust_links
            || self.lists_all
            || folder.watch.is_some_and(|watch| self.told.contains(&watch))
            || (sequence + folder.inode).is_multiple_of(FULL_LISTING_SWEEPS);
        if folder.watch.is_none() && (folder.links == 0 || due) && !folder.path.is_empty() {
            folder.watch = self.watch(&folder.path);
        }
        self.unwatched += usize::from(folder.watch.is_none() && !folder.path.is_empty());
        let links = match &folder.kept {
            Some(kept) => files::inode_and_links(kept, ""),
            None => files::inode_and_links(&self.root, &folder.path),
        };
        // A folder that went while its parent kept its number of children: the parent's next full listing shows it.
        let Ok((_, links)) = links else { return };
        if folder.system_group.is_none()
            && let Some(whose) = folder.role.system_group()
        {
            let (path, whose) = (folder.path.clone(), Whose::System(whose));
            folder.system_group = self.admit(Found { id: 0, path, inode: folder.inode, whose }, changes);
        }
        if (due || links != folder.links || folder.holds_any(gone))
            && self.list(folder.kept.as_ref(), &folder.path).is_ok()
        {
            folder.links = links;
            // The kernel lists in an order of its own, but always in that.
            let fingerprint = self.listing.fingerprint();
            if folder.reconciled != Some(fingerprint) {
                let complete = self.reconcile(folder, budget, changes);
                folder.reconciled = complete.then_some(fingerprint);
            }
        }
        for child in &mut folder.folders {
            self.refresh(child, sequence, gone, budget, changes);
        }
    }

    /// Makes the known children those just listed; whether none was left out for [`GROUPS_LIMIT`].
    fn reconcile(&mut self, folder: &mut Folder, budget: &Budget, changes: &mut Vec<Change>) -> bool {
        let listing = std::mem::take(&mut self.listing);
        let listed: HashSet<(&str, u64)> = listing.iter().collect();
        folder.containers.retain(|container| {
            let stays = listed.contains(&(container.name.as_str(), container.inode));
            if !stays {
                changes.push(Change::Removed(container.group));
                self.groups -= 1;
                self.unwatch_emptying(container.emptying);
            }
            stays
        });
        folder.folders.retain_mut(|child| {
            let stays = listed.contains(&(child.name.as_str(), child.inode));
            if !stays {
                self.remove(child, budget, changes);
            }
            stays
        });
        let known: HashSet<&str> = folder
            .containers
            .iter()
            .map(|container| container.name.as_str())
            .chain(folder.folders.iter().map(|child| child.name.as_str()))
            .collect();
        let new: Vec<(&str, u64)> = listing.iter().filter(|(name, _)| !known.contains(name)).collect();
        for (name, inode) in new {
            self.add(folder, name, inode, changes);
        }
        self.listing = listing;
        self.groups < GROUPS_LIMIT
    }

    fn add(&mut self, parent: &mut Folder, name: &str, inode: u64, changes: &mut Vec<Change>) {
        let path = join(&parent.path, name);
        let class = match &parent.role {
            Role::Base => {
                if layout::is_kubepods(name) {
                    parent.folders.push(Folder::new(path, inode, Role::Kubepods));
                }
                return;
            }
            Role::Pod { uid, group, .. } => {
                let Some(id) = layout::container_id(name) else { return };
                let whose = Whose::Container { pod_uid: uid.clone(), pod: *group, id: Arc::from(id) };
                let found = Found { id: 0, path: path.clone(), inode, whose };
                if let Some(group) = self.admit(found, changes) {
                    let emptying = self.watch_emptying(&path, group);
                    parent.containers.push(Container { name: name.to_owned(), inode, group, emptying });
                }
                return;
            }
            Role::Kubepods => match layout::qos_folder(name) {
                Some(qos) => {
                    parent.folders.push(Folder::new(path, inode, Role::Class(qos)));
                    return;
                }
                None => Qos::Guaranteed,
            },
            Role::Class(qos) => *qos,
        };
        let Some(uid) = layout::pod_uid(name) else { return };
        let uid: Arc<str> = Arc::from(uid);
        let whose = Whose::Pod { uid: uid.clone(), qos: class };
        let found = Found { id: 0, path: path.clone(), inode, whose };
        if let Some(group) = self.admit(found, changes) {
            let emptying = self.watch_emptying(&path, group);
            parent.folders.push(Folder::new(path, inode, Role::Pod { group, uid, emptying }));
        }
    }

    fn admit(&mut self, mut found: Found, changes: &mut Vec<Change>) -> Option<GroupId> {
        if self.groups >= GROUPS_LIMIT {
            self.left_out += 1;
            return None;
        }
        found.id = self.next_group;
        self.next_group += 1;
        self.groups += 1;
        let id = found.id;
        changes.push(Change::Added(found));
        Some(id)
    }

    fn remove(&mut self, folder: &mut Folder, budget: &Budget, changes: &mut Vec<Change>) {
        if folder.kept.take().is_some() {
            budget.give_back(0, 1);
        }
        if let (Some(watches), Some(watch)) = (&mut self.watches, folder.watch.take()) {
            watches.remove(watch);
        }
        for container in folder.containers.drain(..) {
            changes.push(Change::Removed(container.group));
            self.groups -= 1;
            self.unwatch_emptying(container.emptying);
        }
        for child in &mut folder.folders {
            self.remove(child, budget, changes);
        }
        if let Role::Pod { group, emptying, .. } = folder.role {
            changes.push(Change::Removed(group));
            self.groups -= 1;
            self.unwatch_emptying(emptying);
        }
        if let Some(group) = folder.system_group.take() {
            changes.push(Change::Removed(group));
            self.groups -= 1;
        }
    }

    /// Names and inodes of the folders in a folder, into `self.listing`.
    fn list(&mut self, kept: Option<&OwnedFd>, path: &str) -> rustix::io::Result<()> {
        self.listing.clear();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = match kept {
            Some(kept) => rustix::fs::openat(kept, ".", flags, Mode::empty())?,
            None if path.is_empty() => rustix::fs::openat(&self.root, ".", flags, Mode::empty())?,
            None => rustix::fs::openat(&self.root, path, flags | OFlags::NOFOLLOW, Mode::empty())?,
        };
        // Opened, listed to the end, closed.
        cost::called(4);
        let mut entries = RawDir::new(open, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if entry.file_type() != FileType::Directory {
                continue;
            }
            // Names that are not UTF-8 are no pods and no containers.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name != "." && name != ".." {
                self.listing.push(name, entry.ino());
            }
        }
        Ok(())
    }
}

/// Names and inodes of the folders in a folder. Its memory is used again.
#[derive(Default)]
struct Listing {
    text: String,
    entries: Vec<(Range<usize>, u64)>,
}

impl Listing {
    fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    fn push(&mut self, name: &str, inode: u64) {
        let start = self.text.len();
        self.text.push_str(name);
        self.entries.push((start..self.text.len(), inode));
    }

    fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.entries.iter().filter_map(|(range, inode)| Some((self.text.get(range.clone())?, *inode)))
    }

    /// The same for the same names and inodes in the same order.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        self.entries.hash(&mut hasher);
        hasher.finish()
    }
}

/// Folders that a search has yet to look into, the last one first. Its memory is used again.
#[derive(Default)]
struct ToVisit {
    /// Their paths, one after the other.
    text: String,
    /// Where each begins, and how deep it is.
    entries: Vec<(usize, usize)>,
}

impl ToVisit {
    fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    fn push(&mut self, parent: &str, name: &str, depth: usize) {
        self.entries.push((self.text.len(), depth));
        if !parent.is_empty() {
            self.text.push_str(parent);
            self.text.push('/');
        }
        self.text.push_str(name);
    }

    /// Puts the path of the last one into `path` and gives its depth.
    fn pop(&mut self, path: &mut String) -> Option<usize> {
        let (start, depth) = self.entries.pop()?;
        path.clear();
        path.push_str(self.text.get(start..)?);
        self.text.truncate(start);
        Some(depth)
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
