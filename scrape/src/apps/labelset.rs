//! Labels while they are worked on. Pure.

use std::collections::BTreeMap;

use flyball_model::labels::{Labels, LabelsError};

/// Labels by name. An empty value and an absent label are the same, so none is kept with an empty value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSet(BTreeMap<String, String>);

impl LabelSet {
    /// The value of a label; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: impl Into<String> + AsRef<str>, value: impl Into<String>) {
        let value = value.into();
        if value.is_empty() {
            self.0.remove(name.as_ref());
        } else if let Some(have) = self.0.get_mut(name.as_ref()) {
            *have = value;
        } else {
            self.0.insert(name.into(), value);
        }
    }

    /// Sets a label that is not there.
    pub fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_empty() {
            self.set(name, value);
        }
    }

    /// Removes labels of which `keep` says no.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// All labels by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, fixed.
    ///
    /// # Errors
    /// More than [`flyball_model::labels::MAX_LABELS`], or an empty name.
    pub fn to_labels(&self) -> Result<Labels, LabelsError> {
        Labels::from_pairs(self.iter())
    }
}

impl<N: Into<String> + AsRef<str>, V: Into<String>> FromIterator<(N, V)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> LabelSet {
        let mut set = LabelSet::default();
        pairs.into_iter().for_each(|(name, value)| set.set(name, value));
        set
    }
}
