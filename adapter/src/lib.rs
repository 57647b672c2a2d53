//! Custom and external metrics: which metric of which object exists, which query answers for it, what the answer means.
//!
//! * [`config`] reads prometheus-adapter's configuration file; [`schedule`] metrics from a calendar, in the same file;
//! * [`template`] is Go's text/template, as far as queries use it;
//! * [`kinds`] knows the kinds of the cluster: names in singular and plural, groups, scope;
//! * [`rules`] joins them: a compiled rule, the catalogue of what exists, the query for a request, values from an answer;
//! * [`automatic`] makes rules from what is scraped, so that nobody has to write any;
//! * [`explain`] says in words why a metric is there or is not.
//!
//! All of these are pure: they take values and `now`, and return values. Around them:
//!
//! * [`backends`] are asked in PromQL: the own store in process, any server with Prometheus' HTTP API;
//! * [`sources`] are what stands behind the one API, in order: backends with rules, and other metrics servers;
//! * [`cluster`] knows pods, other objects and kinds;
//! * [`Adapter`] puts them together and answers; [`run`] makes a program of it.

mod api;
pub mod automatic;
pub mod backends;
mod cache;
pub mod cluster;
pub mod config;
pub mod explain;
mod inspect;
pub mod kinds;
mod own_metrics;
pub mod rules;
pub mod schedule;
mod server;
mod settings;
pub mod sources;
mod state;
pub mod template;

pub use api::{GROUPS, documents};
pub use inspect::{Explained, Said};
pub use server::{Adapter, AdapterError, Clock, run};
pub use settings::{
    DEFAULT_PORT, OwnSeries, RATE_WINDOW, RELIST_INTERVAL, ScrapeInterval, ServerSettings, Settings,
    own_rate_window,
};
pub use sources::external_without_rules;
pub use state::State;
