//! What the API server tells by watch: HPAs, pods and scale targets, in memory, parsed once.

mod hpas;
mod owned;
mod pods;
mod selectors;
mod targets;
mod wire;

pub(crate) use hpas::{Change, HpaEntry, HpaStore, Key};
pub(crate) use owned::OwnedTargets;
pub(crate) use pods::{PodStore, Population};
pub(crate) use selectors::Selectors;
pub(crate) use targets::{TargetStore, TargetWatches, Watched, Writer};
pub(crate) use wire::{hpa_events, pod_events};
