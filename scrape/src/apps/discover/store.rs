//! Objects of one kind, as watches tell about them. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// What an event changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Nothing,
    /// These objects, by key; perhaps they are gone.
    Some(Vec<String>),
}

/// Objects of one kind in one namespace, or in all.
#[derive(Debug)]
struct Scope<K> {
    objects: BTreeMap<String, K>,
    /// A list in progress: it replaces the objects when it is complete, so that a restarted watch loses none meanwhile.
    listed: BTreeMap<String, K>,
    synced: bool,
}

/// Objects of one kind, by `namespace/name`, or by name.
#[derive(Debug)]
pub(super) struct Store<K> {
    scopes: Vec<Scope<K>>,
}

/// The key of an object.
pub(super) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

impl<K: ResourceExt + PartialEq> Store<K> {
    /// A store that so many watches fill.
    pub(super) fn new(scopes: usize) -> Store<K> {
        let scope = || Scope { objects: BTreeMap::new(), listed: BTreeMap::new(), synced: false };
        Store { scopes: std::iter::repeat_with(scope).take(scopes).collect() }
    }

    /// Whether every watch has told all objects once.
    pub(super) fn is_synced(&self) -> bool {
        self.scopes.iter().all(|scope| scope.synced)
    }

    pub(super) fn get(&self, key: &str) -> Option<&K> {
        self.scopes.iter().find_map(|scope| scope.objects.get(key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &K)> {
        self.scopes.iter().flat_map(|scope| &scope.objects)
    }

    /// Takes an event of the watch of a scope; `trim` keeps of an object what is needed.
    pub(super) fn take(&mut self, scope: usize, event: Event<K>, trim: impl Fn(K) -> K) -> Change {
        let Some(scope) = self.scopes.get_mut(scope) else { return Change::Nothing };
        let key = |object: &K| key(&object.namespace().unwrap_or_default(), &object.name_any());
        match event {
            Event::Init => {
                scope.listed.clear();
                Change::Nothing
            }
            Event::InitApply(object) => {
                scope.listed.insert(key(&object), trim(object));
                Change::Nothing
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut scope.objects, std::mem::take(&mut scope.listed));
                scope.synced = true;
                let now = &scope.objects;
                let new = now.iter().filter(|(key, object)| before.get(*key) != Some(object));
                let gone = before.keys().filter(|key| !now.contains_key(*key));
                Change::Some(new.map(|(key, _)| key).chain(gone).cloned().collect())
            }
            Event::Apply(object) => {
                let (key, object) = (key(&object), trim(object));
                if scope.objects.get(&key) == Some(&object) {
                    return Change::Nothing;
                }
                scope.objects.insert(key.clone(), object);
                Change::Some(vec![key])
            }
            Event::Delete(object) => {
                let key = key(&object);
                match scope.objects.remove(&key) {
                    Some(_) => Change::Some(vec![key]),
                    None => Change::Nothing,
                }
            }
        }
    }
}
