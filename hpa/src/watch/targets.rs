//! Scale targets of the kinds that are watched, so that an evaluation at rest reads no scale.
//!
//! A kind is watched from the first HPA on that has a target of it; where the role does not allow that, the scale
//! subresource is read instead, as it is for every other kind. What is kept of a target is what its scale would say, and who
//! writes its replica count.

use super::wire::attempts;
use crate::decide::Scale;
use flyball_model::selector::LabelSelector;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Watched {
    Deployment,
    ReplicaSet,
    StatefulSet,
}

impl Watched {
    /// The kind of a target, if it is one of these.
    pub(crate) fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            ("apps", "Deployment") => Some(Watched::Deployment),
            ("apps", "ReplicaSet") => Some(Watched::ReplicaSet),
            ("apps", "StatefulSet") => Some(Watched::StatefulSet),
            _ => None,
        }
    }

    /// Plural name.
    pub(crate) fn plural(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Watched::Deployment => ("Deployment", "deployments"),
            Watched::ReplicaSet => ("ReplicaSet", "replicasets"),
            Watched::StatefulSet => ("StatefulSet", "statefulsets"),
        }
    }

    fn resource(self) -> ApiResource {
        let (kind, plural) = self.names();
        ApiResource {
            group: "apps".into(),
            version: "v1".into(),
            api_version: "apps/v1".into(),
            kind: kind.into(),
            plural: plural.into(),
        }
    }
}

/// Who wrote the replica count of a target last, and when, unix milliseconds by the API server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    pub(crate) at_ms: i64,
    /// By the scale subresource.
    pub(crate) by_scale: bool,
}

/// A target as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) uid: String,
    pub(crate) scale: Scale,
    /// As the scale's `status.selector`.
    pub(crate) selector: Arc<str>,
    /// The last writer of the count, if the object says who.
    pub(crate) writer: Option<Writer>,
}

/// Namespace and name.
type Name = (String, String);

#[derive(Default)]
struct Kind {
    synced: bool,
    known: HashMap<Name, Arc<Target>>,
    relisting: Option<HashMap<Name, Arc<Target>>>,
}

/// Reflected targets.
#[derive(Default)]
pub(crate) struct TargetStore(RwLock<HashMap<Watched, Kind>>);

impl TargetStore {
    /// A target, if its kind is watched and the first list has arrived.
    pub(crate) fn get(&self, kind: Watched, name: &Name) -> Option<Arc<Target>> {
        let kinds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = kinds.get(&kind).filter(|found| found.synced)?;
        found.known.get(name).cloned()
    }

    /// Whether what is known of a kind is what there is.
    pub(crate) fn is_current(&self, kind: Watched) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&kind).is_some_and(|found| found.synced)
    }

    /// Applies a watch event; gives the targets whose scale changed. `None`, a failure: until the watch tells something
    /// again, what is known may be old, and scales are read.
    pub(crate) fn apply(&self, kind: Watched, event: Option<Event<DynamicObject>>) -> Vec<Name> {
        let mut kinds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let found = kinds.entry(kind).or_default();
        let Some(event) = event else {
            found.synced = false;
            return Vec::new();
        };
        if matches!(event, Event::Apply(_) | Event::Delete(_)) {
            found.synced = true;
        }
        match event {
            Event::Init => {
                found.relisting = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(list) = &mut found.relisting {
                    list.insert(name_of(&object), Arc::new(target(&object)));
                }
                Vec::new()
            }
            Event::InitDone => {
                let list = found.relisting.take().unwrap_or_default();
                let changed = |(name, target): &(&Name, &Arc<Target>)| {
                    found.known.get(*name).map(|t| t.scale) != Some(target.scale)
                };
                let names = list.iter().filter(changed).map(|(name, _)| name.clone()).collect();
                let is_first = !found.synced;
                (found.known, found.synced) = (list, true);
                if is_first { Vec::new() } else { names }
            }
            Event::Apply(object) => {
                let (name, new) = (name_of(&object), Arc::new(target(&object)));
                let old = found.known.insert(name.clone(), new.clone());
                let same = old.is_some_and(|old| {
                    (old.scale, &old.uid, &old.selector) == (new.scale, &new.uid, &new.selector)
                });
                if same { Vec::new() } else { vec![name] }
            }
            Event::Delete(object) => {
                let name = name_of(&object);
                found.known.remove(&name).map(|_| name).into_iter().collect()
            }
        }
    }
}

/// The watches of the kinds in use.
pub(crate) struct TargetWatches {
    client: Client,
    streams: SelectAll<BoxStream<'static, (Watched, Option<Event<DynamicObject>>)>>,
    watched: Vec<Watched>,
}

