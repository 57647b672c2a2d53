//! The manifests of `deploy/`, as kustomize builds them.
#![allow(clippy::disallowed_methods, reason = "edge: reads the manifests' folders")]

use std::path::{Path, PathBuf};

use flyball_e2e::Kubectl;
use flyball_e2e::plane::Plane;
use serde_json::{Value, json};

/// Folder of all manifests.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

/// Namespace of the metrics server and the autoscaler; Pod Security `restricted` is in force there.
pub const SYSTEM: &str = "flyball-system";

/// kubectl as administrator that takes the namespace from the objects, as users run it.
pub fn installer(plane: &Plane) -> Kubectl {
    plane.admin().in_namespace("")
}

/// One thing that can be installed: a folder for `kubectl apply -k`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Name of its folder.
    pub name: String,
    folder: PathBuf,
}

impl Overlay {
    /// The one of this name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), folder: Path::new(DEPLOY).join("overlays").join(name) }
    }

    /// All there are.
    pub fn all() -> Vec<Self> {
        let folder = Path::new(DEPLOY).join("overlays");
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .expect("deploy/overlays is read")
            .map(|entry| entry.expect("an overlay").file_name().into_string().expect("a name"))
            .collect();
        names.sort_unstable();
        names.iter().map(|name| Self::named(name)).collect()
    }

    /// The folder, as kubectl takes it.
    pub fn folder(&self) -> &str {
        self.folder.to_str().expect("a path in UTF-8")
    }

    /// What is installed, in the order in which it is.
    pub fn objects(&self, kubectl: &Kubectl) -> Vec<Value> {
        let text = kubectl.ok(&["kustomize", self.folder()]);
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{} is no YAML: {error}", self.name))
    }

    /// Installs it and waits for nothing; returns what kubectl printed.
    pub fn install(&self, kubectl: &Kubectl) -> String {
        kubectl.ok(&["apply", "-k", self.folder()])
    }

    /// Removes it, if any of it is there, and waits until it is gone.
    pub fn uninstall(&self, kubectl: &Kubectl) {
        kubectl.ok(&["delete", "-k", self.folder(), "--ignore-not-found"]);
    }
}

/// The example manifests' files.
pub fn examples() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(DEPLOY).join("examples"))
        .expect("deploy/examples is read")
        .map(|entry| entry.expect("an example").path())
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .collect();
    files.sort_unstable();
    files
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The one object of this kind and name.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name} is shipped"))
}

/// A text of an object, such as `/metadata/name`.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} of {object}"))
}

/// The elements of a list in an object; none where there is no list.
pub fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// A pod as a workload's controller makes it.
pub fn pod_of(workload: &Value, namespace: &str) -> Value {
    let template = &workload["spec"]["template"];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": workload["metadata"]["name"],
            "namespace": namespace,
            "labels": template["metadata"]["labels"],
        },
        "spec": template["spec"],
    })
}

/// What the first container of a workload is started with, references to its environment filled in.
pub fn arguments(workload: &Value, environment: &[(&str, &str)]) -> Vec<String> {
    let filled = |argument: &Value| {
        let text = argument.as_str().expect("an argument is text").to_owned();
        environment.iter().fold(text, |text, (name, value)| text.replace(&format!("$({name})"), value))
    };
    list(workload, "/spec/template/spec/containers/0/args").map(filled).collect()
}
