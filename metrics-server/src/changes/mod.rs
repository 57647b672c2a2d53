//! Watches of metrics, which upstream does not have: what changed for a client since it looked last.
//!
//! ```text
//! pages of objects ─▶ known (what the client has seen) ─▶ changes ─▶ events ─▶ stream
//! ```
//!
//! What a watch promises:
//!
//! * An object that gets new metrics or labels is `ADDED` or `MODIFIED`, one that has none any more is `DELETED`, in the
//!   order of lists. Looked at once a second ([`stream`]).
//! * A resource version names a state that was shown to a client, by this replica. One that is not known here (any more)
//!   is 410, and the client lists again ([`versions`]).
//! * A client that does not read costs nothing but what it has seen: nothing is looked at until it reads on.

mod event;
mod known;
mod stream;
mod versions;

pub(crate) use known::Known;
pub(crate) use stream::{Load, watch};
pub(crate) use versions::{Scope, Versions};
