//! The objects, sorted by what they are to an autoscaler. Pure.

use flyball_model::autoscaling::{apply_defaults, v1, v2};
use flyball_model::selector::LabelSelector;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Kinds with a pod template.
const WORKLOADS: [&str; 8] = [
    "Deployment",
    "StatefulSet",
    "ReplicaSet",
    "ReplicationController",
    "DaemonSet",
    "Job",
    "CronJob",
    "Rollout",
];

/// Group and kind, namespace and name of a scale target.
pub(super) type TargetKey = (String, String, String, String);

/// One autoscaler.
pub(super) struct Autoscaler {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) target: TargetKey,
    /// How to name it to people: `HorizontalPodAutoscaler web`.
    pub(super) title: String,
    /// The object with defaults; `None` for a ScaledObject.
    pub(super) hpa: Option<v2::HorizontalPodAutoscaler>,
    /// Where it cannot be read as one: the field and the reason.
    pub(super) unreadable: Option<(String, String)>,
    /// Fields of its spec that there are not.
    pub(super) unknown: Vec<String>,
    /// The ScaledObject that made it, by name.
    pub(super) made_by: Option<String>,
}

/// A workload.
pub(super) struct Workload<'a> {
    pub(super) namespace: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) object: &'a Value,
}

impl Workload<'_> {
    /// The template of its pods.
    pub(super) fn template(&self) -> &Value {
        let spec = &self.object["spec"];
        if self.kind == "CronJob" { &spec["jobTemplate"]["spec"]["template"] } else { &spec["template"] }
    }

    /// Its selector; `None` if it has none that can be read.
    pub(super) fn selector(&self) -> Option<LabelSelector> {
        let selector = &self.object["spec"]["selector"];
        if self.kind == "ReplicationController" {
            return LabelSelector::from_json(&serde_json::json!({ "matchLabels": selector })).ok();
        }
        LabelSelector::from_json(selector).ok().filter(|selector| !selector.is_empty())
    }

    /// `Deployment web`
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// Everything there is.
pub(super) struct Scene<'a> {
    pub(super) autoscalers: Vec<Autoscaler>,
    pub(super) workloads: Vec<Workload<'a>>,
    pub(super) pods: Vec<&'a Value>,
    /// What namespaces give to containers that ask for nothing.
    pub(super) limit_ranges: Vec<&'a Value>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl<'a> Scene<'a> {
    pub(super) fn of(objects: &'a [Value]) -> Self {
        let mut scene = Scene {
            autoscalers: Vec::new(),
            workloads: Vec::new(),
            pods: Vec::new(),
            limit_ranges: Vec::new(),
        };
        for object in objects {
            let (kind, group) = (text(&object["kind"]), group_of(text(&object["apiVersion"])));
            let metadata = &object["metadata"];
            let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
            match kind {
                "HorizontalPodAutoscaler" => scene.autoscalers.push(autoscaler(object)),
                "ScaledObject" if group == "keda.sh" => scene.autoscalers.push(scaled_object(object)),
                "Pod" => scene.pods.push(object),
                "LimitRange" => scene.limit_ranges.push(object),
                _ if WORKLOADS.contains(&kind) => {
                    scene.workloads.push(Workload { namespace, kind, name, object });
                }
                _ => {}
            }
        }
        scene
    }

    /// The workload that an autoscaler scales, if it is known.
    pub(super) fn target(&self, autoscaler: &Autoscaler) -> Option<&Workload<'a>> {
        let (group, kind, namespace, name) = &autoscaler.target;
        let is_it = |w: &&Workload| {
            let own_group = group_of(text(&w.object["apiVersion"]));
            own_group == group && w.kind == kind && w.namespace == namespace && w.name == name
        };
        self.workloads.iter().find(is_it)
    }

    /// Whether a namespace gives a request of this resource to containers that have none: a limit alone becomes one.
    pub(super) fn gives_request(&self, namespace: &str, resource: &str) -> bool {
        let of_containers = |range: &&&Value| text(&range["metadata"]["namespace"]) == namespace;
        let ranges = self.limit_ranges.iter().filter(of_containers);
        let limits = ranges.flat_map(|range| range["spec"]["limits"].as_array().into_iter().flatten());
        limits.filter(|limit| limit["type"] == "Container").any(|limit| {
            !limit["defaultRequest"][resource].is_null() || !limit["default"][resource].is_null()
        })
    }
}

