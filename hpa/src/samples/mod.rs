//! What metrics.k8s.io says about pods, in as little memory as decisions need. Pure.
//!
//! ```text
//! bytes of a list ─▶ pieces ─┐
//! lines of a watch ──────────┴▶ quick, else wire (borrowed) ─▶ table: samples by selector
//! ```
//!
//! Promises: an answer is read while it arrives, object by object, and never held whole; a sample that comes again with
//! other values changes them in place, so that the steady state keeps nothing new.

mod event;
mod pieces;
mod quick;
mod table;
mod wire;

pub(crate) use event::{Event, Lines};
pub(crate) use pieces::{ListMeta, Piece, Pieces};
pub(crate) use table::{MetricsKey, Table};
pub(crate) use wire::WirePod;

use crate::interned::Interned;
use flyball_model::time::{parse_go_duration, parse_rfc3339_ms};
use std::sync::Arc;

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Unreadable(error.to_string())
    }
}

/// Usage of one pod, in units of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) pod: Arc<str>,
    pub(crate) timestamp_ms: i64,
    pub(crate) window_ms: i64,
    pub(crate) containers: Box<[ContainerUsage]>,
}

/// Usage of one container: resource, milli-units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerUsage {
    pub(crate) name: Arc<str>,
    pub(crate) usage: Box<[(Arc<str>, i64)]>,
}

impl ContainerUsage {
    fn of(&self, resource: &str) -> Option<i64> {
        self.usage.iter().find(|(name, _)| &**name == resource).map(|(_, milli)| *milli)
    }
}

impl Sample {
    /// Usage of the whole pod; `None` if it reports no container, or one without the resource.
    pub(crate) fn whole(&self, resource: &str) -> Option<i64> {
        if self.containers.is_empty() {
            return None;
        }
        let mut containers = self.containers.iter();
        containers.try_fold(0_i64, |sum, container| Some(sum.wrapping_add(container.of(resource)?)))
    }

    /// Usage of one container; `None` if the pod does not report it.
    pub(crate) fn container(&self, container: &str, resource: &str) -> Option<i64> {
        self.containers.iter().find(|each| &*each.name == container)?.of(resource)
    }

    /// The sample of a pod seen for the first time.
    pub(crate) fn new(pod: &WirePod, texts: &mut Texts) -> Sample {
        let containers = pod.containers.iter().map(|container| ContainerUsage {
            name: texts.names.share(container.name()),
            usage: container.usage().map(|(name, milli)| (texts.names.share(name), milli)).collect(),
        });
        Sample {
            pod: pod.name().into(),
            containers: containers.collect(),
            timestamp_ms: texts.timestamp_ms(pod),
            window_ms: texts.window_ms(pod),
        }
    }

    /// Takes in what the API says now; true if that is something new.
    fn update(&mut self, pod: &WirePod, texts: &mut Texts) -> bool {
        let times = (texts.timestamp_ms(pod), texts.window_ms(pod));
        let mut is_new = std::mem::replace(&mut self.timestamp_ms, times.0) != times.0;
        is_new |= std::mem::replace(&mut self.window_ms, times.1) != times.1;
        if self.is_alike(pod) {
            for (container, new) in self.containers.iter_mut().zip(&pod.containers) {
                for ((_, milli), (_, new)) in container.usage.iter_mut().zip(new.usage()) {
                    is_new |= std::mem::replace(milli, new) != new;
                }
            }
            return is_new;
        }
        *self = Sample { pod: self.pod.clone(), ..Sample::new(pod, texts) };
        true
    }

    /// Whether the same containers tell of the same resources.
    fn is_alike(&self, pod: &WirePod) -> bool {
        self.containers.len() == pod.containers.len()
            && self.containers.iter().zip(&pod.containers).all(|(old, new)| {
                &*old.name == new.name()
                    && old.usage.len() == new.usage().len()
                    && old.usage.iter().zip(new.usage()).all(|((old, _), (new, _))| &**old == new)
            })
    }
}

/// Texts that many pods share, and what the last times meant.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    names: Interned<str>,
    timestamp: (String, i64),
    window: (String, i64),
}

impl Texts {
    /// A sample without a time is older than any start of a pod.
    fn timestamp_ms(&mut self, pod: &WirePod) -> i64 {
        last_or(&mut self.timestamp, pod.timestamp(), |text| parse_rfc3339_ms(text).unwrap_or(0))
    }

    fn window_ms(&mut self, pod: &WirePod) -> i64 {
        last_or(&mut self.window, pod.window(), |text| {
            let window = parse_go_duration(text).unwrap_or_default();
            i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 2)
        })
    }
}

/// Most pods in a row have the same times.
fn last_or((last, value): &mut (String, i64), text: &str, parse: impl Fn(&str) -> i64) -> i64 {
    if last != text {
        last.clear();
        last.push_str(text);
        *value = parse(text);
    }
    *value
}
