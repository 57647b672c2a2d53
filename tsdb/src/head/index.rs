//! Which series the head has: labels as pairs of symbols, and for each label the list of series that have it.
//!
//! Invariant: the lists (postings) hold slots in order; every live slot stands in exactly one list per label of its series.
//! A slot whose series is gone is used again with the next generation, so a [`SeriesRef`] to the old one is recognised.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use flyball_model::labels::Labels;

use super::hash_index::{ByNumber, HashIndex};
use super::symbols::Symbols;
use crate::matchers::Index;
use crate::series::By;

/// A series of the head, for those who append to it again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesRef {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
struct Entry {
    labels: Box<[(u32, u32)]>,
    source: u32,
}

#[derive(Debug, Default)]
pub(crate) struct HeadIndex {
    symbols: Symbols,
    entries: Vec<Option<Entry>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    by_labels: HashIndex,
    postings: ByNumber<ByNumber<Vec<u32>>>,
    /// Live series per source, by the symbol of its name.
    sources: ByNumber<usize>,
}

/// Mixes the hash of one label into that of the labels before it.
fn mix(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl HeadIndex {
    /// How many series there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// How many texts are kept for them.
    pub(crate) fn symbol_count(&self) -> usize {
        self.symbols.count()
    }

    /// How many series a source has.
    pub(crate) fn count_of(&self, source: &str) -> usize {
        self.symbols.find(source).and_then(|symbol| self.sources.get(&symbol)).copied().unwrap_or(0)
    }

    /// Sources with their series, the largest first.
    pub(crate) fn largest_sources(&self, most: usize) -> Vec<(String, usize)> {
        let mut all: Vec<(&str, usize)> =
            self.sources.iter().map(|(&symbol, &count)| (self.symbols.text(symbol), count)).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.into_iter().take(most).map(|(name, count)| (name.to_owned(), count)).collect()
    }

    fn labels_hash(&self, labels: &Labels) -> u64 {
        labels
            .iter()
            .fold(0, |hash, (name, value)| mix(mix(hash, self.symbols.hash(name)), self.symbols.hash(value)))
    }

    /// The series of these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        let slot = self.by_labels.find(self.labels_hash(labels), |slot| self.same(slot, labels))?;
        Some(SeriesRef { slot, generation: self.generations[slot as usize] })
    }

    fn same(&self, slot: u32, labels: &Labels) -> bool {
        let Some(entry) = &self.entries[slot as usize] else { return false };
        let text = |&(name, value): &(u32, u32)| (self.symbols.text(name), self.symbols.text(value));
        entry.labels.len() == labels.len() && entry.labels.iter().map(text).eq(labels.iter())
    }

    /// Adds a series that is not there yet.
    pub(crate) fn insert(&mut self, labels: &Labels, source: &str) -> SeriesRef {
        let hash = self.labels_hash(labels);
        let pairs: Box<[(u32, u32)]> =
            labels.iter().map(|(name, value)| (self.symbols.keep(name), self.symbols.keep(value))).collect();
        self.insert_pairs(pairs, hash, source)
    }

    /// As [`HeadIndex::find`] and [`HeadIndex::insert`] in one, for texts that are symbols already (each pair was kept).
    pub(crate) fn find_or_insert_pairs(&mut self, pairs: &[(u32, u32)], source: &str) -> SeriesRef {
        let hash = pairs.iter().fold(0, |hash, &(name, value)| {
            mix(mix(hash, self.symbols.text_hash(name)), self.symbols.text_hash(value))
        });
        let same =
            |slot: u32| self.entries[slot as usize].as_ref().is_some_and(|entry| *entry.labels == *pairs);
        if let Some(slot) = self.by_labels.find(hash, same) {
            return SeriesRef { slot, generation: self.generations[slot as usize] };
        }
        for &(name, value) in pairs {
            self.symbols.keep_again(name);
            self.symbols.keep_again(value);
        }
        self.insert_pairs(pairs.into(), hash, source)
    }

    /// The table of texts, for those who keep symbols for a while.
    pub(crate) fn symbols(&mut self) -> &mut Symbols {
        &mut self.symbols
    }

    fn insert_pairs(&mut self, pairs: Box<[(u32, u32)]>, hash: u64, source: &str) -> SeriesRef {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.generations.push(0);
            (self.entries.len() - 1) as u32
        });
        for &(name, value) in &pairs {
            let list = self.postings.entry(name).or_default().entry(value).or_default();
            match list.last() {
                Some(&last) if last > slot => {
                    let position = list.partition_point(|&have| have < slot);
                    list.insert(position, slot);
                }
                _ => list.push(slot),
            }
        }
        let source = self.symbols.keep(source);
        *self.sources.entry(source).or_default() += 1;
        self.by_labels.insert(hash, slot);
        self.entries[slot as usize] = Some(Entry { labels: pairs, source });
        SeriesRef { slot, generation: self.generations[slot as usize] }
    }

    /// Removes series; their slots are used again.
    pub(crate) fn remove(&mut self, slots: &[u32]) {
        let mut lists: BTreeSet<(u32, u32)> = BTreeSet::new();
        for &slot in slots {
            let Some(entry) = self.entries[slot as usize].take() else { continue };
            let hash = entry.labels.iter().fold(0, |hash, &(name, value)| {
                mix(mix(hash, self.symbols.text_hash(name)), self.symbols.text_hash(value))
            });
            self.by_labels.remove(hash, slot);
            lists.extend(entry.labels.iter().copied());
            self.forget_source(entry.source);
            for &(name, value) in &entry.labels {
                self.symbols.release(name);
                self.symbols.release(value);
            }
            self.generations[slot as usize] = self.generations[slot as usize].wrapping_add(1);
            self.free.push(slot);
        }
        for (name, value) in lists {
            self.prune(name, value);
        }
    }

    fn forget_source(&mut self, source: u32) {
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
        self.symbols.release(source);
    }

    /// Takes the slots that are free out of one list.
    fn prune(&mut self, name: u32, value: u32) {
        let Some(values) = self.postings.get_mut(&name) else { return };
        if let Some(list) = values.get_mut(&value) {
            list.retain(|&slot| self.entries[slot as usize].is_some());
            list.shrink_to_fit();
            if list.is_empty() {
                values.remove(&value);
            }
        }
        if values.is_empty() {
            self.postings.remove(&name);
        }
    }

    /// Labels of a live series as texts, in order of their names.
    pub(crate) fn texts(&self, slot: u32) -> impl Iterator<Item = (&str, &str)> + Clone {
        let labels = self.entries[slot as usize].as_ref().map_or(&[][..], |entry| &entry.labels);
        labels.iter().map(|&(name, value)| (self.symbols.text(name), self.symbols.text(value)))
    }

    /// The source that brought a series.
    pub(crate) fn source(&self, slot: u32) -> &str {
        self.entries[slot as usize].as_ref().map_or("", |entry| self.symbols.text(entry.source))
    }

    /// Labels of a live series.
    pub(crate) fn labels(&self, slot: u32) -> Arc<Labels> {
        // They were a set of labels when they came.
        Arc::new(Labels::from_pairs(self.texts(slot)).unwrap_or_default())
    }

    /// The group of each of some live slots, and what the slots of a group have in common. Groups are numbered in the order
    /// in which they come up.
    pub(crate) fn groups(&self, slots: &[u32], by: &By<'_>) -> (Vec<u32>, Vec<Labels>) {
        let names: Vec<u32> = by.names.iter().filter_map(|name| self.symbols.find(name)).collect();
        let mut numbers: HashMap<Box<[(u32, u32)]>, u32> = HashMap::new();
        let mut labels = Vec::new();
        let mut key = Vec::new();
        // Neighbours mostly are in one group.
        let mut before: Option<(Vec<(u32, u32)>, u32)> = None;
        let number_of = |slot: &u32| {
            let pairs = self.entries[*slot as usize].as_ref().map_or(&[][..], |entry| &entry.labels);
            key.clear();
            key.extend(pairs.iter().copied().filter(|&(name, value)| {
                names.contains(&name) != by.without && !self.symbols.text(value).is_empty()
            }));
            if let Some((known, number)) = &before
                && *known == key
            {
                return *number;
            }
            let number = numbers.get(&*key).copied().unwrap_or_else(|| {
                let texts =
                    key.iter().map(|&(name, value)| (self.symbols.text(name), self.symbols.text(value)));
                // Labels of one series: a set of labels.
                labels.push(Labels::from_pairs(texts).unwrap_or_default());
                let number = (labels.len() - 1) as u32;
                numbers.insert(key.as_slice().into(), number);
                number
            });
            before = Some((key.clone(), number));
            number
        };
        let of_slot = slots.iter().map(number_of).collect();
        (of_slot, labels)
    }

    /// All live slots, in order.
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.entries).filter(|(_, entry)| entry.is_some()).map(|(slot, _)| slot)
    }
}

impl Index for HeadIndex {
    type Error = Infallible;

    fn all(&self) -> Result<Vec<u32>, Infallible> {
        Ok(self.live().collect())
    }

    fn with(&self, name: &str, value: &str) -> Result<Vec<u32>, Infallible> {
        let list = || {
            let values = self.postings.get(&self.symbols.find(name)?)?;
            values.get(&self.symbols.find(value)?).cloned()
        };
        Ok(list().unwrap_or_default())
    }

    fn with_any(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>, Infallible> {
        let values = self.symbols.find(name).and_then(|name| self.postings.get(&name));
        let lists = values.into_iter().flatten().filter(|(value, _)| wanted(self.symbols.text(**value)));
        Ok(lists.flat_map(|(_, list)| list.iter().copied()).collect())
    }

    fn retain(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        visit: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<(), Infallible> {
        let symbol = self.symbols.find(name);
        series.retain(|&slot| {
            let labels = self.entries[slot as usize].as_ref().map_or(&[][..], |entry| &entry.labels);
            match labels.iter().find(|(name, _)| Some(*name) == symbol) {
                Some(&(_, value)) => visit(u64::from(value), self.symbols.text(value)),
                None => visit(u64::MAX, ""),
            }
        });
        Ok(())
    }
}
