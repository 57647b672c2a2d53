//! What a client has seen, and how that differs from what there is. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Write};
use std::ops::Bound;

use flyball_model::resource_metrics::ObjectMeta;

use crate::api::page::{Key, Listed, key_of};

/// The objects a client has seen, with a digest of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known(BTreeMap<Key, u64>);

/// How an object differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// One difference.
#[derive(Debug)]
pub(crate) struct Change<T> {
    pub(crate) kind: Kind,
    pub(crate) object: T,
}

impl Known {
    /// How many objects.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes objects that the client gets in a list.
    pub(crate) fn learn<T: Listed>(&mut self, items: &[T]) {
        self.0.extend(items.iter().map(|item| (key_of(item.metadata()), digest(item))));
    }

    /// Takes what there is now behind `after` up to `next` (`None`: to the end), and says what is new to the client.
    pub(crate) fn see<T: Listed>(
        &mut self,
        after: Option<&Key>,
        next: Option<&Key>,
        items: Vec<T>,
    ) -> Vec<Change<T>> {
        let range =
            (after.map_or(Bound::Unbounded, Bound::Excluded), next.map_or(Bound::Unbounded, Bound::Included));
        let present: BTreeMap<Key, T> =
            items.into_iter().map(|item| (key_of(item.metadata()), item)).collect();
        let gone: Vec<Key> = self
            .0
            .range(range)
            .map(|(key, _)| key)
            .filter(|key| !present.contains_key(key))
            .cloned()
            .collect();
        let mut changes: BTreeMap<Key, Change<T>> = BTreeMap::new();
        for key in gone {
            self.0.remove(&key);
            changes.insert(key.clone(), Change { kind: Kind::Deleted, object: T::remains(named(key)) });
        }
        for (key, object) in present {
            let digest = digest(&object);
            let kind = match self.0.insert(key.clone(), digest) {
                None => Kind::Added,
                Some(old) if old != digest => Kind::Modified,
                Some(_) => continue,
            };
            changes.insert(key, Change { kind, object });
        }
        changes.into_values().collect()
    }
}

fn named((namespace, name): Key) -> ObjectMeta {
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    ObjectMeta { name, namespace, ..ObjectMeta::default() }
}

/// Stands for all of an object that matters: everything but `creationTimestamp`, which is the time of the answer.
fn digest<T: Listed>(object: &T) -> u64 {
    struct Into(DefaultHasher);
    impl Write for Into {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Into(DefaultHasher::new());
    // Neither the hasher nor plain data can fail.
    let _ = serde_json::to_writer(&mut hash, &object.metadata().labels);
    let _ = serde_json::to_writer(&mut hash, &object.measured());
    hash.0.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_model::resource_metrics::PodMetrics;

    fn pod(name: &str, timestamp: &str) -> PodMetrics {
        let metadata = ObjectMeta {
            name: name.to_owned(),
            namespace: Some("ns".to_owned()),
            creation_timestamp: Some(timestamp.to_owned()),
            ..ObjectMeta::default()
        };
        PodMetrics { metadata, timestamp: Some(timestamp.to_owned()), ..PodMetrics::default() }
    }

    fn key(name: &str) -> Key {
        ("ns".to_owned(), name.to_owned())
    }

    fn shown(changes: Vec<Change<PodMetrics>>) -> Vec<String> {
        changes.iter().map(|change| format!("{:?} {}", change.kind, change.object.metadata.name)).collect()
    }

    #[test]
    fn changes_are_told_once_and_in_order() {
        let mut known = Known::default();
        let first = known.see(None, None, vec![pod("a", "1"), pod("c", "1")]);
        assert_eq!(shown(first), ["Added a", "Added c"]);
        let same = known.see(None, None, vec![pod("a", "1"), pod("c", "1")]);
        assert_eq!(shown(same), Vec::<String>::new());
        let next = known.see(None, None, vec![pod("b", "1"), pod("c", "2")]);
        assert_eq!(shown(next), ["Deleted a", "Added b", "Modified c"]);
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn a_piece_says_nothing_of_the_rest() {
        let mut known = Known::default();
        known.learn(&[pod("a", "1"), pod("b", "1"), pod("c", "1")]);
        assert_eq!(shown(known.see(None, Some(&key("a")), vec![pod("a", "2")])), ["Modified a"]);
        assert_eq!(shown(known.see::<PodMetrics>(Some(&key("a")), Some(&key("b")), vec![])), ["Deleted b"]);
        assert_eq!(shown(known.see(Some(&key("b")), None, vec![pod("c", "1"), pod("d", "1")])), ["Added d"]);
    }
}
