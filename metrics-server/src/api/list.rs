//! Lists: all at once as upstream, or in pieces.

use std::sync::Arc;

use flyball_apiserver::negotiation::{View, refuse_partial_of_list};
use flyball_apiserver::table::PartialList;
use flyball_apiserver::{Response, Status};
use flyball_model::resource_metrics::{List, ListMeta, Typed};
use http::StatusCode;
use serde_json::Value;

use super::continuation::Continuation;
use super::form::Form;
use super::page::{Key, Listed, PAGE_OBJECTS, Selection};
use crate::changes::{Known, Scope};
use crate::options::Pieces;
use crate::protobuf;
use crate::server::MetricsServer;

/// Answers a list of everything that is selected.
pub(super) fn whole<T: Listed>(
    server: &Arc<MetricsServer>,
    form: &Form,
    selection: &Selection,
    now_ms: i64,
) -> Result<Response, Status> {
    if form.streams()
        && let Some(response) = T::streamed(server, form, selection, now_ms)
    {
        return Ok(response);
    }
    let mut items: Vec<T> = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = T::page(server, selection, after.as_ref(), PAGE_OBJECTS, now_ms);
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    items.iter().for_each(|item| server.served(item, now_ms));
    write(form, items, ListMeta::default())
}

/// Answers one piece of a list.
pub(super) fn piece<T: Listed>(
    server: &Arc<MetricsServer>,
    form: &Form,
    selection: &Selection,
    scope: Scope,
    pieces: &Pieces,
    now_ms: i64,
) -> Result<Response, Status> {
    let mut items: Vec<T> = Vec::new();
    let mut after: Option<Key> = pieces.from.as_ref().map(|from| from.after.clone());
    loop {
        let missing = pieces.limit.get() - items.len();
        let page = T::page(server, selection, after.as_ref(), missing, now_ms);
        items.extend(page.items);
        after = page.next;
        if after.is_none() || items.len() == pieces.limit.get() {
            break;
        }
    }
    let version = state(server, scope, pieces, &items, now_ms);
    // Counted only where all objects are meant, as upstream's other servers do.
    let remaining = after.as_ref().map(|after| T::count_after(server, selection, after)).unwrap_or(0);
    let after = after.filter(|_| remaining > 0);
    let metadata = ListMeta {
        resource_version: Some(version.to_string()),
        remaining_item_count: i64::try_from(remaining)
            .ok()
            .filter(|_| after.is_some() && selection.selectors.wants_all()),
        continue_token: after.map(|after| Continuation { version, after }.write()),
    };
    items.iter().for_each(|item| server.served(item, now_ms));
    write(form, items, metadata)
}

/// Keeps what the client has seen with this piece and those before, for a watch that goes on from there.
fn state<T: Listed>(server: &MetricsServer, scope: Scope, pieces: &Pieces, items: &[T], now_ms: i64) -> u64 {
    let (version, mut known) = match &pieces.from {
        None => (server.versions.next(), Arc::<Known>::default()),
        Some(from) => match server.versions.find(from.version, &scope, now_ms) {
            Some(known) => (from.version, known),
            // Begun elsewhere or long ago: nobody can watch from here, which they are told when they try.
            None => return from.version,
        },
    };
    Arc::make_mut(&mut known).learn(items);
    server.versions.keep(version, scope, known, now_ms);
    version
}

fn write<T: Listed>(form: &Form, items: Vec<T>, metadata: ListMeta) -> Result<Response, Status> {
    match form.accepted.view {
        View::Table(_) => form.table(items, &metadata),
        View::PartialObjectMetadata(_) => Err(refuse_partial_of_list(T::GO_LIST)),
        View::PartialObjectMetadataList(version) if form.is_protobuf() => {
            let items = items.iter().map(|item| protobuf::partial(item.metadata()));
            let list = protobuf::partial_list(version, &metadata, items);
            Ok(form.protobuf(version.api_version(), "PartialObjectMetadataList", &list))
        }
        View::Object if form.is_protobuf() => {
            let list = protobuf::list(&metadata, items.iter().map(T::to_protobuf));
            Ok(form.protobuf(&form.api_version(), T::LIST_KIND, &list))
        }
        View::PartialObjectMetadataList(version) => {
            let values: Vec<Value> =
                items.into_iter().map(|item| form.value(item)).collect::<Result<_, _>>()?;
            let metadata = serde_json::to_value(metadata).map_err(Status::internal)?;
            Ok(form.accepted.write(StatusCode::OK, &PartialList::of(metadata, &values, version)))
        }
        _ => Ok(form.accepted.write(StatusCode::OK, &Typed::list(form.version, List { metadata, items }))),
    }
}
