//! The query of a get, list or watch: upstream's checks, in upstream's order. Pure.
//!
//! `resourceVersion` means something to watches only; for a list it is ignored, as upstream ignores it.

use std::collections::BTreeMap;
use std::num::{IntErrorKind, NonZeroUsize, ParseIntError};
use std::time::Duration;

use flyball_apiserver::{Query, Status};
use flyball_model::field_error::FieldError;
use flyball_model::selector::{FieldSelector, LabelSelector, SelectorError};

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
        let labels = LabelSelector::parse(query.first("labelSelector").unwrap_or("")).map_err(bad)?;
        let fields = fields(query)?;
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
    let Some(text) = query.first(name) else { return Ok(0) };
    text.parse().map_err(|error: ParseIntError| {
        let reason = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {reason}"))
    })
}

/// The field selector. A term of nothing but an operator says nothing.
fn fields(query: &Query) -> Result<FieldSelector, Status> {
    let mut fields = FieldSelector::parse(query.first("fieldSelector").unwrap_or("")).map_err(bad)?;
    fields.0.retain(|requirement| !(requirement.path.is_empty() && requirement.value.is_empty()));
    let known = |path: &str| matches!(path, "metadata.name" | "metadata.namespace");
    match fields.0.iter().find(|requirement| !known(&requirement.path)) {
        None => Ok(fields),
        Some(requirement) => Err(Status::bad_request(format!(
            "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            requirement.path
        ))),
    }
}

fn bad(error: SelectorError) -> Status {
    Status::bad_request(error.to_string())
}

/// Options that do not go together.
fn check_combinations(query: &Query) -> Result<(), Status> {
    let faults = if query.flag("watch") { watch_faults(query) } else { list_faults(query) };
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", &faults)) }
}

const MATCH: &str = "resourceVersionMatch";
const EVENTS: &str = "sendInitialEvents";
const EXACT: &str = "Exact";
const NOT_OLDER: &str = "NotOlderThan";
const WITH_CONTINUE: &str = "resourceVersionMatch is forbidden when continue is provided";

fn text<'q>(query: &'q Query, name: &str) -> &'q str {
    query.first(name).unwrap_or("")
}

fn list_faults(query: &Query) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let (matching, version) = (text(query, MATCH), text(query, "resourceVersion"));
    if !matching.is_empty() {
        if version.is_empty() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            faults.push(FieldError::forbidden(MATCH, detail));
        }
        if !text(query, "continue").is_empty() {
            faults.push(FieldError::forbidden(MATCH, WITH_CONTINUE));
        }
        if ![EXACT, NOT_OLDER].contains(&matching) {
            faults.push(FieldError::not_supported(MATCH, matching, &[EXACT, NOT_OLDER, ""]));
        }
        if matching == EXACT && version == "0" {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            faults.push(FieldError::forbidden(MATCH, detail));
        }
    }
    if query.has(EVENTS) {
        faults.push(FieldError::forbidden(EVENTS, "sendInitialEvents is forbidden for list"));
    }
    faults
}

fn watch_faults(query: &Query) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let matching = text(query, MATCH);
    if query.has(EVENTS) {
        if matching != NOT_OLDER {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            faults.push(FieldError::forbidden(MATCH, detail));
        }
        if matching == NOT_OLDER {
            // Clients then list and watch.
            let detail =
                "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            faults.push(FieldError::forbidden(EVENTS, detail));
        }
    }
    if !matching.is_empty() {
        if !query.has(EVENTS) {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            faults.push(FieldError::forbidden(MATCH, detail));
        }
        if matching != NOT_OLDER {
            faults.push(FieldError::not_supported(MATCH, matching, &[NOT_OLDER]));
        }
    }
    if !text(query, "continue").is_empty() {
        faults.push(FieldError::forbidden(MATCH, WITH_CONTINUE));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(query: &str) -> String {
        ListOptions::of(&Query::parse(query)).map_or_else(|status| status.message, |_| String::new())
    }

    #[test]
    fn options_are_refused_as_upstream_does() {
        let invalid = |faults: &str| format!("ListOptions.meta.k8s.io \"\" is invalid: {faults}");
        let syntax = |text: &str| format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
        let unsupported = "resourceVersionMatch: Unsupported value: \"x\": supported values: ";
        let alone = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden";
        let needs = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        for (query, expected) in [
            ("limit=", syntax("")),
            ("limit", syntax("")),
            ("timeoutSeconds=1.5", syntax("1.5")),
            (
                "limit=99999999999999999999",
                "strconv.ParseInt: parsing \"99999999999999999999\": value out of range".to_owned(),
            ),
            ("limit=-1&resourceVersion=x&watch=0", String::new()),
            ("resourceVersion=1&resourceVersionMatch=Exact", String::new()),
            (
                "resourceVersionMatch=x",
                invalid(&format!(
                    "[{alone} unless resourceVersion is provided, {unsupported}\"Exact\", \"NotOlderThan\", \"\"]"
                )),
            ),
            (
                "resourceVersion=0&resourceVersionMatch=Exact",
                invalid(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ),
            ),
            (
                "resourceVersion=1&resourceVersionMatch=Exact&continue=x",
                invalid(&format!("{alone} when continue is provided")),
            ),
            (
                "sendInitialEvents=",
                invalid("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
            ),
            ("watch=1&sendInitialEvents=", invalid(needs)),
            (
                "watch=1&resourceVersionMatch=x",
                invalid(&format!(
                    "[{alone} for watch unless sendInitialEvents is provided, {unsupported}\"NotOlderThan\"]"
                )),
            ),
            ("watch=1&continue=x", invalid(&format!("{alone} when continue is provided"))),
            ("fieldSelector=%3D,!%3D", String::new()),
            (
                "fieldSelector=%3Dx",
                "\"\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    .to_owned(),
            ),
        ] {
            assert_eq!(refusal(query), expected, "{query}");
        }
    }
}
