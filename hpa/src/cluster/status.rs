//! Writing an HPA's status.

use super::{Api, FIELD_MANAGER, encode};
use crate::error::ApiError;
use crate::kind::ApiKind;
use flyball_model::autoscaling::v2;
use flyball_model::time::parse_rfc3339_ms;
use serde_json::json;

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) version: Option<u64>,
    /// When the API server says that our field manager wrote the status last, unix milliseconds.
    pub(crate) mark: Option<i64>,
}

/// Writes status, and only status.
#[derive(Clone)]
pub(crate) struct Statuses {
    api: Api,
    kind: ApiKind,
}

impl Statuses {
    pub(crate) fn new(api: Api, kind: ApiKind) -> Self {
        Statuses { api, kind }
    }

    fn path(&self, namespace: &str, name: &str) -> String {
        format!(
            "/apis/{}/namespaces/{}/horizontalpodautoscalers/{}/status",
            self.kind.api_version,
            encode(namespace),
            encode(name)
        )
    }

    /// Sets the conditions of the version that was seen, and nothing else: for one that another controller writes too.
    ///
    /// # Errors
    ///
    /// The server's text; a conflict if it was written meanwhile.
    pub(crate) async fn write_conditions(
        &self,
        namespace: &str,
        name: &str,
        seen: Option<&str>,
        conditions: &[v2::HorizontalPodAutoscalerCondition],
    ) -> Result<(), ApiError> {
        let mut body = json!({ "status": { "conditions": conditions } });
        if let Some(seen) = seen {
            body["metadata"] = json!({ "resourceVersion": seen });
        }
        self.api.merge_patch(&self.path(namespace, name), &body).await.map(drop)
    }

    /// Patches the status subresource; gives the resourceVersion of the result, and the time it puts on our writes.
    ///
    /// A merge patch leaves what this program does not know alone. The lists in it are written whole.
    ///
    /// # Errors
    ///
    /// The server's text.
    pub(crate) async fn write(
        &self,
        namespace: &str,
        name: &str,
        status: &v2::HorizontalPodAutoscalerStatus,
    ) -> Result<Written, ApiError> {
        let path = self.path(namespace, name);
        let mut status = json!(status);
        // Left out by the type when zero, which a merge patch would read as "keep the old one".
        if status["currentReplicas"].is_null() {
            status["currentReplicas"] = 0.into();
        }
        if status["conditions"].is_null() {
            status["conditions"] = json!([]);
        }
        let answer = self.api.merge_patch(&path, &json!({ "status": status })).await?;
        let metadata = &answer["metadata"];
        let entries = metadata["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own = entries.iter().find(|e| e["manager"] == FIELD_MANAGER && e["subresource"] == "status");
        Ok(Written {
            version: metadata["resourceVersion"].as_str().and_then(|version| version.parse().ok()),
            mark: own.and_then(|entry| entry["time"].as_str()).and_then(parse_rfc3339_ms),
        })
    }
}
