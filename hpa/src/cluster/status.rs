//! Writing an HPA's status.

use super::{Api, encode};
use crate::error::ApiError;
use flyball_model::autoscaling::v2;
use serde_json::json;

/// Writes status, and only status.
#[derive(Clone)]
pub(crate) struct Statuses {
    api: Api,
}

impl Statuses {
    pub(crate) fn new(api: Api) -> Self {
        Statuses { api }
    }

    /// Patches the status subresource; gives the resourceVersion of the result.
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
    ) -> Result<Option<u64>, ApiError> {
        let path = format!(
            "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers/{}/status",
            encode(namespace),
            encode(name)
        );
        let mut status = json!(status);
        // Left out by the type when zero, which a merge patch would read as "keep the old one".
        if status["currentReplicas"].is_null() {
            status["currentReplicas"] = 0.into();
        }
        if status["conditions"].is_null() {
            status["conditions"] = json!([]);
        }
        let answer = self.api.merge_patch(&path, &json!({ "status": status })).await?;
        Ok(answer["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()))
    }
}
