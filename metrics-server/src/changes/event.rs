//! Changes as the events of a watch, in the form that the client chose. Pure.

use flyball_apiserver::Status;
use flyball_apiserver::negotiation::{Accepted, Encoding, View};
use flyball_apiserver::protobuf::{document, watch_frame};
use flyball_apiserver::table::{IncludeObject, Partial, TableBuilder, WhenEmpty};
use flyball_model::resource_metrics::Typed;
use flyball_model::time::rfc3339_seconds;
use serde::Serialize;
use serde_json::Value;

use super::known::{Change, Kind};
use crate::api::GROUP;
use crate::api::page::Listed;
use crate::objects::COLUMNS;
use crate::protobuf;

/// Writes the events of one watch.
#[derive(Debug)]
pub(super) struct EventForm {
    pub(super) accepted: Accepted,
    pub(super) version: &'static str,
    pub(super) include: IncludeObject,
    /// The first Table of a watch has the columns, the others do not.
    pub(super) headers_written: bool,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Added => "ADDED",
            Kind::Modified => "MODIFIED",
            Kind::Deleted => "DELETED",
        }
    }
}

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    object: T,
}

impl EventForm {
    /// The bytes of one event. The object gets the version that a client which has seen the event may come back with.
    pub(super) fn write<T: Listed>(&mut self, change: Change<T>, version: u64, now_ms: i64) -> Vec<u8> {
        let Change { kind, mut object } = change;
        object.metadata_mut().resource_version = Some(version.to_string());
        object.metadata_mut().creation_timestamp = Some(rfc3339_seconds(now_ms));
        match (self.accepted.view, self.accepted.encoding) {
            (View::PartialObjectMetadata(meta), Encoding::Protobuf) => {
                let partial = protobuf::partial(object.metadata());
                watch_frame(kind.name(), &document(meta.api_version(), "PartialObjectMetadata", &partial))
            }
            (_, Encoding::Protobuf) => {
                let version = format!("{GROUP}/{}", self.version);
                watch_frame(kind.name(), &document(&version, T::KIND, &object.to_protobuf()))
            }
            (View::PartialObjectMetadata(meta), _) => {
                line(kind.name(), Partial::of(&self.value(object), meta))
            }
            (View::Table(meta), _) => {
                let mut table = TableBuilder::new(COLUMNS.to_vec(), WhenEmpty::Columns)
                    .metadata("resourceVersion", version.to_string());
                if std::mem::replace(&mut self.headers_written, true) {
                    table = table.without_headers();
                }
                let cells = object.cells().map(Value::from).to_vec();
                table.row(cells, self.value(object));
                line(kind.name(), table.build(meta, self.include))
            }
            _ => line(kind.name(), Typed::object(self.version, object)),
        }
    }

    /// The event that ends a watch which cannot go on.
    pub(super) fn error(&self, status: &Status) -> Vec<u8> {
        match self.accepted.encoding {
            Encoding::Protobuf => watch_frame("ERROR", &status.to_protobuf()),
            _ => line("ERROR", status),
        }
    }

    fn value<T: Listed>(&self, object: T) -> Value {
        serde_json::to_value(Typed::object(self.version, object)).unwrap_or_default()
    }
}

/// One event is one line of JSON.
fn line(kind: &str, object: impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&Event { kind, object }).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
