//! Where values come from: the own store in process, or any server with Prometheus' HTTP API.
//!
//! Promises of every [`Backend`]:
//!
//! * It answers or fails within its own time-out, whatever the other side does; nobody else's question waits for it.
//! * What it holds is bounded: an answer beyond its limit is an error that says so, never half an answer.
//! * Discovery brings names of metrics and of their labels, not series, where the other side can tell these.

mod error;
mod http_client;
mod own;
mod prometheus;
mod settings;
mod tls;
mod token;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};

use flyball_model::exposition::MetricType;
use futures_util::future::BoxFuture;

use crate::rules::Sample;

pub use error::BackendError;
pub(crate) use http_client::{Answered, Asked, HttpClient};
pub use own::{OwnStore, TypesOfMetrics};
pub use prometheus::Prometheus;
pub(crate) use prometheus::encode;
pub use settings::{ClientCertificate, HttpSettings, Pem, SettingsError, Verb};
pub use token::Token;

/// The answer to an instant query.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One value for each series.
    Vector {
        /// The values; the metric's name is among the labels as `__name__` where the query kept it.
        samples: Vec<Sample>,
        /// What the other side says about them, for example that a part of the data is missing.
        warnings: Vec<String>,
    },
    /// A number without labels.
    Scalar {
        /// The number.
        value: f64,
        /// When, Unix milliseconds.
        timestamp_ms: i64,
    },
}

/// Metrics that were found, by name: what labels their series have, all together.
pub type Found = BTreeMap<String, BTreeSet<String>>;

/// What the scraped targets say their metrics are.
pub type Types = BTreeMap<String, MetricType>;

/// Something that can be asked in PromQL.
pub trait Backend: Send + Sync {
    /// What it is called in messages; never an address with credentials in it.
    fn name(&self) -> &str;

    /// Evaluates a query at one moment, Unix milliseconds.
    fn query<'a>(&'a self, query: &'a str, time_ms: i64) -> BoxFuture<'a, Result<Answer, BackendError>>;

    /// Metrics of the series that a selector matches and that had a sample since then, Unix milliseconds.
    fn discover<'a>(&'a self, selector: &'a str, since_ms: i64)
    -> BoxFuture<'a, Result<Found, BackendError>>;

    /// What the scraped targets say their metrics are; empty where the other side does not know.
    fn types(&self) -> BoxFuture<'_, Result<Types, BackendError>>;
}