fn autoscaler(object: &Value) -> Autoscaler {
    let metadata = &object["metadata"];
    let (namespace, name) = (text(&metadata["namespace"]).to_owned(), text(&metadata["name"]).to_owned());
    let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let keda = owners.iter().find(|owner| owner["kind"] == "ScaledObject");
    let reference = &object["spec"]["scaleTargetRef"];
    let target = (
        group_of(text(&reference["apiVersion"])).to_owned(),
        text(&reference["kind"]).to_owned(),
        namespace.clone(),
        text(&reference["name"]).to_owned(),
    );
    let (hpa, unknown, unreadable) = match typed(object) {
        Ok((mut hpa, unknown)) => {
            apply_defaults(&mut hpa);
            (Some(hpa), unknown, None)
        }
        Err(error) => (None, Vec::new(), Some(error)),
    };
    Autoscaler {
        title: format!("HorizontalPodAutoscaler {name}"),
        namespace,
        name,
        target,
        hpa,
        unreadable,
        unknown,
        made_by: keda.map(|owner| text(&owner["name"]).to_owned()),
    }
}

/// A field, and what is wrong with it.
type Wrong = (String, String);

/// The object, and the fields of its spec that there are not.
fn typed(object: &Value) -> Result<(v2::HorizontalPodAutoscaler, Vec<String>), Wrong> {
    match text(&object["apiVersion"]) {
        "autoscaling/v1" => {
            let (old, unknown) = read::<v1::HorizontalPodAutoscaler>(object)?;
            Ok((flyball_model::autoscaling::convert::upgrade(old), unknown))
        }
        "autoscaling/v2" | "autoscaling.flyball.io/v1" => read(object),
        // The beta versions went with Kubernetes 1.25 and 1.26.
        other => Err(("apiVersion".into(), format!("{other:?} is not served: use \"autoscaling/v2\""))),
    }
}

fn read<T: DeserializeOwned>(object: &Value) -> Result<(T, Vec<String>), Wrong> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path_of(&path.to_string()));
    let typed = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(object, &mut note))
        .map_err(|error| (error.path().to_string(), error.inner().to_string()))?;
    // What else metadata may hold is of no concern here.
    unknown.retain(|path| path.starts_with("spec."));
    Ok((typed, unknown))
}

/// `spec.metrics.0.?.name` as `spec.metrics[0].name`.
fn path_of(ignored: &str) -> String {
    let mut path = String::new();
    for part in ignored.split('.').filter(|part| *part != "?") {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(part);
        }
    }
    path
}

fn scaled_object(object: &Value) -> Autoscaler {
    let (metadata, reference) = (&object["metadata"], &object["spec"]["scaleTargetRef"]);
    let (namespace, name) = (text(&metadata["namespace"]).to_owned(), text(&metadata["name"]).to_owned());
    // KEDA's defaults.
    let or = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
    let target = (
        group_of(&or(&reference["apiVersion"], "apps/v1")).to_owned(),
        or(&reference["kind"], "Deployment"),
        namespace.clone(),
        text(&reference["name"]).to_owned(),
    );
    Autoscaler {
        title: format!("ScaledObject {name}"),
        namespace,
        name,
        target,
        hpa: None,
        unreadable: None,
        unknown: Vec::new(),
        made_by: None,
    }
}

/// Labels of an object's metadata.
pub(super) fn labels(metadata: &Value) -> BTreeMap<String, String> {
    let labels = metadata["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
