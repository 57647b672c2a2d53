//! Brings the known folders up to date with those that are there.

use super::listing::Listing;
use super::{
    Change, Container, FULL_LISTING_SWEEPS, Folder, Found, GROUPS_LIMIT, GroupId, LISTING_BYTES, Role, Whose,
    join,
};
use crate::cost;
use crate::files::{self, Budget};
use crate::layout::{self, Qos};
use crate::watches::{Seen, Told, WatchId, Watches};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// What listing needs, apart from the tree so that both can be borrowed at once.
pub(super) struct Lister {
    pub(super) root: OwnedFd,
    pub(super) trust_links: bool,
    pub(super) next_group: GroupId,
    pub(super) groups: usize,
    /// Times a group was not followed, for there are too many.
    pub(super) left_out: u64,
    /// `None` while the kernel gives no inotify instance.
    pub(super) watches: Option<Watches>,
    /// Times a folder was not watched for want of one.
    pub(super) without_instance: u64,
    /// Events were lost: every folder is listed.
    pub(super) lists_all: bool,
    /// Folders in which groups came or went since the last refresh.
    pub(super) told: HashSet<WatchId>,
    /// Folders without a watch at the last refresh.
    pub(super) unwatched: usize,
    /// Groups came or went since the last refresh, as far as the watches say.
    pub(super) has_news: bool,
    /// The kernel tells when a group becomes empty.
    pub(super) tells_emptying: bool,
    pub(super) emptying: HashMap<WatchId, GroupId>,
    pub(super) emptied: Vec<GroupId>,
    pub(super) buffer: Vec<MaybeUninit<u8>>,
    pub(super) listing: Listing,
}

impl Lister {
    pub(super) fn new(root: OwnedFd) -> Lister {
        let trust_links = files::is_cgroup_fs(&root);
        let tells_emptying = files::is_cgroup2_fs(&root);
        Lister {
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
        }
    }

    pub(super) fn take_events(&mut self) {
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

    pub(super) fn refresh(
        &mut self,
        folder: &mut Folder,
        sequence: u64,
        gone: &HashSet<GroupId>,
        budget: &Budget,
        changes: &mut Vec<Change>,
    ) {
        // Folders take turns, so that no sweep lists all of them.
        let due = !self.trust_links
            || self.lists_all
            || folder.watch.is_some_and(|watch| self.told.contains(&watch))
            || (sequence + folder.inode).is_multiple_of(FULL_LISTING_SWEEPS);
        if folder.watch.is_none() && (folder.links == 0 || due) && !folder.path.is_empty() {
            folder.watch = self.watch(&folder.path);
        }
        // Where the kernel tells of what comes and goes, nobody has to look.
        let is_told = folder.watch.is_some() && folder.links != 0;
        if due || !is_told || folder.holds_any(gone) {
            self.look_into(folder, due, gone, budget, changes);
        }
        for child in &mut folder.folders {
            self.refresh(child, sequence, gone, budget, changes);
        }
    }

    /// Lists a folder, unless its link count says that it need not be.
    fn look_into(
        &mut self,
        folder: &mut Folder,
        due: bool,
        gone: &HashSet<GroupId>,
        budget: &Budget,
        changes: &mut Vec<Change>,
    ) {
        let is_unwatched = folder.watch.is_none() && !folder.path.is_empty();
        self.unwatched += usize::from(is_unwatched);
        if is_unwatched && folder.kept.is_none() && self.trust_links && budget.take_folder() {
            folder.kept = files::open_folder_at(&self.root, &folder.path).ok();
            budget.give_back(0, usize::from(folder.kept.is_none()));
        }
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

    pub(super) fn admit(&mut self, mut found: Found, changes: &mut Vec<Change>) -> Option<GroupId> {
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

    pub(super) fn remove(&mut self, folder: &mut Folder, budget: &Budget, changes: &mut Vec<Change>) {
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
    pub(super) fn list(&mut self, kept: Option<&OwnedFd>, path: &str) -> rustix::io::Result<()> {
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
