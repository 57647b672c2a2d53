//! Objects of any kind by label selector: metadata-only lists, kept for a few seconds, each asked for once at a time.
#![allow(clippy::disallowed_methods, reason = "an edge: asks the API server, within a time")]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flyball_model::selector::LabelSelector;
use kube::Client;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::backends::encode;
use crate::cache::{Answers, Weighed};
use crate::kinds::Kind;

/// Most objects of one list.
pub const OBJECTS_LIMIT: usize = 20_000;
/// Objects of one page.
const PAGE: usize = 500;
/// How long a list is kept.
const LIFETIME: Duration = Duration::from_secs(5);
/// Time for one list.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Lists at a time.
const AT_ONCE: usize = 8;
const ACCEPT: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Why objects are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsError {
    /// Nobody can be asked yet.
    #[error("the API server has not been asked yet")]
    NotYet,
    /// It did not answer in time.
    #[error("the API server did not list {what} within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// Resource.
        what: String,
    },
    /// It refused.
    #[error("{what} cannot be listed: {reason}")]
    Refused {
        /// Resource.
        what: String,
        /// What it said.
        reason: String,
    },
    /// More than [`OBJECTS_LIMIT`].
    #[error("the selector picks more than {OBJECTS_LIMIT} {what}: narrow it")]
    TooMany {
        /// Resource.
        what: String,
    },
}

/// An object with what is told of it beside its usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Empty for one in no namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Which objects are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// All of them when absent.
    pub(super) namespace: Option<&'a str>,
    pub(super) labels: &'a LabelSelector,
    /// A field selector, as the API server takes it.
    pub(super) fields: &'a str,
}

/// Lists of objects.
pub(super) struct Objects {
    /// Not there before the adapter runs.
    client: OnceLock<Client>,
    names: Answers<Vec<String>, ObjectsError>,
    described: Answers<Vec<Described>, ObjectsError>,
    permits: Semaphore,
}

impl<T> Weighed for Vec<T> {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Default for Objects {
    fn default() -> Objects {
        Objects {
            client: OnceLock::new(),
            names: Answers::new(LIFETIME),
            described: Answers::new(LIFETIME),
            permits: Semaphore::new(AT_ONCE),
        }
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    /// `null` where some servers have none.
    items: Option<Vec<Object>>,
}

#[derive(Deserialize, Default)]
struct ListMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Objects {
    pub(super) fn ask_with(&self, client: Client) {
        // A second run keeps the first one's.
        let _ = self.client.set(client);
    }

    /// Their names, sorted.
    pub(super) async fn names(
        &self,
        kind: &Kind,
        wanted: Wanted<'_>,
    ) -> Result<Arc<Vec<String>>, ObjectsError> {
        let path = path(kind, wanted);
        let ask = || async {
            let objects = self.list(kind, &path).await?;
            Ok(objects.into_iter().map(|object| object.name).collect())
        };
        self.names.get_or(&path, ask).await
    }

    /// Themselves, sorted by namespace and name.
    pub(super) async fn described(
        &self,
        kind: &Kind,
        wanted: Wanted<'_>,
    ) -> Result<Arc<Vec<Described>>, ObjectsError> {
        let path = path(kind, wanted);
        self.described.get_or(&path, || self.list(kind, &path)).await
    }

    async fn list(&self, kind: &Kind, path: &str) -> Result<Vec<Described>, ObjectsError> {
        let what = kind.group_resource().to_string();
        let client = self.client.get().ok_or(ObjectsError::NotYet)?;
        let work = async {
            let _permit = self.permits.acquire().await.map_err(|_| ObjectsError::NotYet)?;
            let (mut objects, mut next) = (Vec::new(), String::new());
            loop {
                let page = self.page(client, path, &next, &what).await?;
                objects.extend(page.items.into_iter().flatten().map(|object| {
                    let Metadata { namespace, name, labels } = object.metadata;
                    Described { namespace, name, labels }
                }));
                if objects.len() > OBJECTS_LIMIT {
                    return Err(ObjectsError::TooMany { what: what.clone() });
                }
                next = page.metadata.next;
                if next.is_empty() {
                    objects.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
                    return Ok(objects);
                }
            }
        };
        let timeout = ObjectsError::Timeout { what: what.clone() };
        tokio::time::timeout(TIMEOUT, work).await.unwrap_or(Err(timeout))
    }

    async fn page(&self, client: &Client, path: &str, next: &str, what: &str) -> Result<List, ObjectsError> {
        let mut path = path.to_owned();
        if !next.is_empty() {
            path.push_str("&continue=");
            encode(&mut path, next);
        }
        let refuse = |reason: String| ObjectsError::Refused { what: what.to_owned(), reason };
        let request = http::Request::get(path)
            .header(http::header::ACCEPT, ACCEPT)
            .body(Vec::new())
            .map_err(|error| refuse(error.to_string()))?;
        client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) => refuse(status.message.clone()),
            other => refuse(flyball_apiserver::api_error::causes(&other)),
        })
    }
}

/// Where the API server lists them.
fn path(kind: &Kind, wanted: Wanted<'_>) -> String {
    let mut path = if kind.group.is_empty() {
        format!("/api/{}", kind.version)
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    if let Some(namespace) = wanted.namespace {
        path.push_str("/namespaces/");
        encode(&mut path, namespace);
    }
    path.push_str(&format!("/{}?limit={PAGE}", kind.plural));
    let labels = wanted.labels.to_string();
    for (name, selector) in [("labelSelector", labels.as_str()), ("fieldSelector", wanted.fields)] {
        if !selector.is_empty() {
            path.push_str(&format!("&{name}="));
            encode(&mut path, selector);
        }
    }
    path
}
