//! Deployments and ReplicaSets.

use flyball_apiserver::table::Column;
use serde_json::Value;

use super::cells::{AGE, NAME, age, count, name, of_containers, selector};

const CONTAINERS: Column = Column::new("Containers", "", "Names of each container in the template.").wide();
const IMAGES: Column =
    Column::new("Images", "", "Images referenced by each container in the template.").wide();
const SELECTOR: Column = Column::new("Selector", "", "Label selector for pods.").wide();

pub(super) fn deployment_columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Ready", "", "Number of the pod with ready state"),
        Column::new("Up-to-date", "", "Pods of the current template.").of_type("integer"),
        Column::new("Available", "", "Pods ready for at least minReadySeconds.").of_type("integer"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ]
}

pub(super) fn deployment_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let ready = format!("{}/{}", count(object, "/status/readyReplicas"), count(object, "/spec/replicas"));
    let [containers, images, selector] = template(object);
    vec![
        name(object),
        ready.into(),
        count(object, "/status/updatedReplicas").into(),
        count(object, "/status/availableReplicas").into(),
        age(object, now_ms),
        containers,
        images,
        selector,
    ]
}

pub(super) fn replicaset_columns() -> Vec<Column> {
    vec![
        NAME,
        Column::new("Desired", "", "Replicas is the number of desired replicas.").of_type("integer"),
        Column::new("Current", "", "Pods that exist.").of_type("integer"),
        Column::new("Ready", "", "Pods that are ready.").of_type("integer"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ]
}

pub(super) fn replicaset_cells(object: &Value, now_ms: i64) -> Vec<Value> {
    let [containers, images, selector] = template(object);
    vec![
        name(object),
        count(object, "/spec/replicas").into(),
        count(object, "/status/replicas").into(),
        count(object, "/status/readyReplicas").into(),
        age(object, now_ms),
        containers,
        images,
        selector,
    ]
}

fn template(object: &Value) -> [Value; 3] {
    let spec = object.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    [
        of_containers(spec, "name").into(),
        of_containers(spec, "image").into(),
        selector(object.pointer("/spec/selector")).into(),
    ]
}
