//! What this program's own user may do, by SelfSubjectAccessReview.

use super::Api;
use crate::error::ApiError;
use crate::permissions::Need;
use serde_json::json;

/// Asks the API server about our own permissions.
pub(crate) struct Access {
    api: Api,
}

impl Access {
    pub(crate) fn new(api: &Api) -> Self {
        Access { api: api.without_fence() }
    }

    /// Whether one request would be allowed.
    ///
    /// # Errors
    ///
    /// The server could not be asked.
    pub(crate) async fn allows(&self, need: &Need) -> Result<bool, ApiError> {
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": need.verb,
                "group": need.group,
                "version": "*",
                "resource": need.resource,
                "subresource": need.subresource,
                "namespace": need.namespace.as_deref().unwrap_or_default(),
                "name": need.name.as_deref().unwrap_or_default(),
            } },
        });
        let answer = self.api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &body).await?;
        Ok(answer["status"]["allowed"] == true)
    }
}
