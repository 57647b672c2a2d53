//! Decisions for people: `decisions.flyball.io/v1`, and what `flyball explain` makes of it.
//!
//! Each evaluation leaves what it looked at ([`evidence`]) in the [`book`]. Trace and counterfactuals are made when someone
//! asks, by the code that decides, from the same inputs: deciding itself never pays for them.

mod api;
mod book;
pub mod counterfactual;
mod edges;
mod evidence;
mod object;
mod openapi;
mod own_account;
mod peer;
mod words;

pub(crate) use api::{Decisions, group};
pub(crate) use book::Book;
pub(crate) use evidence::{Evidence, Outcome, Page};
pub use object::{GROUP, VERSION};
pub(crate) use openapi::documents;
pub(crate) use own_account::OwnAccount;
pub use peer::Peer;
pub(crate) use peer::{Leader, annotations, fingerprint};
pub use words::words;
