//! The form of an answer: which version, which encoding, which view. Pure.

use flyball_apiserver::negotiation::{Accepted, Encoding, View};
use flyball_apiserver::protobuf::{Message, document};
use flyball_apiserver::table::{IncludeObject, Partial, TableBuilder, WhenEmpty};
use flyball_apiserver::{Query, Response, Status};
use flyball_model::resource_metrics::{ListMeta, Typed};
use http::StatusCode;
use serde_json::Value;

use super::GROUP;
use crate::objects::{COLUMNS, Item};
use crate::protobuf;

/// What the client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) accepted: Accepted,
    pub(crate) version: &'static str,
    pub(crate) query: Query,
}

impl Form {
    /// One object.
    pub(super) fn one<T: Item>(&self, object: T) -> Result<Response, Status> {
        match self.accepted.view {
            View::Table(_) => self.table(vec![object], &ListMeta::default()),
            View::PartialObjectMetadata(version) if self.is_protobuf() => Ok(self.protobuf(
                version.api_version(),
                "PartialObjectMetadata",
                &protobuf::partial(object.metadata()),
            )),
            View::Object if self.is_protobuf() => {
                Ok(self.protobuf(&self.api_version(), T::KIND, &object.to_protobuf()))
            }
            View::PartialObjectMetadata(version) => {
                Ok(self.accepted.write(StatusCode::OK, &Partial::of(&self.value(object)?, version)))
            }
            View::PartialObjectMetadataList(_) => Err(Status::not_acceptable(format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*metrics.{})",
                T::KIND
            ))),
            _ => Ok(self.accepted.write(StatusCode::OK, &Typed::object(self.version, object))),
        }
    }

    /// Whether a list of it is written piece by piece: whole objects, in the forms that programs ask for.
    pub(super) fn streams(&self) -> bool {
        let indented = self.accepted.encoding == Encoding::Json && self.accepted.pretty;
        self.accepted.view == View::Object && self.accepted.encoding != Encoding::Yaml && !indented
    }

    pub(super) fn is_protobuf(&self) -> bool {
        self.accepted.encoding == Encoding::Protobuf
    }

    pub(super) fn api_version(&self) -> String {
        format!("{GROUP}/{}", self.version)
    }

    pub(super) fn protobuf(&self, api_version: &str, kind: &str, object: &Message) -> Response {
        self.accepted.write_bytes(StatusCode::OK, document(api_version, kind, object))
    }

    /// A table of these objects.
    pub(super) fn table<T: Item>(&self, items: Vec<T>, metadata: &ListMeta) -> Result<Response, Status> {
        let View::Table(meta_version) = self.accepted.view else {
            return Err(Status::internal("a table that nobody asked for"));
        };
        let include = IncludeObject::of(&self.query)?;
        let mut table = TableBuilder::new(COLUMNS.to_vec(), WhenEmpty::Nulls);
        if let Value::Object(metadata) = serde_json::to_value(metadata).map_err(Status::internal)? {
            table = metadata.into_iter().fold(table, |table, (key, value)| table.metadata(&key, value));
        }
        for item in items {
            let cells = item.cells().map(Value::from).to_vec();
            table.row(cells, self.value(item)?);
        }
        Ok(self.accepted.write(StatusCode::OK, &table.build(meta_version, include)))
    }

    pub(super) fn value<T: Item>(&self, object: T) -> Result<Value, Status> {
        serde_json::to_value(Typed::object(self.version, object)).map_err(Status::internal)
    }
}