impl TargetWatches {
    pub(crate) fn new(client: Client) -> Self {
        TargetWatches { client, streams: SelectAll::new(), watched: Vec::new() }
    }

    /// Watches a kind from now on.
    pub(crate) fn follow(&mut self, kind: Watched) {
        if self.watched.contains(&kind) {
            return;
        }
        self.watched.push(kind);
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &kind.resource());
        let stream = attempts(api, kind.names().1).map(move |event| (kind, event));
        self.streams.push(stream.boxed());
    }

    /// The next event; pends while nothing is watched.
    pub(crate) async fn next(&mut self) -> (Watched, Option<Event<DynamicObject>>) {
        match self.streams.next().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

fn name_of(object: &DynamicObject) -> Name {
    let metadata = &object.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn target(object: &DynamicObject) -> Target {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let count = |value: &serde_json::Value, default: i64| {
        i32::try_from(value.as_i64().unwrap_or(default)).unwrap_or(i32::MAX)
    };
    // The API server fills in one replica.
    let scale =
        Scale { spec_replicas: count(&spec["replicas"], 1), status_replicas: count(&status["replicas"], 0) };
    let selector = LabelSelector::from_json(&spec["selector"]).map(|selector| selector.to_string());
    Target {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        scale,
        selector: selector.unwrap_or_default().into(),
        writer: writer(object.metadata.managed_fields.as_deref().unwrap_or_default()),
    }
}

/// The newest entry that owns the replica count.
fn writer(entries: &[ManagedFieldsEntry]) -> Option<Writer> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0["f:spec"]["f:replicas"]);
        fields.is_some_and(|field| !field.is_null())
    };
    let of = |entry: &ManagedFieldsEntry| Writer {
        manager: entry.manager.clone().unwrap_or_default(),
        at_ms: entry.time.as_ref().map_or(0, |time| time.0.as_millisecond()),
        by_scale: entry.subresource.as_deref() == Some("scale"),
    };
    entries.iter().filter(owns).map(of).max_by_key(|writer| writer.at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(name: &str, replicas: i32, managers: &[(&str, &str, &str)]) -> DynamicObject {
        let entry = |(manager, subresource, time): &(&str, &str, &str)| {
            json!({ "manager": manager, "operation": "Update", "subresource": subresource, "time": time,
                "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } } })
        };
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}"),
                "managedFields": managers.iter().map(entry).collect::<Vec<_>>() },
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "tier": "x", "app": "web" } } },
            "status": { "replicas": replicas },
        }))
        .unwrap()
    }

    #[test]
    fn a_target_says_what_its_scale_says() {
        let (store, kind) = (TargetStore::default(), Watched::Deployment);
        store.apply(kind, Some(Event::Init));
        store.apply(kind, Some(Event::InitApply(deployment("web", 3, &[]))));
        let web = ("ns".to_owned(), "web".to_owned());
        assert_eq!(store.get(kind, &web), None, "not before the list is complete");
        assert!(store.apply(kind, Some(Event::InitDone)).is_empty(), "the first list changes nothing");
        let target = store.get(kind, &web).unwrap();
        assert_eq!(target.scale, Scale { spec_replicas: 3, status_replicas: 3 });
        assert_eq!(&*target.selector, "app=web,tier=x", "as the API server writes it");
        assert!(
            store
                .apply(kind, Some(Event::Apply(deployment("web", 3, &[("x", "", "2026-01-01T00:00:00Z")]))))
                .is_empty()
        );
        let name = ("ns".to_owned(), "web".to_owned());
        assert_eq!(
            store.apply(kind, Some(Event::Apply(deployment("web", 4, &[])))),
            std::slice::from_ref(&name)
        );
        store.apply(kind, None);
        assert_eq!(store.get(kind, &web), None, "a watch that fails says nothing");
        assert_eq!(store.apply(kind, Some(Event::Delete(deployment("web", 4, &[])))), [name]);
        assert_eq!(store.get(kind, &web), None);
    }

    #[test]
    fn the_newest_writer_of_the_count() {
        let object = deployment(
            "web",
            3,
            &[
                ("kubectl", "", "2026-01-01T00:00:00Z"),
                ("kube-controller-manager", "scale", "2026-01-01T00:00:09Z"),
                ("flyball-hpa", "scale", "2026-01-01T00:00:05Z"),
            ],
        );
        let writer = target(&object).writer.unwrap();
        assert_eq!((writer.manager.as_str(), writer.by_scale), ("kube-controller-manager", true));
        assert_eq!(target(&deployment("web", 3, &[])).writer, None);
    }
}
