//! Folders that were listed, and those that are still to be looked into.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Names and inodes of the folders in a folder. Its memory is used again.
#[derive(Default)]
pub(super) struct Listing {
    text: String,
    entries: Vec<(Range<usize>, u64)>,
}

impl Listing {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    pub(super) fn push(&mut self, name: &str, inode: u64) {
        let start = self.text.len();
        self.text.push_str(name);
        self.entries.push((start..self.text.len(), inode));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.entries.iter().filter_map(|(range, inode)| Some((self.text.get(range.clone())?, *inode)))
    }

    /// The same for the same names and inodes in the same order.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        self.entries.hash(&mut hasher);
        hasher.finish()
    }
}

/// Folders that a search has yet to look into, the last one first. Its memory is used again.
#[derive(Default)]
pub(super) struct ToVisit {
    /// Their paths, one after the other.
    text: String,
    /// Where each begins, and how deep it is.
    entries: Vec<(usize, usize)>,
}

impl ToVisit {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    pub(super) fn push(&mut self, parent: &str, name: &str, depth: usize) {
        self.entries.push((self.text.len(), depth));
        if !parent.is_empty() {
            self.text.push_str(parent);
            self.text.push('/');
        }
        self.text.push_str(name);
    }

    /// Puts the path of the last one into `path` and gives its depth.
    pub(super) fn pop(&mut self, path: &mut String) -> Option<usize> {
        let (start, depth) = self.entries.pop()?;
        path.clear();
        path.push_str(self.text.get(start..)?);
        self.text.truncate(start);
        Some(depth)
    }
}
