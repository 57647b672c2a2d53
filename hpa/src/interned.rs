//! Equal values are kept once. Pure.
//!
//! Promise: what nobody uses any more is dropped whenever twice as much has come as was in use before.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Nothing is dropped below this many values.
const MIN_VALUES: usize = 64;

/// The values in use.
#[derive(Debug)]
pub(crate) struct Interned<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// With this many, those that nobody uses are dropped.
    full_at: usize,
}

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Self {
        Interned { known: HashSet::new(), full_at: MIN_VALUES }
    }
}

impl<T: ?Sized + Hash + Eq> Interned<T> {
    /// The one copy of this value.
    pub(crate) fn share<V: Borrow<T> + Into<Arc<T>>>(&mut self, value: V) -> Arc<T> {
        let looked_for: &T = value.borrow();
        if let Some(known) = self.known.get(looked_for) {
            return known.clone();
        }
        if self.known.len() >= self.full_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.full_at = (self.known.len() * 2).max(MIN_VALUES);
        }
        let value: Arc<T> = value.into();
        self.known.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut names = Interned::<str>::default();
        let kept = names.share("app");
        assert!(Arc::ptr_eq(&kept, &names.share("app")));
        for number in 0..10 * MIN_VALUES {
            names.share(format!("pod-{number}").as_str());
        }
        assert!(names.known.len() <= MIN_VALUES + 1, "{}", names.known.len());
        assert!(Arc::ptr_eq(&kept, &names.share("app")), "what is used stays");
    }
}
