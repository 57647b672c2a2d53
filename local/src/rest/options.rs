//! The query of lists and watches: upstream's checks of what may be asked for together. Pure.
//!
//! Upstream: apimachinery `pkg/apis/meta/internalversion/validation`. The present is the only version that is kept, so a
//! list of exactly an older one is answered as if that had been compacted away.

use flyball_apiserver::query::Query;
use flyball_apiserver::status::Status;
use flyball_model::field_error::FieldError;

use crate::registry::errors;

const MATCH: &str = "resourceVersionMatch";
const MATCHES: [&str; 3] = ["Exact", "NotOlderThan", ""];

/// Checks the query of a list, `now` being the version of the newest change.
///
/// # Errors
/// 400 for what cannot be read, 422 for what does not go together, 410 for the past, 504 for the future.
pub(super) fn check_list(query: &Query, now: u64) -> Result<(), Status> {
    check_number(query, "timeoutSeconds")?;
    let (version, wanted) = (value(query, "resourceVersion"), value(query, MATCH));
    let continued = !value(query, "continue").is_empty();
    let mut faults = Vec::new();
    if !wanted.is_empty() {
        if version.is_empty() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            faults.push(FieldError::forbidden(MATCH, detail));
        }
        check_match(wanted, continued, &mut faults);
        if wanted == "Exact" && version == "0" {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            faults.push(FieldError::forbidden(MATCH, detail));
        }
    }
    if query.has("sendInitialEvents") {
        faults.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    refuse(&faults)?;
    let version = self::version(query)?;
    if continued && version != 0 {
        return Err(errors::bad_request("specifying resource version is not allowed when using continue"));
    }
    if version > now {
        return Err(errors::from_the_future(version, now));
    }
    if wanted == "Exact" && version < now {
        return Err(errors::expired(format!("too old resource version: {version} ({now})")));
    }
    Ok(())
}

/// Checks the query of a watch.
///
/// # Errors
/// 400 for what cannot be read, 422 for what does not go together.
pub(super) fn check_watch(query: &Query) -> Result<(), Status> {
    check_number(query, "timeoutSeconds")?;
    let (wanted, initial) = (value(query, MATCH), query.has("sendInitialEvents"));
    let mut faults = Vec::new();
    if initial && wanted != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        faults.push(FieldError::forbidden(MATCH, detail));
    }
    if !wanted.is_empty() {
        if !initial {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            faults.push(FieldError::forbidden(MATCH, detail));
        }
        check_match(wanted, !value(query, "continue").is_empty(), &mut faults);
    }
    refuse(&faults)
}

/// `resourceVersion` as a number; 0 when it is not given.
///
/// # Errors
/// 400 when it is none.
pub(super) fn version(query: &Query) -> Result<u64, Status> {
    let text = value(query, "resourceVersion");
    let read = if text.is_empty() { Ok(0) } else { text.parse::<u64>() };
    read.map_err(|_| {
        let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        errors::bad_request(FieldError::invalid("resourceVersion", text, why).to_string())
    })
}

fn check_match(wanted: &str, continued: bool, faults: &mut Vec<FieldError>) {
    if continued {
        let detail = "resourceVersionMatch is forbidden when continue is provided";
        faults.push(FieldError::forbidden(MATCH, detail));
    }
    if !MATCHES.contains(&wanted) {
        faults.push(FieldError::not_supported(MATCH, wanted, &MATCHES));
    }
}

fn check_number(query: &Query, name: &str) -> Result<(), Status> {
    let text = value(query, name);
    if text.is_empty() || text.parse::<i64>().is_ok() {
        return Ok(());
    }
    Err(errors::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}

fn value<'q>(query: &'q Query, name: &str) -> &'q str {
    query.first(name).unwrap_or("")
}

fn refuse(faults: &[FieldError]) -> Result<(), Status> {
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check =
            |query: &str| check_list(&Query::parse(query), 9).map_or_else(|status| status.code(), |()| 200);
        for (query, expected) in [
            ("", 200),
            ("resourceVersion=0", 200),
            ("resourceVersion=3", 200),
            ("resourceVersion=3&resourceVersionMatch=NotOlderThan", 200),
            ("resourceVersion=9&resourceVersionMatch=Exact", 200),
            ("resourceVersion=3&resourceVersionMatch=Exact", 410),
            ("resourceVersion=0&resourceVersionMatch=Exact", 422),
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersion=3&resourceVersionMatch=Newer", 422),
            ("resourceVersion=10", 504),
            ("resourceVersion=a", 400),
            ("resourceVersion=3&continue=x", 400),
            ("resourceVersion=0&continue=x", 200),
            ("sendInitialEvents=true", 422),
            ("timeoutSeconds=a", 400),
            ("timeoutSeconds=5", 200),
        ] {
            assert_eq!(check(query), expected, "{query}");
        }
        let status = check_list(&Query::parse("resourceVersion=10"), 9).unwrap_err();
        assert_eq!(status.message, "Too large resource version: 10, current: 9");
        let details = status.details.unwrap();
        assert_eq!(
            details.causes[0].reason, "ResourceVersionTooLarge",
            "what clients look for before they list anew"
        );
        assert_eq!(details.retry_after_seconds, 1);
    }

    #[test]
    fn watches() {
        let check = |query: &str| {
            check_watch(&Query::parse(query)).map_or_else(|status| status.message, |()| String::new())
        };
        for (query, expected) in [
            ("resourceVersion=3", ""),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", ""),
            (
                "sendInitialEvents=true",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            ("resourceVersion=3&resourceVersionMatch=NotOlderThan", "is forbidden for watch unless"),
            ("timeoutSeconds=a", "strconv.ParseInt: parsing \"a\": invalid syntax"),
        ] {
            let message = check(query);
            assert!(
                message.contains(expected) && message.is_empty() == expected.is_empty(),
                "{query}: {message}"
            );
        }
    }
}
