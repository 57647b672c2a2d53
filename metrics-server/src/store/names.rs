//! Names that many rows share.

use std::collections::HashSet;
use std::sync::Arc;

/// Names are looked through for unused ones when there are twice as many as were in use the last time, and this many.
const LEAST: usize = 256;

/// One copy of each name in use.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: HashSet<Arc<str>>,
    in_use: usize,
}

impl Names {
    /// The copy of this name.
    pub(super) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.all.get(name) {
            return known.clone();
        }
        if self.all.len() >= LEAST.max(2 * self.in_use) {
            self.all.retain(|name| Arc::strong_count(name) > 1);
            self.in_use = self.all.len();
        }
        let name: Arc<str> = name.into();
        self.all.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shared_and_unused_ones_go() {
        let mut names = Names::default();
        let kept = names.share("kept");
        for index in 0..10_000 {
            names.share(&index.to_string());
        }
        assert!(names.all.len() <= LEAST + 1, "{}", names.all.len());
        assert!(Arc::ptr_eq(&kept, &names.share("kept")));
    }
}
