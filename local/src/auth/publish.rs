//! The ConfigMap `kube-system/extension-apiserver-authentication`, from which aggregated servers learn whom to trust.

use flyball_apiserver::status::Status;
use serde_json::{Value, json};

use super::identity::{FRONT_PROXY_NAME, Identity};
use crate::registry::{Part, Registry, kinds};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// Creates or refreshes the ConfigMap.
pub fn publish(registry: &Registry, identity: &Identity) -> Result<(), Status> {
    let data = data(identity);
    let written = registry.modify(&kinds::CONFIGMAPS, NAMESPACE, NAME, Part::Spec, |object| {
        object["data"] = data.clone();
    });
    match written {
        Err(status) if status.code() == 404 => {
            let object = json!({"metadata": {"name": NAME}, "data": data});
            registry.create(&kinds::CONFIGMAPS, NAMESPACE, object).map(drop)
        }
        other => other.map(drop),
    }
}

fn data(identity: &Identity) -> Value {
    json!({
        "client-ca-file": identity.ca.certificate_pem(),
        "requestheader-client-ca-file": identity.front_proxy_ca.certificate_pem(),
        "requestheader-username-headers": json!(["X-Remote-User"]).to_string(),
        "requestheader-uid-headers": json!(["X-Remote-Uid"]).to_string(),
        "requestheader-group-headers": json!(["X-Remote-Group"]).to_string(),
        "requestheader-extra-headers-prefix": json!(["X-Remote-Extra-"]).to_string(),
        "requestheader-allowed-names": json!([FRONT_PROXY_NAME]).to_string(),
    })
}
