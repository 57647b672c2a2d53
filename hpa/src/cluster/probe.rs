//! The probe: an HPA of our own namespace whose target does not exist, for another HPA loop to complain about.

use super::{Api, encode};
use crate::error::ApiError;
use serde_json::json;

/// Name of the probe, and of the Deployment that does not exist.
pub(crate) const PROBE_NAME: &str = "flyball-hpa-probe";

/// Makes and removes the probe.
pub(crate) struct ProbeHpas {
    api: Api,
    namespace: String,
}

impl ProbeHpas {
    pub(crate) fn new(api: Api, namespace: String) -> Self {
        ProbeHpas { api, namespace }
    }

    fn base(&self) -> String {
        format!("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers", encode(&self.namespace))
    }

    /// Makes the probe; one that an earlier process left is replaced.
    ///
    /// # Errors
    ///
    /// The server's text.
    pub(crate) async fn make(&self) -> Result<(), ApiError> {
        let body = json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": PROBE_NAME,
                "namespace": self.namespace,
                "labels": { "app.kubernetes.io/managed-by": "flyball-hpa" },
                "annotations": {
                    "kubernetes.io/description": "Asks whether another HPA controller runs: one that does writes a \
                        condition on it. Its target does not exist. Flyball removes it within half a minute.",
                },
            },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": PROBE_NAME },
                "minReplicas": 1,
                "maxReplicas": 1,
                "metrics": [{ "type": "Resource", "resource": {
                    "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } }],
            },
        });
        match self.api.post(&self.base(), &body).await {
            Err(error) if error.is_conflict() => {
                self.remove().await?;
                self.api.post(&self.base(), &body).await.map(drop)
            }
            answer => answer.map(drop),
        }
    }

    /// Removes the probe, if it is there.
    ///
    /// # Errors
    ///
    /// The server's text.
    pub(crate) async fn remove(&self) -> Result<(), ApiError> {
        match self.api.delete(&format!("{}/{PROBE_NAME}", self.base())).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }
}
