//! Answers: one object or a list, in the view and encoding the client asked for.

use std::sync::Arc;

use flyball_apiserver::negotiation::{Accepted, Offer, View, refuse_partial_of_list};
use flyball_apiserver::request::{Responder, Response};
use flyball_apiserver::status::Status;
use flyball_apiserver::table::{IncludeObject, Partial, PartialList};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use super::served::Served;
use super::tables::Printed;
use crate::registry::clock;

/// A list as it goes over the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListBody<'a> {
    kind: String,
    api_version: String,
    metadata: &'a Map<String, Value>,
    items: Vec<&'a Value>,
}

/// The forms a request for objects may be answered in.
pub(super) struct Output {
    pub(super) accepted: Accepted,
    pub(super) include: IncludeObject,
    pub(super) served: Served,
}

impl Output {
    /// Negotiates before anything is done, so that a write is never answered with 406.
    pub(super) fn of(
        responder: &Responder,
        query: &flyball_apiserver::query::Query,
        served: Served,
    ) -> Result<Self, Status> {
        let accepted = responder.negotiate(Offer::RESOURCE)?;
        Ok(Self { accepted, include: IncludeObject::of(query)?, served })
    }

    /// Answers with one stored object.
    pub(super) fn object(&self, code: StatusCode, stored: &Arc<Value>) -> Result<Response, Status> {
        let shown = self.shown(stored)?;
        match self.accepted.view {
            View::Table(version) => {
                let mut table = Printed::new(self.served.resource, clock::now_ms());
                table.row(stored, shown);
                let resource_version = stored["metadata"]["resourceVersion"].clone();
                let table = table.metadata("resourceVersion", resource_version);
                Ok(self.accepted.write(code, &table.build(version, self.include)))
            }
            View::PartialObjectMetadata(version) => {
                Ok(self.accepted.write(code, &Partial::of(&shown, version)))
            }
            View::PartialObjectMetadataList(_) => Err(Status::not_acceptable(
                "you requested PartialObjectMetadataList, but the object is not a list",
            )),
            _ => Ok(self.accepted.write(code, &*shown)),
        }
    }

    /// Answers with a list.
    pub(super) fn list(
        &self,
        metadata: &Map<String, Value>,
        stored: &[Arc<Value>],
    ) -> Result<Response, Status> {
        let shown: Vec<Arc<Value>> =
            stored.iter().map(|object| self.shown(object)).collect::<Result<_, _>>()?;
        match self.accepted.view {
            View::Table(version) => {
                let mut table = Printed::new(self.served.resource, clock::now_ms());
                for (stored, shown) in stored.iter().zip(shown) {
                    table.row(stored, shown);
                }
                for (key, value) in metadata {
                    table = table.metadata(key, value.clone());
                }
                Ok(self.accepted.write(StatusCode::OK, &table.build(version, self.include)))
            }
            View::PartialObjectMetadata(_) => Err(refuse_partial_of_list(&self.served.list_kind())),
            View::PartialObjectMetadataList(version) => {
                let objects = shown.iter().map(AsRef::as_ref);
                let list = PartialList::of(metadata.clone().into(), objects, version);
                Ok(self.accepted.write(StatusCode::OK, &list))
            }
            _ => {
                let body = ListBody {
                    kind: self.served.list_kind(),
                    api_version: self.served.api_version(),
                    metadata,
                    items: shown.iter().map(AsRef::as_ref).collect(),
                };
                Ok(self.accepted.write(StatusCode::OK, &body))
            }
        }
    }

    /// The stored object as the served version shows it; the same allocation when they do not differ.
    pub(super) fn shown(&self, stored: &Arc<Value>) -> Result<Arc<Value>, Status> {
        if self.served.is_stored() { Ok(stored.clone()) } else { self.served.show(stored).map(Arc::new) }
    }
}
