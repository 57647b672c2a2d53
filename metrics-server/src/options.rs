//! The query of a get, list or watch: upstream's checks, in upstream's order. Pure.
//!
//! `resourceVersion` means something to watches only; for a list it is ignored, as upstream ignores it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use flyball_apiserver::{Query, Status};
use flyball_model::field_error::FieldError;
use flyball_model::selector::{FieldSelector, LabelSelector};

use crate::api::continuation::Continuation;

/// Most objects of one piece, whatever the client asks for: a piece is made in memory.
const PIECE_LIMIT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// Which objects are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Selectors {
    labels: LabelSelector,
    fields: FieldSelector,
}

/// A list in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Most objects of this piece.
    pub(crate) limit: NonZeroUsize,
    /// Where the piece before ended.
    pub(crate) from: Option<Continuation>,
}

/// How a watch begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    /// The state that the client has; `None` for none.
    pub(crate) version: Option<String>,
    /// After how long the server ends it; `None` leaves that to the server.
    pub(crate) timeout: Option<Duration>,
}

/// What is asked of a collection.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    pub(crate) selectors: Selectors,
    /// `None`: all at once, as upstream.
    pub(crate) pieces: Option<Pieces>,
    /// `None`: no watch.
    pub(crate) watch: Option<WatchOptions>,
}

impl ListOptions {
    /// Reads the query of a list or watch.
    pub(crate) fn of(query: &Query) -> Result<ListOptions, Status> {
        let timeout_seconds = number(query, "timeoutSeconds")?;
        let limit = number(query, "limit")?;
        let bad = |error: flyball_model::selector::SelectorError| Status::bad_request(error.to_string());
        let labels = LabelSelector::parse(query.first("labelSelector").unwrap_or("")).map_err(bad)?;
        let fields = FieldSelector::parse(query.first("fieldSelector").unwrap_or("")).map_err(bad)?;
        check_fields(&fields)?;
        check_combinations(query)?;
        let selectors = Selectors { labels, fields };
        if query.flag("watch") {
            let version = query.first("resourceVersion").filter(|version| !["", "0"].contains(version));
            let timeout = u64::try_from(timeout_seconds).ok().filter(|seconds| *seconds > 0);
            let watch = WatchOptions {
                version: version.map(str::to_owned),
                timeout: timeout.map(Duration::from_secs),
            };
            return Ok(ListOptions { selectors, pieces: None, watch: Some(watch) });
        }
        Ok(ListOptions { selectors, pieces: pieces(limit, query)?, watch: None })
    }
}

/// A limit that is no positive number is none, as upstream takes it.
fn pieces(limit: i64, query: &Query) -> Result<Option<Pieces>, Status> {
    let token = query.first("continue").filter(|token| !token.is_empty());
    let from = match token {
        Some(token) => Some(Continuation::read(token).ok_or_else(|| {
            Status::bad_request("continue key is not valid: it is none that this API hands out")
        })?),
        None => None,
    };
    let limit = usize::try_from(limit).ok().and_then(NonZeroUsize::new);
    let asked = limit.is_some() || from.is_some();
    Ok(asked.then(|| Pieces { limit: limit.unwrap_or(PIECE_LIMIT).min(PIECE_LIMIT), from }))
}

impl Selectors {
    /// Whether an object is wanted; a node's namespace is empty.
    pub(crate) fn wants(&self, namespace: &str, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.wants_name(namespace, name) && self.wants_labels(labels)
    }

    /// The half of [`Selectors::wants`] that fields decide.
    pub(crate) fn wants_name(&self, namespace: &str, name: &str) -> bool {
        self.fields.matches(|path: &str| match path {
            "metadata.name" => Some(name),
            "metadata.namespace" => Some(namespace),
            _ => None,
        })
    }

    /// The half of it that labels decide.
    pub(crate) fn wants_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.is_empty() || self.labels.matches_map(labels)
    }

    /// Whether all objects are wanted.
    pub(crate) fn wants_all(&self) -> bool {
        self.labels.is_empty() && self.fields.0.is_empty()
    }
}

/// The query of a single get.
pub(crate) fn check_get(query: &Query) -> Result<(), Status> {
    if query.flag("export") {
        return Err(Status::bad_request(
            "the export parameter, deprecated since v1.14, is no longer supported",
        ));
    }
    Ok(())
}

/// A number of the query; 0 when it is not given.
fn number(query: &Query, name: &str) -> Result<i64, Status> {
    match query.first(name) {
        Some(text) if !text.is_empty() => text
            .parse()
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
        _ => Ok(0),
    }
}

fn check_fields(fields: &FieldSelector) -> Result<(), Status> {
    let known = |path: &str| matches!(path, "metadata.name" | "metadata.namespace");
    match fields.0.iter().find(|requirement| !known(&requirement.path)) {
        None => Ok(()),
        Some(requirement) => Err(Status::bad_request(format!(
            "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            requirement.path
        ))),
    }
}

fn check_combinations(query: &Query) -> Result<(), Status> {
    let given = |name: &str| query.first(name).is_some_and(|value| !value.is_empty());
    let mut faults = Vec::new();
    if given("sendInitialEvents") {
        let (field, detail) = match (query.flag("watch"), given("resourceVersionMatch")) {
            (true, false) => (
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            // Clients then list and watch.
            (true, true) => (
                "sendInitialEvents",
                "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            ),
            (false, _) => ("sendInitialEvents", "sendInitialEvents is forbidden for list"),
        };
        faults.push(FieldError::forbidden(field, detail));
    }
    let initial_events = given("sendInitialEvents") && query.flag("watch");
    if given("resourceVersionMatch") && !given("resourceVersion") && !initial_events {
        let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        faults.push(FieldError::forbidden("resourceVersionMatch", detail));
    }
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", &faults)) }
}
