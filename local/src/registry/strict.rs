//! Does JSON fit the kind it claims to be? Decodes it into k8s-openapi's type, which is thrown away: what counts is which
//! field did not fit, and which fields nobody knows.

use k8s_openapi::api;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

/// Unknown fields reported at most; upstream stops there too.
const MAX_UNKNOWN: usize = 100;

/// The fields nobody knows, as `spec.replcias`; or where and why the object does not fit its type.
pub type Checked = Result<Vec<String>, String>;

/// Checks an object of a served version.
pub fn check(group: &str, version: &str, kind: &str, object: &Value) -> Checked {
    let decode: fn(&Value) -> Checked = match (group, version, kind) {
        ("", "v1", "Namespace") => decode::<api::core::v1::Namespace>,
        ("", "v1", "Node") => decode::<api::core::v1::Node>,
        ("", "v1", "Pod") => decode::<api::core::v1::Pod>,
        ("", "v1", "Service") => decode::<api::core::v1::Service>,
        ("", "v1", "ConfigMap") => decode::<api::core::v1::ConfigMap>,
        ("", "v1", "Secret") => decode::<api::core::v1::Secret>,
        ("", "v1", "ServiceAccount") => decode::<api::core::v1::ServiceAccount>,
        ("", "v1", "Event") => decode::<api::core::v1::Event>,
        ("events.k8s.io", "v1", "Event") => decode::<api::events::v1::Event>,
        ("discovery.k8s.io", "v1", "EndpointSlice") => decode::<api::discovery::v1::EndpointSlice>,
        ("coordination.k8s.io", "v1", "Lease") => decode::<api::coordination::v1::Lease>,
        ("apps", "v1", "Deployment") => decode::<api::apps::v1::Deployment>,
        ("apps", "v1", "ReplicaSet") => decode::<api::apps::v1::ReplicaSet>,
        ("autoscaling", "v1", "Scale") => decode::<api::autoscaling::v1::Scale>,
        ("autoscaling", "v1", _) => decode::<api::autoscaling::v1::HorizontalPodAutoscaler>,
        ("autoscaling", "v2", _) => autoscaler,
        ("apiregistration.k8s.io", "v1", _) => decode::<apiregistration::v1::APIService>,
        ("authentication.k8s.io", "v1", "TokenReview") => decode::<api::authentication::v1::TokenReview>,
        ("authentication.k8s.io", "v1", "TokenRequest") => decode::<api::authentication::v1::TokenRequest>,
        ("authorization.k8s.io", "v1", "SubjectAccessReview") => {
            decode::<api::authorization::v1::SubjectAccessReview>
        }
        ("authorization.k8s.io", "v1", "SelfSubjectAccessReview") => {
            decode::<api::authorization::v1::SelfSubjectAccessReview>
        }
        _ => return Ok(Vec::new()),
    };
    decode(object)
}

/// To the generated type a quantity is any text.
fn autoscaler(object: &Value) -> Checked {
    let unknown = decode::<api::autoscaling::v2::HorizontalPodAutoscaler>(object)?;
    decode::<flyball_model::autoscaling::v2::HorizontalPodAutoscaler>(object)?;
    Ok(unknown)
}

fn decode<T: DeserializeOwned>(object: &Value) -> Checked {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(object, &mut track);
    let decoded: Result<T, _> = serde_ignored::deserialize(tracked, |path| {
        if unknown.len() < MAX_UNKNOWN {
            unknown.push(text(&path));
        }
    });
    match decoded {
        Ok(_) => Ok(unknown),
        Err(error) => Err(place(track.path().to_string(), &error)),
    }
}

fn place(path: String, error: &serde_json::Error) -> String {
    match path.as_str() {
        "" | "." => error.to_string(),
        path => format!("{path}: {error}"),
    }
}

/// `spec.containers[0].imagee`, the form upstream prints.
fn text(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", text(parent)),
        Path::Map { parent, key } => match text(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            text(parent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_named_with_their_path() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replcias": 1,
            "selector": {}, "template": {"spec": {"containers": [{"name": "a", "imagee": "b"}]}}}});
        let unknown = check("apps", "v1", "Deployment", &object);
        assert_eq!(
            unknown,
            Ok(vec!["spec.replcias".to_owned(), "spec.template.spec.containers[0].imagee".to_owned()])
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_path() {
        let object = json!({"spec": {"replicas": "three"}});
        let error = check("apps", "v1", "Deployment", &object);
        let expected = "spec.replicas: invalid type: string \"three\", expected i32";
        assert_eq!(error, Err(expected.to_owned()));
        let object = json!({"spec": {"behavior": {"scaleDown": {"tolerance": "much"}}}});
        let error = check("autoscaling", "v2", "HorizontalPodAutoscaler", &object).unwrap_err();
        assert!(error.starts_with("spec.behavior.scaleDown.tolerance: quantities must match"), "{error}");
    }
}
