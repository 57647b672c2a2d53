//! Which kind a request's path means, and in which version: HPAs are served as v2 and v1, Events as core and
//! events.k8s.io, each from the one stored form.

use flyball_apiserver::status::Status;
use flyball_model::autoscaling::convert;
use serde_json::{Value, json};

use crate::registry::kinds::{self, Resource};
use crate::registry::{errors, json};

/// How the served form relates to the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Stored,
    HpaV1,
    EventsV1,
}

/// A stored kind as one served version shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// The stored kind.
    pub(crate) resource: &'static Resource,
    /// The served group.
    pub(crate) group: &'static str,
    /// The served version.
    pub(crate) version: &'static str,
    form: Form,
}

/// Everything served, in the order discovery lists it.
pub(crate) fn all() -> impl Iterator<Item = Served> {
    let stored = kinds::ALL.iter().map(|resource| Served {
        resource,
        group: resource.group,
        version: resource.version,
        form: Form::Stored,
    });
    let views = [
        Served { resource: &kinds::HPAS, group: "autoscaling", version: "v1", form: Form::HpaV1 },
        Served { resource: &kinds::EVENTS, group: "events.k8s.io", version: "v1", form: Form::EventsV1 },
    ];
    stored.chain(views)
}

/// What `/apis/<group>/<version>/…/<plural>` means.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<Served> {
    all()
        .find(|served| served.group == group && served.version == version && served.resource.plural == plural)
}

impl Served {
    /// `v1` or `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `PodList`.
    pub(crate) fn list_kind(&self) -> String {
        format!("{}List", self.resource.kind)
    }

    /// Whether objects are served exactly as they are stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.form == Form::Stored
    }

    /// The stored object as this version shows it.
    pub(crate) fn show(&self, object: &Value) -> Result<Value, Status> {
        match self.form {
            Form::Stored => Ok(object.clone()),
            Form::HpaV1 => convert::v2_to_v1(object.clone()).map_err(Status::internal),
            Form::EventsV1 => Ok(event_to_v1(object)),
        }
    }

    /// A client's object in the stored form.
    pub(crate) fn store(&self, object: Value) -> Result<Value, Status> {
        match self.form {
            Form::Stored => Ok(object),
            Form::HpaV1 => {
                let mut object = convert::v1_to_v2(object).map_err(|error| {
                    errors::bad_request(format!("cannot convert to autoscaling/v2: {error}"))
                })?;
                object["apiVersion"] = "autoscaling/v2".into();
                Ok(object)
            }
            Form::EventsV1 => Ok(event_from_v1(object)),
        }
    }
}

/// Members that only changed their name between core/v1 (left) and events.k8s.io/v1 (right).
const EVENT_NAMES: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn event_to_v1(object: &Value) -> Value {
    let mut event = object.clone();
    let map = json::object(&mut event);
    for (core, events) in EVENT_NAMES {
        if let Some(value) = map.remove(core) {
            map.insert(events.to_owned(), value);
        }
    }
    if let Some(component) = map.remove("reportingComponent") {
        map.insert("reportingController".into(), component);
    }
    map.insert("apiVersion".into(), json!("events.k8s.io/v1"));
    event
}

fn event_from_v1(mut event: Value) -> Value {
    let map = json::object(&mut event);
    for (core, events) in EVENT_NAMES {
        if let Some(value) = map.remove(events) {
            map.insert(core.to_owned(), value);
        }
    }
    if let Some(component) = map.remove("reportingController") {
        map.insert("reportingComponent".into(), component);
    }
    map.insert("apiVersion".into(), json!("v1"));
    event
}
