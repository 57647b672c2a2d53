//! All HPAs, compiled.

use crate::cluster::{FIELD_MANAGER, PROBE_NAME};
use crate::compile::compile;
use crate::controls::Controls;
use crate::decide::{Rules, Settings, Source};
use flyball_model::autoscaling::{apply_defaults, v2};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// One HPA as last seen.
#[derive(Debug)]
pub(crate) struct HpaEntry {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) resource_version: Option<String>,
    /// The object with defaults filled in.
    pub(crate) hpa: v2::HorizontalPodAutoscaler,
    pub(crate) rules: Rules,
    /// What its annotations ask for.
    pub(crate) controls: Controls,
    pub(crate) marks: Vec<Mark>,
    /// Namespace and name of its target.
    pub(crate) target: Key,
    /// Group and kind of its target, if the API version is one.
    pub(crate) target_kind: Option<(String, String)>,
}

/// A field manager that wrote the status, and when it last did, unix milliseconds by the API server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) manager: String,
    pub(crate) at_ms: i64,
}

fn marks_of(object: &DynamicObject) -> Vec<Mark> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let of_status = entries.filter(|entry| entry.subresource.as_deref() == Some("status"));
    let mark = |entry: &ManagedFieldsEntry| Mark {
        manager: entry.manager.clone().unwrap_or_default(),
        at_ms: entry.time.as_ref().map_or(0, |time| time.0.as_millisecond()),
    };
    of_status.map(mark).collect()
}

impl HpaEntry {
    fn parse(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        let mut hpa: v2::HorizontalPodAutoscaler = serde_json::from_value(serde_json::to_value(object)?)?;
        apply_defaults(&mut hpa);
        let rules = compile(&hpa);
        let reference = &hpa.spec.scale_target_ref;
        let group = match reference.api_version.matches('/').count() {
            0 => Some(""),
            1 => reference.api_version.split_once('/').map(|(group, _)| group),
            _ => None,
        };
        Ok(HpaEntry {
            target: (hpa.metadata.namespace.clone(), reference.name.clone()),
            target_kind: group.map(|group| (group.to_owned(), reference.kind.clone())),
            key: (hpa.metadata.namespace.clone(), hpa.metadata.name.clone()),
            uid: hpa.metadata.uid.clone().unwrap_or_default(),
            resource_version: hpa.metadata.resource_version.clone(),
            marks: marks_of(object),
            controls: Controls::of(&hpa.metadata.annotations, rules.min, rules.max),
            rules,
            hpa,
        })
    }

    /// The settings of its decisions: a period of its own is also the one that limits growth.
    pub(crate) fn settings(&self, of_all: &Settings) -> Settings {
        let growth_period_ms =
            of_all.growth_period_ms.map(|of_all| self.controls.period_ms.unwrap_or(of_all));
        Settings { growth_period_ms, ..*of_all }
    }

    /// The longest time between two of its evaluations.
    pub(crate) fn period_ms(&self, of_all_ms: i64) -> i64 {
        self.controls.period_ms.unwrap_or(of_all_ms)
    }

    /// When this program's field manager last wrote the status.
    pub(crate) fn own_mark(&self) -> Option<i64> {
        self.marks.iter().find(|mark| mark.manager == FIELD_MANAGER).map(|mark| mark.at_ms)
    }

    /// Foreign managers that wrote the status since `old`.
    fn foreign_writes(&self, old: Option<&HpaEntry>) -> impl Iterator<Item = &Mark> {
        let known: Vec<Mark> = old.map(|old| old.marks.clone()).unwrap_or_default();
        self.marks.iter().filter(move |mark| mark.manager != FIELD_MANAGER && !known.contains(mark))
    }

    /// The resource version as a number, where it is one.
    pub(crate) fn version(&self) -> Option<u64> {
        self.resource_version.as_deref().and_then(|version| version.parse().ok())
    }
}

/// What an event changed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A new object, or a spec or annotations of ours that differ.
    Spec(Arc<HpaEntry>),
    /// Only status or metadata.
    Status,
    /// Gone.
    Deleted(Arc<HpaEntry>),
    /// Another field manager wrote the status while we watched.
    Marked { uid: String, manager: String },
    /// Another field manager wrote the status of our probe.
    ProbeAnswered { manager: String },
}

/// What the HPAs of the cluster use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// Group and kind of the scale targets.
    pub(crate) targets: BTreeSet<(String, String)>,
    pub(crate) resource: bool,
    pub(crate) custom: bool,
    pub(crate) external: bool,
}

/// Reflected HPAs.
#[derive(Default)]
pub(crate) struct HpaStore {
    entries: RwLock<HashMap<Key, Arc<HpaEntry>>>,
    relisting: RwLock<Option<HashMap<Key, Arc<HpaEntry>>>>,
    synced: AtomicBool,
    /// Namespace of our probe, which is no HPA to act on.
    probe_namespace: Option<String>,
}

