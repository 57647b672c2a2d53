//! A set of labels: sorted by name, each name once. Two sets are equal when they hold the same pairs.

use thiserror::Error;

/// Most labels one set may hold. Prometheus has no such limit; a series with more is a mistake or an attack.
pub const MAX_LABELS: usize = 256;

/// Why a list of pairs is not a set of labels.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelsError {
    /// A pair had an empty name.
    #[error("a label has an empty name")]
    EmptyName,
    /// The same name came twice.
    #[error("label {name:?} appears twice")]
    Duplicate {
        /// The repeated name.
        name: String,
    },
    /// More than [`MAX_LABELS`] pairs.
    #[error("{count} labels, more than the {MAX_LABELS} allowed")]
    TooMany {
        /// How many there were.
        count: usize,
    },
}

/// Labels of one series, without the metric name.
///
/// Values are kept as given: an empty value is kept too, although Prometheus takes it for an absent label.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Sorts the pairs by name (comparing bytes).
    ///
    /// # Errors
    /// An empty name, a name given twice, more than [`MAX_LABELS`] pairs.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Labels, LabelsError> {
        let mut pairs: Vec<(Box<str>, Box<str>)> = pairs
            .into_iter()
            .map(|(name, value)| (name.into().into_boxed_str(), value.into().into_boxed_str()))
            .collect();
        if pairs.len() > MAX_LABELS {
            return Err(LabelsError::TooMany { count: pairs.len() });
        }
        pairs.sort_unstable();
        if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(LabelsError::EmptyName);
        }
        if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelsError::Duplicate { name: twice[0].0.to_string() });
        }
        Ok(Labels(pairs.into_boxed_slice()))
    }

    /// The value of a label, `None` when there is no such label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.0.binary_search_by(|(have, _)| (**have).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// Pairs in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_found() {
        let labels = Labels::from_pairs([("pod", "p"), ("container", "c"), ("namespace", "n")]).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("container", "c"), ("namespace", "n"), ("pod", "p")]);
        assert_eq!(labels.get("pod"), Some("p"));
        assert_eq!(labels.get("node"), None);
        assert_eq!((labels.len(), labels.is_empty()), (3, false));
        assert_eq!(
            labels,
            Labels::from_pairs([("container", "c"), ("pod", "p"), ("namespace", "n")]).unwrap()
        );
    }

    #[test]
    fn a_name_is_neither_empty_nor_repeated() {
        assert_eq!(Labels::from_pairs([("", "x")]), Err(LabelsError::EmptyName));
        assert_eq!(
            Labels::from_pairs([("a", "1"), ("b", "2"), ("a", "3")]),
            Err(LabelsError::Duplicate { name: "a".into() })
        );
        let many = (0..=MAX_LABELS).map(|index| (format!("l{index}"), ""));
        assert_eq!(Labels::from_pairs(many), Err(LabelsError::TooMany { count: MAX_LABELS + 1 }));
    }
}
