//! Label sets while a query runs.
//!
//! Functions drop the metric's name from thousands of series; to copy each label set for that would cost more than the
//! function. So a [`Labelset`] shares the series' labels and notes what became of the name: *hidden* is gone for everybody,
//! *dropped later* still counts until the query ends (Prometheus' delayed removal). `__type__` and `__unit__` go with it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use flyball_model::labels::Labels;

use crate::series::METRIC_NAME;

/// Whether a label describes the metric and so goes with its name.
pub fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// Labels of one series of an intermediate result.
#[derive(Debug, Clone)]
pub struct Labelset {
    labels: Arc<Labels>,
    hidden: bool,
    from_source: bool,
    /// The name goes when the query ends.
    pub drop_later: bool,
}

impl Labelset {
    /// All of the labels.
    pub fn new(labels: Arc<Labels>) -> Labelset {
        Labelset { labels, hidden: false, from_source: false, drop_later: false }
    }

    /// The labels of a series as the source gave them, each set once.
    pub fn of_source(labels: Arc<Labels>) -> Labelset {
        Labelset { labels, hidden: false, from_source: true, drop_later: false }
    }

    /// The metric's name before it was hidden, of a series as the source gave it, when nothing else goes with the name.
    pub fn source_name(&self) -> Option<&str> {
        let plain = self.from_source
            && self.labels.get("__type__").is_none()
            && self.labels.get("__unit__").is_none();
        self.labels.get(METRIC_NAME).filter(|_| plain)
    }

    /// No labels.
    pub fn empty() -> Labelset {
        Labelset::new(Arc::new(Labels::default()))
    }

    /// From pairs, of which the later wins and the empty is absent.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labelset {
        let mut kept = std::collections::BTreeMap::new();
        for (name, value) in pairs {
            kept.insert(name, value);
        }
        let pairs = kept.into_iter().filter(|(name, value)| !name.is_empty() && !value.is_empty());
        // Names are unique and not empty; a set of more labels than allowed cannot come from series that are not.
        Labelset::new(Arc::new(Labels::from_pairs(pairs).unwrap_or_default()))
    }

    /// Without the name, at once or at the end.
    pub fn drop_name(&mut self, delayed: bool) {
        if delayed {
            self.drop_later = true;
        } else {
            self.hidden = true;
        }
    }

    /// What was to be dropped later is dropped now.
    pub fn settle(&mut self) {
        self.hidden |= self.drop_later;
    }

    /// The value of a label; absent and empty are the same.
    pub fn get(&self, name: &str) -> &str {
        if self.hidden && is_metadata(name) {
            return "";
        }
        self.labels.get(name).unwrap_or_default()
    }

    /// Whether a label is there for anybody.
    fn counts(&self, name: &str, value: &str) -> bool {
        let is_gone = self.hidden && is_metadata(name);
        !is_gone && !value.is_empty()
    }

    /// All labels that count, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().filter(|(name, value)| self.counts(name, value))
    }

    /// The labels as they are, shared where nothing is hidden.
    pub fn to_labels(&self) -> Arc<Labels> {
        let unchanged = self.labels.iter().all(|(name, value)| self.counts(name, value));
        if unchanged { Arc::clone(&self.labels) } else { Labelset::from_pairs(self.iter()).labels }
    }

    /// A number that equal sets share.
    pub fn hash(&self) -> u64 {
        hash_pairs(self.iter())
    }

    /// Whether two sets are the same to everybody.
    pub fn same(&self, other: &Labelset) -> bool {
        (Arc::ptr_eq(&self.labels, &other.labels) && self.hidden == other.hidden)
            || self.iter().eq(other.iter())
    }
}

/// As Prometheus writes label sets in messages: `{a="b", c="d"}`.
impl std::fmt::Display for Labelset {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(out, "{separator}{name}={value:?}")?;
        }
        out.write_str("}")
    }
}

/// A quick hash of names and values in order; equality is always checked too.
pub fn hash_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for (name, value) in pairs {
        state = mix_text(mix_text(state, name), value);
    }
    state
}

/// Whether two lists of pairs are the same.
pub fn same_pairs<'a, 'b>(
    mut left: impl Iterator<Item = (&'a str, &'a str)>,
    mut right: impl Iterator<Item = (&'b str, &'b str)>,
) -> bool {
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(left), Some(right)) if left.0 == right.0 && left.1 == right.1 => {}
            _ => return false,
        }
    }
}

fn mix_text(state: u64, text: &str) -> u64 {
    let mut state = mix(state, text.len() as u64);
    let mut chunks = text.as_bytes().chunks_exact(8);
    for chunk in &mut chunks {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        state = mix(state, u64::from_le_bytes(bytes));
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut bytes = [0; 8];
        bytes[..rest.len()].copy_from_slice(rest);
        state = mix(state, u64::from_le_bytes(bytes));
    }
    state
}

/// One multiplication whose halves are folded together.
fn mix(state: u64, value: u64) -> u64 {
    let product = u128::from(state ^ value) * 0xa076_1d64_78bd_642f;
    (product as u64) ^ ((product >> 64) as u64)
}

/// Takes a hash for what it is.
#[derive(Debug, Default, Clone, Copy)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Numbers for keys that live elsewhere: the same key gets the same number.
#[derive(Debug, Default)]
pub struct Numbering {
    by_hash: HashMap<u64, Vec<usize>, BuildHasherDefault<AsIs>>,
}

impl Numbering {
    /// The number among those with this hash for which `same` holds.
    pub fn find(&self, hash: u64, same: impl Fn(usize) -> bool) -> Option<usize> {
        self.by_hash.get(&hash)?.iter().copied().find(|number| same(*number))
    }

    /// The same, or the given number for a key that is new; and whether it was new.
    pub fn find_or(&mut self, hash: u64, new: usize, same: impl Fn(usize) -> bool) -> (usize, bool) {
        let numbers = self.by_hash.entry(hash).or_default();
        if let Some(number) = numbers.iter().copied().find(|number| same(*number)) {
            return (number, false);
        }
        numbers.push(new);
        (new, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_name_counts_for_nobody() {
        let pairs = [("__name__", "x"), ("a", "1"), ("b", "")];
        let labels = Arc::new(Labels::from_pairs(pairs).unwrap());
        let mut set = Labelset::new(Arc::clone(&labels));
        assert_eq!(set.to_string(), "{__name__=\"x\", a=\"1\"}");
        let before = set.hash();
        set.drop_name(true);
        assert_eq!((set.get("__name__"), set.hash()), ("x", before));
        set.settle();
        assert_eq!((set.get("__name__"), set.get("a")), ("", "1"));
        assert!(set.same(&Labelset::from_pairs([("a", "1")])));
        assert_eq!(set.hash(), Labelset::from_pairs([("a", "1")]).hash());
        assert_eq!(set.to_labels().len(), 1);
    }

    #[test]
    fn equal_keys_share_a_number() {
        let mut numbering = Numbering::default();
        assert_eq!(numbering.find_or(7, 0, |_| true), (0, true));
        assert_eq!(numbering.find_or(7, 1, |number| number == 0), (0, false));
        assert_eq!(numbering.find_or(7, 1, |_| false), (1, true));
        assert_eq!(numbering.find(8, |_| true), None);
    }
}
