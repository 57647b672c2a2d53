//! Where the APIServices of the group lead to: to us, to another product, or nowhere.

#![allow(clippy::disallowed_methods, reason = "an edge: asks the API server from time to time")]

use std::fmt;
use std::time::Duration;

use flyball_apiserver::{Advice, api_error};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::api::{GROUP, VERSIONS};

/// How often they are looked at.
const INTERVAL: Duration = Duration::from_secs(15);
/// Labels by which products name themselves.
const NAMING_LABELS: [&str; 4] =
    ["app.kubernetes.io/name", "k8s-app", "app.kubernetes.io/instance", "app.kubernetes.io/part-of"];

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Looks until `stop`.
pub(super) async fn watch(client: Client, own: ServiceName, advice: Advice, stop: CancellationToken) {
    let api: Api<APIService> = Api::all(client);
    // Being not Available is news only when it lasts: at the start it always is for a moment.
    let mut unavailable_before = [false; VERSIONS.len()];
    loop {
        let round = async {
            for (version, before) in VERSIONS.into_iter().zip(&mut unavailable_before) {
                let name = format!("{version}.{GROUP}");
                let found = match api.get_opt(&name).await {
                    Ok(found) => found,
                    // The permissions and the connection are watched apart.
                    Err(error) => {
                        tracing::debug!(name, error = api_error::causes(&error), "APIService not read");
                        continue;
                    }
                };
                let finding = match (owner(&name, found.as_ref(), &own), unavailable(&name, found.as_ref())) {
                    (Some(finding), _) => Some(finding),
                    (None, Some(finding)) if std::mem::replace(before, true) => Some(finding),
                    (None, Some(_)) => continue,
                    (None, None) => {
                        *before = false;
                        None
                    }
                };
                advice.set(&format!("api-service {name}"), finding);
            }
            tokio::time::sleep(INTERVAL).await;
        };
        if stop.run_until_cancelled(round).await.is_none() {
            return;
        }
    }
}

/// Who else owns the version, and how to change that.
fn owner(name: &str, found: Option<&APIService>, own: &ServiceName) -> Option<String> {
    let Some(found) = found else {
        // v1 is young: manifests written for metrics-server do not have it, and every client also takes v1beta1.
        return name.starts_with("v1beta1.").then(|| {
            format!(
                "APIService {name} does not exist, so nobody finds the metrics API (kubectl top says `Metrics API not \
                 available`): apply deploy/ again"
            )
        });
    };
    let Some(service) = found.spec.as_ref().and_then(|spec| spec.service.as_ref()) else {
        return Some(format!(
            "APIService {name} names no Service: kube-apiserver takes the group for its own and nothing comes here; \
             delete it and apply deploy/ again"
        ));
    };
    let theirs = ServiceName {
        namespace: service.namespace.clone().unwrap_or_default(),
        name: service.name.clone().unwrap_or_default(),
    };
    if theirs == *own {
        return None;
    }
    let labels = found.metadata.labels.iter().flatten();
    let naming: Vec<String> = labels
        .filter(|(key, _)| NAMING_LABELS.contains(&key.as_str()))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let labelled =
        if naming.is_empty() { String::new() } else { format!(" (labelled {})", naming.join(", ")) };
    Some(format!(
        "APIService {name}{labelled} points to Service {theirs} and not to ours, {own}: requests for it go to the other \
         product. To let this one serve it, apply deploy/ again, which points it here, and then remove the other \
         product; to keep the other, remove this installation"
    ))
}

/// Why the API server does not pass requests on to us.
fn unavailable(name: &str, found: Option<&APIService>) -> Option<String> {
    let conditions = found?.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == "Available")?;
    if condition.status == "True" {
        return None;
    }
    let reason = condition.reason.as_deref().unwrap_or("");
    let message = condition.message.as_deref().unwrap_or("");
    let cure = match reason {
        _ if message.contains("x509") || message.contains("certificate") => {
            "its caBundle must be the CA of this server's --tls-cert-file; without that file the server makes a \
             certificate of its own, and insecureSkipTLSVerify must be true"
        }
        "ServiceNotFound" | "ServicePortError" | "MissingEndpoints" | "EndpointsNotFound" => {
            "see that the Service exists, selects these pods and has the APIService's port"
        }
        "FailedDiscoveryCheck" => {
            "the API server cannot fetch discovery from here: see that nothing (NetworkPolicy, firewall, missing \
             hostNetwork) keeps the control plane from the pod's port"
        }
        _ => "see `kubectl describe apiservice`",
    };
    Some(format!("APIService {name} is not Available ({reason}: {message}); {cure}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(value: Value) -> APIService {
        serde_json::from_value(value).unwrap()
    }

    fn pointing_to(namespace: &str, name: &str, labels: Value, condition: Value) -> APIService {
        service(json!({
            "metadata": {"name": "v1.metrics.k8s.io", "labels": labels},
            "spec": {"service": {"namespace": namespace, "name": name}, "groupPriorityMinimum": 100, "versionPriority": 100},
            "status": {"conditions": [condition]},
        }))
    }

    #[test]
    fn owners_are_named() {
        let own = ServiceName { namespace: "flyball-system".into(), name: "flyball-metrics-server".into() };
        let available = json!({"type": "Available", "status": "True"});
        let ours = pointing_to("flyball-system", "flyball-metrics-server", json!({}), available.clone());
        assert_eq!(owner("v1.metrics.k8s.io", Some(&ours), &own), None);
        assert_eq!(unavailable("v1.metrics.k8s.io", Some(&ours)), None);
        let other =
            pointing_to("kube-system", "metrics-server", json!({"k8s-app": "metrics-server"}), available);
        let told = owner("v1beta1.metrics.k8s.io", Some(&other), &own).unwrap();
        assert!(
            told.contains("(labelled k8s-app=metrics-server) points to Service kube-system/metrics-server and not to ours"),
            "{told}"
        );
        assert!(owner("v1beta1.metrics.k8s.io", None, &own).unwrap().contains("does not exist"));
        assert_eq!(owner("v1.metrics.k8s.io", None, &own), None);
    }

    #[test]
    fn what_keeps_the_api_server_away_is_told() {
        for (reason, message, expected) in [
            ("FailedDiscoveryCheck", "x509: certificate signed by unknown authority", "caBundle"),
            ("FailedDiscoveryCheck", "context deadline exceeded", "NetworkPolicy"),
            ("MissingEndpoints", "endpoints for service/x have no addresses", "selects these pods"),
        ] {
            let condition =
                json!({"type": "Available", "status": "False", "reason": reason, "message": message});
            let told = unavailable("n", Some(&pointing_to("a", "b", json!({}), condition))).unwrap();
            assert!(told.contains(expected) && told.contains(message), "{told}");
        }
    }
}
