//! Pods that are looked at one by one, as most jobs do. Pure.
//!
//! Nothing is kept of a pod but a hash of the label sets that it gave: a cluster has many pods, and few of them are scraped.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

use super::super::labelset::LabelSet;
use super::store::key;
use super::{Update, pod};

/// What one watch told.
#[derive(Debug, Default)]
struct Scope {
    known: BTreeMap<String, u64>,
    /// A list in progress.
    listed: BTreeMap<String, u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct LonePods(Vec<Scope>);

impl LonePods {
    /// Pods that so many watches tell about.
    pub(super) fn new(scopes: usize) -> LonePods {
        LonePods(std::iter::repeat_with(Scope::default).take(scopes).collect())
    }

    /// Takes an event of the watch of a scope; what changed by it.
    pub(super) fn take(&mut self, scope: usize, event: Event<Pod>) -> Vec<Update> {
        let Some(scope) = self.0.get_mut(scope) else { return Vec::new() };
        match event {
            Event::Init => {
                scope.listed.clear();
                Vec::new()
            }
            Event::InitApply(pod) => {
                let (key, found) = found(&pod);
                let hash = hash(&found);
                let is_new = scope.known.get(&key) != Some(&hash);
                scope.listed.insert(key.clone(), hash);
                is_new.then(|| update(&key, found)).into_iter().collect()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut scope.known, std::mem::take(&mut scope.listed));
                let gone = before.keys().filter(|key| !scope.known.contains_key(*key));
                gone.map(|key| update(key, Vec::new())).collect()
            }
            Event::Apply(pod) => {
                let (key, found) = found(&pod);
                let hash = hash(&found);
                let is_new = scope.known.insert(key.clone(), hash) != Some(hash);
                is_new.then(|| update(&key, found)).into_iter().collect()
            }
            Event::Delete(pod) => {
                let key = key_of(&pod);
                scope.known.remove(&key).map(|_| update(&key, Vec::new())).into_iter().collect()
            }
        }
    }
}

fn key_of(pod: &Pod) -> String {
    key(&pod.namespace().unwrap_or_default(), &pod.name_any())
}

fn found(pod: &Pod) -> (String, Vec<LabelSet>) {
    (key_of(pod), pod::targets(pod, None))
}

fn update(key: &str, found: Vec<LabelSet>) -> Update {
    Update { source: format!("pod/{key}"), found: found.into() }
}

fn hash(found: &[LabelSet]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for set in found {
        set.iter().for_each(|pair| pair.hash(&mut hasher));
        hasher.write_u8(0xff);
    }
    hasher.finish()
}
