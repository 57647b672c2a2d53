//! The permissions of the metrics server, each with what it is for. Pure. `deploy/` grants exactly these.

use flyball_apiserver::permissions::Need;

use super::Surroundings;
use crate::api::{GROUP, VERSIONS};

/// Where manifests with the right permissions are.
const APPLY: &str =
    "apply deploy/ again (ClusterRole flyball:metrics-server, or system:metrics-server of the drop-in)";
const DELEGATOR: &str = "bind ClusterRole system:auth-delegator to this account";

/// What is needed with these settings.
pub(super) fn all(settings: &Surroundings) -> Vec<Need> {
    let cluster = |verb, group, resource, without, mend: &str| Need {
        verb,
        group,
        resource,
        namespace: None,
        name: None,
        without,
        mend: mend.to_owned(),
    };
    let mut needs = Vec::new();
    for verb in ["list", "watch"] {
        needs.push(cluster(verb, "", "nodes", "no node is found and nothing is measured", APPLY));
        needs.push(cluster(verb, "", "pods", "no pod has metrics, and collectors are not found", APPLY));
    }
    needs.push(cluster(
        "get",
        "",
        "nodes/metrics",
        "kubelets and collectors answer 403 and nothing is measured",
        APPLY,
    ));
    needs.push(cluster(
        "create",
        "authentication.k8s.io",
        "tokenreviews",
        "clients that come with a token and not through the API server, such as Prometheus, get 401",
        DELEGATOR,
    ));
    needs.push(cluster(
        "create",
        "authorization.k8s.io",
        "subjectaccessreviews",
        "every request of anyone but an administrator gets 500",
        DELEGATOR,
    ));
    for verb in ["get", "list", "watch"] {
        needs.push(Need {
            namespace: Some("kube-system".to_owned()),
            name: Some("extension-apiserver-authentication".to_owned()),
            ..cluster(
                verb,
                "",
                "configmaps",
                "requests through the API server cannot be told from forged ones and get 401",
                "bind Role extension-apiserver-authentication-reader of namespace kube-system to this account",
            )
        });
    }
    if settings.own_service.is_some() {
        needs.extend(VERSIONS.map(|version| Need {
            name: Some(format!("{version}.{GROUP}")),
            ..cluster(
                "get",
                "apiregistration.k8s.io",
                "apiservices",
                "nobody notices that another product owns the metrics API",
                APPLY,
            )
        }));
    }
    if let Some((secret, _)) = &settings.collector_certificate {
        for verb in ["get", "watch", "update"] {
            needs.push(Need {
                namespace: Some(secret.namespace.clone()),
                name: Some(secret.name.clone()),
                ..cluster(
                    verb,
                    "",
                    "secrets",
                    "the collectors' certificate is not made, renewed or trusted",
                    "apply deploy/ again (Role flyball-metrics-server in the collectors' namespace)",
                )
            });
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surroundings::ServiceName;
    use flyball_apiserver::certs::secret::KeptSecret;
    use std::sync::Arc;

    #[test]
    fn needs_follow_the_settings() {
        let secret = KeptSecret { namespace: "ns".into(), name: "s".into(), server_name: "c".into() };
        let full = Surroundings {
            own_service: Some(ServiceName { namespace: "ns".into(), name: "svc".into() }),
            collector_certificate: Some((secret, Arc::new(|_| {}))),
        };
        let actions =
            |settings: &Surroundings| -> Vec<String> { all(settings).iter().map(Need::action).collect() };
        assert_eq!(actions(&Surroundings::default()).len(), 10);
        let with_all = actions(&full);
        for action in ["get secrets ns/s", "get apiservices.apiregistration.k8s.io v1.metrics.k8s.io"] {
            assert!(with_all.iter().any(|known| known == action), "{action} in {with_all:?}");
        }
    }
}