impl HpaStore {
    /// A store that keeps the probe of this namespace apart.
    pub(crate) fn with_probe_in(namespace: String) -> Self {
        HpaStore { probe_namespace: Some(namespace), ..HpaStore::default() }
    }

    fn is_probe(&self, object: &DynamicObject) -> bool {
        object.metadata.name.as_deref() == Some(PROBE_NAME)
            && object.metadata.namespace.is_some()
            && object.metadata.namespace == self.probe_namespace
    }

    /// What all HPAs together use.
    pub(crate) fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        for entry in self.entries.read().unwrap_or_else(PoisonError::into_inner).values() {
            let target = &entry.hpa.spec.scale_target_ref;
            let group = target.api_version.split_once('/').map_or("", |(group, _)| group);
            uses.targets.insert((group.to_owned(), target.kind.clone()));
            for metric in &entry.rules.metrics {
                match metric.source {
                    Source::Resource { .. } | Source::ContainerResource { .. } => uses.resource = true,
                    Source::Pods { .. } | Source::Object { .. } => uses.custom = true,
                    Source::External { .. } => uses.external = true,
                    Source::Unknown { .. } => {}
                }
            }
        }
        uses
    }

    /// UIDs of all HPAs.
    pub(crate) fn uids(&self) -> std::collections::HashSet<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().map(|entry| entry.uid.clone()).collect()
    }

    /// All HPAs.
    pub(crate) fn all(&self) -> Vec<Arc<HpaEntry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether the first list has arrived.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<HpaEntry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Applies a watch event; gives what changed.
    pub(crate) fn apply(&self, event: Event<DynamicObject>) -> Vec<Change> {
        let relisting = || self.relisting.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) | Event::InitApply(object) if self.is_probe(&object) => {
                let foreign = marks_of(&object).into_iter().map(|mark| mark.manager);
                foreign.map(|manager| Change::ProbeAnswered { manager }).collect()
            }
            Event::Delete(object) if self.is_probe(&object) => Vec::new(),
            Event::Init => {
                *relisting() = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let (Some(entry), Some(list)) = (parse(&object), relisting().as_mut()) {
                    list.insert(entry.key.clone(), entry);
                }
                Vec::new()
            }
            Event::InitDone => {
                let list = relisting().take().unwrap_or_default();
                let changes = self.replace(list);
                self.synced.store(true, Ordering::Release);
                changes
            }
            Event::Apply(object) => parse(&object).map(|entry| self.insert(entry)).unwrap_or_default(),
            Event::Delete(object) => {
                let key =
                    (object.metadata.namespace.unwrap_or_default(), object.metadata.name.unwrap_or_default());
                let gone = self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
                gone.map(Change::Deleted).into_iter().collect()
            }
        }
    }

    fn insert(&self, entry: Arc<HpaEntry>) -> Vec<Change> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let old = entries.insert(entry.key.clone(), entry.clone());
        let mut changes = Vec::new();
        if self.is_synced() {
            changes.extend(marks_since(old.as_deref(), &entry));
        }
        changes.extend(changes_of(old, entry));
        changes
    }

    fn replace(&self, list: HashMap<Key, Arc<HpaEntry>>) -> Vec<Change> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *entries);
        let mut changes = Vec::new();
        for (key, entry) in &list {
            let old = old.remove(key);
            // What the first list shows may be left from long ago.
            if self.is_synced() {
                changes.extend(marks_since(old.as_deref(), entry));
            }
            changes.extend(changes_of(old, entry.clone()));
        }
        changes.extend(old.into_values().map(Change::Deleted));
        *entries = list;
        changes
    }
}

/// Writes of others between two versions of an HPA.
fn marks_since(old: Option<&HpaEntry>, new: &HpaEntry) -> Vec<Change> {
    let marked = |mark: &Mark| Change::Marked { uid: new.uid.clone(), manager: mark.manager.clone() };
    new.foreign_writes(old.filter(|old| old.uid == new.uid)).map(marked).collect()
}

/// An object under an old name but with a new UID is another one.
fn changes_of(old: Option<Arc<HpaEntry>>, new: Arc<HpaEntry>) -> Vec<Change> {
    match old {
        Some(old) if old.uid != new.uid => vec![Change::Deleted(old), Change::Spec(new)],
        Some(old) if old.hpa.spec == new.hpa.spec && old.controls == new.controls => vec![Change::Status],
        _ => vec![Change::Spec(new)],
    }
}

fn parse(object: &DynamicObject) -> Option<Arc<HpaEntry>> {
    match HpaEntry::parse(object) {
        Ok(entry) => Some(Arc::new(entry)),
        Err(error) => {
            let (namespace, name) = (&object.metadata.namespace, &object.metadata.name);
            tracing::warn!(?namespace, ?name, %error, "an HPA cannot be read and is left alone");
            None
        }
    }
}
