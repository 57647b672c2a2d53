//! The scale subresource of anything that has one.

use super::{Api, Mapping};
use crate::decide::Scale;
use crate::error::ApiError;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Attempts of one write, upstream's `retry.DefaultRetry`.
const ATTEMPTS: usize = 5;
/// Pause between them. Upstream adds up to a tenth at random, which makes no difference here.
const PAUSE: Duration = Duration::from_millis(10);

/// A scale, to decide on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScaleObject {
    /// Replica counts; absent fields are zero, as in Go.
    pub(crate) counts: Scale,
    /// `status.selector`, empty if there is none.
    pub(crate) selector: Arc<str>,
    /// `None`: it is what the target shows, which cannot be written.
    read: Option<Box<Read>>,
}

/// As read. Fields that this program does not know stay in it and are written back.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    path: String,
    object: Value,
}

impl ScaleObject {
    /// A scale as its target shows it: to decide on, never to write.
    pub(crate) fn observed(counts: Scale, selector: Arc<str>) -> Self {
        ScaleObject { counts, selector, read: None }
    }

    fn read(path: String, object: Value) -> Self {
        let count = |value: &Value| i32::try_from(value.as_i64().unwrap_or(0)).unwrap_or(i32::MAX);
        let counts = Scale {
            spec_replicas: count(&object["spec"]["replicas"]),
            status_replicas: count(&object["status"]["replicas"]),
        };
        let selector = object["status"]["selector"].as_str().unwrap_or_default().into();
        ScaleObject { counts, selector, read: Some(Box::new(Read { path, object })) }
    }
}

/// Reads and writes scales.
#[derive(Clone)]
pub(crate) struct Scales {
    api: Api,
}

impl Scales {
    pub(crate) fn new(api: Api) -> Self {
        Scales { api }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// The server's text, for example `deployments.apps "web" not found`.
    pub(crate) async fn get(
        &self,
        mapping: &Mapping,
        namespace: &str,
        name: &str,
    ) -> Result<ScaleObject, ApiError> {
        let path = format!("{}/scale", mapping.path(namespace, name));
        match self.api.get(&path).await {
            Ok(object) => Ok(ScaleObject::read(path, object)),
            Err(error) => Err(super::generic_message(error, "get", &mapping.group_resource())),
        }
    }

    /// Writes the replica count into the whole object, with the version it was read at. On a conflict the object is read
    /// again and the same count written; nothing is decided anew.
    ///
    /// # Errors
    ///
    /// The last write's error: a conflict that stayed, or anything else at once.
    pub(crate) async fn set(&self, scale: &mut ScaleObject, replicas: i32) -> Result<(), ApiError> {
        let Some(read) = scale.read.take() else {
            return Err(ApiError::unanswered("the scale was not read before it was to be written"));
        };
        let Read { path, mut object } = *read;
        let mut attempt = 1;
        loop {
            if !object["spec"].is_object() {
                object["spec"] = Value::Object(serde_json::Map::new());
            }
            object["spec"]["replicas"] = replicas.into();
            let error = match self.api.put(&path, &object).await {
                Ok(object) => {
                    *scale = ScaleObject::read(path, object);
                    return Ok(());
                }
                Err(error) => error,
            };
            match self.api.get(&path).await {
                Ok(again) => object = again,
                Err(error) => tracing::warn!(path, %error, "cannot read the scale again"),
            }
            if !error.is_conflict() || attempt >= ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
