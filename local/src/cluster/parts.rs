//! The objects that register the parts around the cluster: service accounts, Services, and the API groups behind them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Cluster, HPA_PORT, LocalError, METRICS_SERVER_PORT};
use crate::registry::{Part, Resource, Status, kinds};

/// Names of the parts that run around the cluster.
#[derive(Debug)]
pub struct PartNames;

impl PartNames {
    /// Namespace of their service accounts.
    pub const NAMESPACE: &str = "kube-system";
    /// Service account of the collector.
    pub const COLLECTOR: &str = "flyball-collector";
    /// Service account, and Service, of the metrics server.
    pub const METRICS_SERVER: &str = "metrics-server";
    /// Name the aggregator asks the metrics server's certificate for.
    pub const METRICS_SERVER_HOST: &str = "metrics-server.kube-system.svc";
    /// Service account, and Service, of the autoscaler.
    pub const HPA: &str = "flyball-hpa";
    /// Name the aggregator asks the autoscaler's certificate for.
    pub const HPA_HOST: &str = "flyball-hpa.kube-system.svc";
}

impl Cluster {
    /// The parts' service accounts, and the API groups that they serve.
    pub(super) fn register_parts(&self) -> Result<(), LocalError> {
        let namespace = PartNames::NAMESPACE;
        for name in [PartNames::COLLECTOR, PartNames::METRICS_SERVER, PartNames::HPA] {
            self.ensure(&kinds::SERVICEACCOUNTS, namespace, name, json!({}))?;
        }
        for (name, port) in [(PartNames::METRICS_SERVER, METRICS_SERVER_PORT), (PartNames::HPA, HPA_PORT)] {
            self.register_service(name, port)?;
        }
        self.register_group("metrics.k8s.io", "v1", PartNames::METRICS_SERVER)?;
        self.register_group("metrics.k8s.io", "v1beta1", PartNames::METRICS_SERVER)?;
        self.register_group("history.flyball.io", "v1", PartNames::METRICS_SERVER)?;
        for (group, version) in [
            ("custom.metrics.k8s.io", "v1beta1"),
            ("custom.metrics.k8s.io", "v1beta2"),
            ("external.metrics.k8s.io", "v1beta1"),
        ] {
            self.register_group(group, version, PartNames::METRICS_SERVER)?;
        }
        self.register_group("decisions.flyball.io", "v1", PartNames::HPA)
    }

    /// A Service whose one endpoint is this port of the node.
    fn register_service(&self, name: &str, port: u16) -> Result<(), LocalError> {
        let namespace = PartNames::NAMESPACE;
        let ports = json!([{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]);
        self.ensure(&kinds::SERVICES, namespace, name, json!({"spec": {"ports": ports}}))?;
        let slice = json!({
            "metadata": {"labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "flyball-local",
            }},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.network.node_address()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        });
        self.ensure(&kinds::ENDPOINTSLICES, namespace, name, slice)
    }

    /// An API group that this Service serves.
    fn register_group(&self, group: &str, version: &str, service: &str) -> Result<(), LocalError> {
        let spec = json!({
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": PartNames::NAMESPACE, "name": service, "port": 443},
            "caBundle": STANDARD.encode(self.identity.ca.certificate_pem()),
        });
        self.ensure(&kinds::APISERVICES, "", &format!("{version}.{group}"), json!({"spec": spec}))
    }

    /// Creates the object, or brings the fields of `wanted` up to date where it exists.
    fn ensure(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        wanted: Value,
    ) -> Result<(), LocalError> {
        let refused = |status: Status| LocalError::Object {
            what: format!("{} {name}", resource.kind),
            reason: status.to_string(),
        };
        if self.registry.get(resource, namespace, name).is_none() {
            let mut object = wanted;
            object["metadata"]["name"] = json!(name);
            return self.registry.create(resource, namespace, object).map(drop).map_err(refused);
        }
        let written = self.registry.modify(resource, namespace, name, Part::Spec, |object| {
            merge(object, &wanted);
        });
        written.map(drop).map_err(refused)
    }
}

/// Copies every field of `wanted` into `object`, keeping the fields beside them.
fn merge(object: &mut Value, wanted: &Value) {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => {
            for (key, value) in wanted {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, wanted) => object.clone_from(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_what_is_not_named() {
        let mut object = json!({"spec": {"clusterIP": "127.20.128.1", "ports": [1]}});
        merge(&mut object, &json!({"spec": {"ports": [2]}, "metadata": {"labels": {"a": "b"}}}));
        assert_eq!(
            object,
            json!({"spec": {"clusterIP": "127.20.128.1", "ports": [2]}, "metadata": {"labels": {"a": "b"}}})
        );
    }
}
