//! Texts of labels, each kept once and counted: when nobody uses one any more its number is given to another.

use std::hash::{BuildHasher, RandomState};

use super::hash_index::HashIndex;

#[derive(Debug, Default)]
pub(crate) struct Symbols {
    slots: Vec<Slot>,
    free: Vec<u32>,
    index: HashIndex,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Slot {
    text: Box<str>,
    hash: u64,
    users: u32,
}

impl Symbols {
    /// The hash of a text, seeded, so that nobody can choose labels that meet.
    pub(crate) fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The number of a text that is kept.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.find_hashed(self.hash(text), text)
    }

    pub(crate) fn find_hashed(&self, hash: u64, text: &str) -> Option<u32> {
        self.index.find(hash, |number| &*self.slots[number as usize].text == text)
    }

    /// Keeps a text for one more user.
    pub(crate) fn keep(&mut self, text: &str) -> u32 {
        let hash = self.hash(text);
        if let Some(number) = self.find_hashed(hash, text) {
            self.slots[number as usize].users += 1;
            return number;
        }
        let slot = Slot { text: text.into(), hash, users: 1 };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(hash, number);
        number
    }

    /// One more user of a text that is kept.
    pub(crate) fn keep_again(&mut self, number: u32) {
        self.slots[number as usize].users += 1;
    }

    /// One user less.
    pub(crate) fn release(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.users -= 1;
        if slot.users == 0 {
            let slot = std::mem::take(slot);
            self.index.remove(slot.hash, number);
            self.free.push(number);
        }
    }

    pub(crate) fn text(&self, number: u32) -> &str {
        &self.slots[number as usize].text
    }

    pub(crate) fn text_hash(&self, number: u32) -> u64 {
        self.slots[number as usize].hash
    }

    /// How many texts are kept.
    pub(crate) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_once_and_given_up() {
        let mut symbols = Symbols::default();
        let pod = symbols.keep("pod");
        assert_eq!(symbols.keep("pod"), pod);
        let name = symbols.keep("name");
        assert_eq!((symbols.text(pod), symbols.text(name), symbols.count()), ("pod", "name", 2));
        symbols.release(pod);
        assert_eq!(symbols.find("pod"), Some(pod));
        symbols.release(pod);
        assert_eq!((symbols.find("pod"), symbols.count()), (None, 1));
        assert_eq!(symbols.keep("other"), pod);
        assert_eq!(symbols.text(pod), "other");
    }
}
