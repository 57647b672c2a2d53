//! Numbers found by a hash; the caller compares what the numbers stand for, so equal hashes of different things do no harm.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by our own numbers.
pub(crate) type ByNumber<T> = HashMap<u32, T, BuildHasherDefault<AsIs>>;

/// The key is a hash already, or a number of ours.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    /// A number that nobody from outside chooses; spread, for tables look at the highest bits too.
    fn write_u32(&mut self, number: u32) {
        self.0 = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Debug, Default)]
pub(crate) struct HashIndex {
    first: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    /// Numbers whose hash was taken.
    others: HashMap<u64, Vec<u32>>,
}

impl HashIndex {
    /// The number with this hash for which `same` says yes.
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let &first = self.first.get(&hash)?;
        if same(first) {
            return Some(first);
        }
        self.others.get(&hash)?.iter().copied().find(|&number| same(number))
    }

    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        if *self.first.entry(hash).or_insert(number) != number {
            self.others.entry(hash).or_default().push(number);
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let mut others = self.others.remove(&hash).unwrap_or_default();
        if self.first.get(&hash) == Some(&number) {
            match others.pop() {
                Some(next) => self.first.insert(hash, next),
                None => self.first.remove(&hash),
            };
        } else {
            others.retain(|&other| other != number);
        }
        if !others.is_empty() {
            self.others.insert(hash, others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_kept_apart() {
        let mut index = HashIndex::default();
        [10, 11, 12].into_iter().for_each(|number| index.insert(1, number));
        index.insert(2, 20);
        for number in [10, 11, 12] {
            assert_eq!(index.find(1, |found| found == number), Some(number));
        }
        index.remove(1, 10);
        assert_eq!(index.find(1, |found| found == 10), None);
        assert_eq!(index.find(1, |found| found == 11), Some(11));
        index.remove(1, 11);
        index.remove(1, 12);
        assert_eq!(index.find(1, |_| true), None);
        assert_eq!(index.find(2, |_| true), Some(20));
    }
}
