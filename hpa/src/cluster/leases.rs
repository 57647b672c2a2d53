//! Leases of coordination.k8s.io/v1.

use super::{Api, encode};
use crate::election::Record;
use crate::error::ApiError;
use crate::rivals::{ACTING, Sighting};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// Reads and writes Leases. Nothing here asks for the lease: it is how one is got.
#[derive(Clone)]
pub(crate) struct Leases {
    api: Api,
}

impl Leases {
    pub(crate) fn new(api: &Api) -> Self {
        Leases { api: api.without_fence() }
    }

    /// Reads one; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The server's text, or no answer in time.
    pub(crate) async fn get(
        &self,
        namespace: &str,
        name: &str,
        limit: Duration,
    ) -> Result<Option<Value>, ApiError> {
        let path = format!("{}/{}", path_of(namespace), encode(name));
        match timeout(limit, self.api.get(&path)).await {
            Ok(Ok(lease)) => Ok(Some(lease)),
            Ok(Err(error)) if error.is_not_found() => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(late(limit)),
        }
    }

    /// Makes one, or replaces the version that was read; gives what is stored.
    ///
    /// # Errors
    ///
    /// A conflict when someone else was faster; the server's text; no answer in time.
    pub(crate) async fn write(&self, lease: &Value, limit: Duration) -> Result<Value, ApiError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let base = path_of(&text(&lease["metadata"]["namespace"]));
        let is_new = lease["metadata"]["resourceVersion"].is_null();
        let write = async {
            match is_new {
                true => self.api.post(&base, lease).await,
                false => {
                    let path = format!("{base}/{}", encode(&text(&lease["metadata"]["name"])));
                    self.api.put(&path, lease).await
                }
            }
        };
        timeout(limit, write).await.unwrap_or_else(|_| Err(late(limit)))
    }

    /// All Leases of a name, in every namespace.
    ///
    /// # Errors
    ///
    /// The server's text.
    pub(crate) async fn of_name(&self, name: &str) -> Result<Vec<Value>, ApiError> {
        let selector = encode(&format!("metadata.name={name}"));
        let list =
            self.api.get(&format!("/apis/coordination.k8s.io/v1/leases?fieldSelector={selector}")).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        // A server that does not know the selector gives all.
        Ok(items.into_iter().filter(|lease| lease["metadata"]["name"] == name).collect())
    }
}

fn late(limit: Duration) -> ApiError {
    ApiError::unanswered(format!("no answer within {} ms", limit.as_millis()))
}

fn path_of(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", encode(namespace))
}

/// The election's part of a Lease.
pub(crate) fn record_of(lease: &Value) -> Record {
    let (spec, text) = (&lease["spec"], |value: &Value| value.as_str().unwrap_or_default().to_owned());
    Record {
        holder: text(&spec["holderIdentity"]),
        duration_seconds: spec["leaseDurationSeconds"].as_i64().unwrap_or(0),
        acquired: text(&spec["acquireTime"]),
        renewed: text(&spec["renewTime"]),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
    }
}

/// A Lease with another record. `acting`: what its annotation is to say; `None` leaves the annotation as it is.
pub(crate) fn with_record(
    lease: Option<&Value>,
    namespace: &str,
    name: &str,
    record: &Record,
    acting: Option<bool>,
) -> Value {
    let mut lease = lease.cloned().unwrap_or_else(|| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "namespace": namespace, "name": name },
        })
    });
    lease["spec"] = json!({
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration_seconds,
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    });
    if let Some(metadata) = lease["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            match acting {
                Some(true) => drop(annotations.insert(ACTING.into(), "true".into())),
                Some(false) => drop(annotations.remove(ACTING)),
                None => {}
            }
        }
    }
    lease
}

/// What a Lease says to other installations.
pub(crate) fn sighting(lease: &Value) -> Sighting {
    let (metadata, record) = (&lease["metadata"], record_of(lease));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Sighting {
        namespace: text(&metadata["namespace"]),
        holder: record.holder,
        renewed: record.renewed,
        duration_seconds: record.duration_seconds,
        created: text(&metadata["creationTimestamp"]),
        acting: metadata["annotations"][ACTING] == "true",
    }
}
