//! What the API server tells by watch: HPAs and pods, in memory, parsed once.

mod hpas;
mod pods;
mod selectors;
mod wire;

pub(crate) use hpas::{Change, HpaEntry, HpaStore, Key};
pub(crate) use pods::{PodStore, Population};
pub(crate) use selectors::Selectors;
pub(crate) use wire::{hpa_events, pod_events};
