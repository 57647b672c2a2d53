//! What an overlay of `deploy/` ships: objects, and the arguments of each program.

use flyball_e2e::plane::Plane;
use serde_json::{Value, json};

use crate::shipped::{Overlay, SYSTEM, arguments, installer};

/// Kinds that are left out: nobody runs containers here, so the programs are processes in their place.
const PODS: [&str; 2] = ["Deployment", "DaemonSet"];

/// Comes when its server serves; until then it would stand in the way of everybody's discovery.
const API_SERVICE: &str = "APIService";

/// The objects of one overlay.
#[derive(Debug)]
pub struct Manifests {
    objects: Vec<Value>,
    namespace: String,
}

impl Manifests {
    /// As `kubectl kustomize` builds it.
    pub fn of_overlay(plane: &Plane, name: &str) -> Self {
        let objects = Overlay::named(name).objects(plane.admin());
        Self { objects, namespace: SYSTEM.to_owned() }
    }

    /// The same for another namespace, with bindings of other names: a second install in one cluster.
    pub fn in_namespace(self, namespace: &str) -> Self {
        let text = Value::Array(self.objects).to_string().replace(SYSTEM, namespace);
        let Value::Array(mut objects) = serde_json::from_str(&text).expect("still JSON") else {
            unreachable!("an array stays one")
        };
        for object in &mut objects {
            let named_once =
                object["kind"] == "ClusterRoleBinding" || object["metadata"]["namespace"] == "kube-system";
            if let (true, Some(name)) = (named_once, object["metadata"]["name"].as_str()) {
                object["metadata"]["name"] = json!(format!("{name}:{namespace}"));
            }
        }
        Self { objects, namespace: namespace.to_owned() }
    }

    /// Namespace of the metrics server and the autoscaler.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn list(&self, wanted: impl Fn(&str) -> bool) -> Value {
        let items: Vec<_> =
            self.objects.iter().filter(|object| object["kind"].as_str().is_some_and(&wanted)).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    /// Applies all but what runs, and what leads to it.
    pub fn apply(&self, plane: &Plane) {
        // Namespaces first: the rest is in them.
        installer(plane).apply(&self.list(|kind| kind == "Namespace"));
        installer(plane)
            .apply(&self.list(|kind| kind != "Namespace" && kind != API_SERVICE && !PODS.contains(&kind)));
    }

    /// Applies what makes the API server send requests to the metrics server. Nobody serves decisions here, and an API
    /// group that nobody serves breaks the deletion of namespaces.
    pub fn apply_api_services(&self, plane: &Plane) {
        let mut list = self.list(|kind| kind == API_SERVICE);
        if let Some(items) = list["items"].as_array_mut() {
            items.retain(|item| item["spec"]["group"] == "metrics.k8s.io");
        }
        installer(plane).apply(&list);
    }

    /// Removes everything but the namespaces, whatever comes of it; the APIServices first.
    pub fn remove(&self, plane: &Plane) {
        let lists = [
            self.list(|kind| kind == API_SERVICE),
            self.list(|kind| kind != API_SERVICE && kind != "Namespace"),
        ];
        for list in lists {
            let arguments = ["delete", "--ignore-not-found", "--wait=false", "--filename=-"];
            let _ = installer(plane).run_with_input(&arguments, &list.to_string());
        }
    }

    /// The arguments of the one container of a Deployment or DaemonSet, with these in place of those of the same name.
    pub fn arguments(&self, name: &str, others: &[String]) -> Vec<String> {
        let flag = |argument: &str| argument.split('=').next().unwrap_or_default().to_owned();
        let replaced: Vec<_> = others.iter().map(|argument| flag(argument)).collect();
        let is_it = |object: &&Value| {
            object["metadata"]["name"] == name
                && object["kind"].as_str().is_some_and(|kind| PODS.contains(&kind))
        };
        let object = self.objects.iter().find(is_it).unwrap_or_else(|| panic!("{name} is not shipped"));
        arguments(object, &[("POD_NAMESPACE", &self.namespace)])
            .into_iter()
            .filter(|argument| !replaced.contains(&flag(argument)))
            .chain(others.iter().cloned())
            .collect()
    }
}
