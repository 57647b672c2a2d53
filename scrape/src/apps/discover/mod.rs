//! Discovery in Kubernetes: objects become label sets that relabelling makes targets of.
//!
//! [`world`] is pure: it keeps what is needed of the objects and says which label sets changed. [`follow`] watches the API
//! server and drives it. Jobs that look for the same share one of them.

mod endpoints;
mod follow;
mod lone;
mod meta;
mod node;
mod pod;
mod store;
mod trim;
mod world;

use std::sync::Arc;

use super::labelset::LabelSet;

pub(super) use follow::follow;

/// What one object, or one group of `static_configs`, has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    /// Which one: `pod/default/web-0`.
    pub(super) source: String,
    /// Labels of what may become targets; none when it is gone.
    pub(super) found: Arc<[LabelSet]>,
}

#[cfg(test)]
mod tests;
