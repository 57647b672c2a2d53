//! Which scale targets the built-in autoscalers have: those are not ours to scale by another kind.

use super::Key;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

/// Group, kind, namespace and name.
type TargetKey = (String, String, String, String);

#[derive(Default)]
struct Owned {
    synced: bool,
    targets: HashMap<Key, TargetKey>,
    relisting: Option<HashMap<Key, TargetKey>>,
    by_target: HashMap<TargetKey, BTreeSet<Key>>,
}

/// Targets of built-in autoscalers.
#[derive(Default)]
pub(crate) struct OwnedTargets(RwLock<Owned>);

impl OwnedTargets {
    /// Whether the first list has arrived.
    pub(crate) fn is_synced(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).synced
    }

    /// Name of the autoscaler that has this target, if one has.
    pub(crate) fn owner(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<String> {
        let owned = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let target = (group.to_owned(), kind.to_owned(), namespace.to_owned(), name.to_owned());
        owned.by_target.get(&target)?.first().map(|(_, name)| name.clone())
    }

    /// Applies a watch event; true if a target changed hands.
    pub(crate) fn apply(&self, event: Event<DynamicObject>) -> bool {
        let mut owned = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = match event {
            Event::Init => {
                owned.relisting = Some(HashMap::new());
                return false;
            }
            Event::InitApply(object) => {
                if let Some(list) = &mut owned.relisting {
                    list.insert(key(&object), target(&object));
                }
                return false;
            }
            Event::InitDone => {
                let list = owned.relisting.take().unwrap_or_default();
                owned.synced = true;
                let changed = list != owned.targets;
                owned.targets = list;
                changed
            }
            Event::Apply(object) => {
                let target = target(&object);
                owned.targets.insert(key(&object), target.clone()) != Some(target)
            }
            Event::Delete(object) => owned.targets.remove(&key(&object)).is_some(),
        };
        if changed {
            let mut by_target: HashMap<TargetKey, BTreeSet<Key>> = HashMap::new();
            for (key, target) in &owned.targets {
                by_target.entry(target.clone()).or_default().insert(key.clone());
            }
            owned.by_target = by_target;
        }
        changed
    }
}

fn key(object: &DynamicObject) -> Key {
    let metadata = &object.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn target(object: &DynamicObject) -> TargetKey {
    let reference = &object.data["spec"]["scaleTargetRef"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&reference["apiVersion"]);
    let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    (group, text(&reference["kind"]), namespace, text(&reference["name"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_has_an_owner_while_an_autoscaler_names_it() {
        let hpa = |name: &str, target: &str| -> DynamicObject {
            serde_json::from_value(json!({
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": { "name": name, "namespace": "ns" },
                "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target } },
            }))
            .unwrap()
        };
        let owned = OwnedTargets::default();
        let owner = |name: &str| owned.owner("apps", "Deployment", "ns", name);
        owned.apply(Event::Init);
        owned.apply(Event::InitApply(hpa("a", "web")));
        assert!(!owned.is_synced());
        assert!(owned.apply(Event::InitDone) && owned.is_synced());
        assert_eq!(owner("web").as_deref(), Some("a"));
        assert!(!owned.apply(Event::Apply(hpa("a", "web"))), "nothing changed");
        assert!(owned.apply(Event::Apply(hpa("a", "api"))));
        assert_eq!((owner("web"), owner("api").as_deref()), (None, Some("a")));
        assert!(owned.apply(Event::Delete(hpa("a", "api"))));
        assert_eq!(owner("api"), None);
    }
}
