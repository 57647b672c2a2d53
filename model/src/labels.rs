//! A set of labels: sorted by name, each name once. Two sets are equal when they hold the same pairs.

use std::cmp::Ordering;
use std::fmt;

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
///
/// All texts stand one after the other in one piece of memory, for a query makes hundreds of thousands of these.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    /// Name, value, name, value, …
    text: Box<str>,
    /// Where each of them ends.
    ends: Box<[u32]>,
}

impl Labels {
    /// Sorts the pairs by name (comparing bytes).
    ///
    /// # Errors
    /// An empty name, a name given twice, more than [`MAX_LABELS`] pairs.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Labels, LabelsError> {
        let mut pairs: Vec<(K, V)> = pairs.into_iter().collect();
        if pairs.len() > MAX_LABELS {
            return Err(LabelsError::TooMany { count: pairs.len() });
        }
        let rising = |pair: &[(K, V)]| pair[0].0.as_ref() < pair[1].0.as_ref();
        if !pairs.windows(2).all(rising) {
            pairs.sort_by(|left, right| left.0.as_ref().cmp(right.0.as_ref()));
        }
        if pairs.first().is_some_and(|(name, _)| name.as_ref().is_empty()) {
            return Err(LabelsError::EmptyName);
        }
        if let Some(twice) = pairs.windows(2).find(|pair| !rising(pair)) {
            return Err(LabelsError::Duplicate { name: twice[0].0.as_ref().to_owned() });
        }
        let bytes = pairs.iter().map(|(name, value)| name.as_ref().len() + value.as_ref().len()).sum();
        let mut text = String::with_capacity(bytes);
        let mut ends = Vec::with_capacity(2 * pairs.len());
        for (name, value) in &pairs {
            for part in [name.as_ref(), value.as_ref()] {
                text.push_str(part);
                // Bodies and log entries from which labels come are far below 4 GiB.
                ends.push(text.len() as u32);
            }
        }
        Ok(Labels { text: text.into_boxed_str(), ends: ends.into_boxed_slice() })
    }

    fn part(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[index] as usize]
    }

    /// The value of a label, `None` when there is no such label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.part(2 * middle).cmp(name) {
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
                Ordering::Equal => return Some(self.part(2 * middle + 1)),
            }
        }
        None
    }

    /// Pairs in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut start = 0;
        self.ends.chunks_exact(2).map(move |ends| {
            let (name_end, value_end) = (ends[0] as usize, ends[1] as usize);
            let pair = (&self.text[start..name_end], &self.text[name_end..value_end]);
            start = value_end;
            pair
        })
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// By the pairs, one after the other.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
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
        assert_eq!(format!("{labels:?}"), r#"{"container": "c", "namespace": "n", "pod": "p"}"#);
        assert_eq!(
            labels,
            Labels::from_pairs([("container", "c"), ("pod", "p"), ("namespace", "n")]).unwrap()
        );
    }

    #[test]
    fn sets_are_ordered_by_their_pairs() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        let rising = [
            set(&[]),
            set(&[("a", "")]),
            set(&[("a", "1")]),
            set(&[("a", "1"), ("b", "0")]),
            set(&[("a", "10")]),
            set(&[("aa", "0")]),
            set(&[("b", "1")]),
        ];
        assert!(rising.is_sorted() && rising.windows(2).all(|pair| pair[0] != pair[1]));
        // The same text, cut otherwise, is another set.
        assert_ne!(set(&[("a", "bc")]), set(&[("ab", "c")]));
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
