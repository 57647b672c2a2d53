//! Kinds that are questions, answered and not stored: TokenReview, SubjectAccessReview, SelfSubjectAccessReview, and the
//! TokenRequest below a ServiceAccount.

use flyball_apiserver::body::BODY_LIMIT_BYTES;
use flyball_apiserver::request::{Request, Response};
use flyball_apiserver::status::Status;
use flyball_apiserver::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};
use flyball_model::field_error::FieldError;
use flyball_model::time::rfc3339_seconds;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::decode;
use crate::auth::tokens::Tokens;
use crate::registry::{Registry, clock, errors, json, kinds, strict};

/// Validity of a token when the request does not say; upstream's default.
const DEFAULT_TOKEN_SECONDS: i64 = 3600;

/// The least validity a request may ask for.
const MIN_TOKEN_SECONDS: i64 = 600;

/// The most; upstream caps at 2^32 seconds, this server at a year.
const MAX_TOKEN_SECONDS: i64 = 365 * 24 * 3600;

/// Answers `POST /apis/<group>/v1/<resource>`, if it is one of the questions.
pub(super) async fn review(tokens: &Tokens, request: Request) -> Result<Response, Status> {
    let attributes = &request.attributes;
    let kind = match (attributes.group.as_str(), attributes.version.as_str(), attributes.resource.as_str()) {
        ("authentication.k8s.io", "v1", "tokenreviews") => "TokenReview",
        ("authorization.k8s.io", "v1", "subjectaccessreviews") => "SubjectAccessReview",
        ("authorization.k8s.io", "v1", "selfsubjectaccessreviews") => "SelfSubjectAccessReview",
        _ => return Err(Status::unknown_resource()),
    };
    if attributes.verb != "create" {
        return Err(Status::method_not_allowed());
    }
    let group = attributes.group.clone();
    let responder = request.respond();
    let user = request.user.clone();
    let headers = request.parts.headers.clone();
    let mut review = decode::parse(&headers, &request.body.collect(BODY_LIMIT_BYTES).await?)?;
    strict::check(&group, "v1", kind, &review).map_err(|why| {
        errors::bad_request(format!("{kind} in version \"v1\" cannot be handled as a {kind}: {why}"))
    })?;
    check_spec(&group, kind, &review)?;
    let status = match kind {
        "TokenReview" => token_review(tokens, &review),
        "SubjectAccessReview" => access(json::text(&review, "/spec/user"), &groups(&review)),
        _ => access(&user.name, &user.groups),
    };
    let map = json::object(&mut review);
    map.insert("kind".into(), kind.into());
    map.insert("apiVersion".into(), format!("{group}/v1").into());
    json::child(map, "metadata");
    map.insert("status".into(), status);
    Ok(responder.object(StatusCode::CREATED, &review))
}

/// Upstream: pkg/registry/authentication/tokenreview and pkg/apis/authorization/validation.
fn check_spec(group: &str, kind: &str, review: &Value) -> Result<(), Status> {
    if kind == "TokenReview" {
        let token = json::text(review, "/spec/token");
        let missing = || errors::bad_request("token is required for TokenReview in authentication");
        return if token.is_empty() { Err(missing()) } else { Ok(()) };
    }
    let given = |name: &str| review.pointer(&format!("/spec/{name}")).filter(|value| !value.is_null());
    let mut faults = Vec::new();
    match (given("resourceAttributes"), given("nonResourceAttributes")) {
        (Some(_), Some(both)) => faults.push(FieldError::invalid(
            "spec.nonResourceAttributes",
            both.clone(),
            "cannot be specified in combination with resourceAttributes",
        )),
        (None, None) => faults.push(FieldError::invalid(
            "spec.resourceAttributes",
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    if kind == "SubjectAccessReview"
        && json::text(review, "/spec/user").is_empty()
        && groups(review).is_empty()
    {
        let detail = "at least one of user or group must be specified";
        faults.push(FieldError::invalid("spec.user", "", detail));
    }
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid(group, kind, "", &faults)) }
}

fn groups(review: &Value) -> Vec<String> {
    json::items(review, "/spec/groups").iter().filter_map(|group| group.as_str().map(str::to_owned)).collect()
}

/// Whoever is authenticated may do everything: this is one person's machine. Identities that a SubjectAccessReview names
/// come from an authenticator, so only the anonymous one is refused.
fn access(user: &str, groups: &[String]) -> Value {
    let anonymous = user == ANONYMOUS || groups.iter().any(|group| group == UNAUTHENTICATED);
    if anonymous || (user.is_empty() && groups.is_empty()) {
        return json!({"allowed": false, "reason": "anonymous requests are denied"});
    }
    json!({"allowed": true, "reason": "every authenticated identity is admin of a one-machine cluster"})
}

fn token_review(tokens: &Tokens, review: &Value) -> Value {
    let audiences: Vec<String> = json::items(review, "/spec/audiences")
        .iter()
        .filter_map(|audience| audience.as_str().map(str::to_owned))
        .collect();
    match tokens.verify(json::text(review, "/spec/token"), &audiences, clock::now_ms()) {
        Ok(verified) => json!({
            "authenticated": true,
            "user": user_info(&verified.user),
            "audiences": verified.audiences,
        }),
        Err(why) => json!({"authenticated": false, "error": why, "user": {}}),
    }
}

fn user_info(user: &User) -> Value {
    let mut groups = user.groups.clone();
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    let mut info = json!({"username": user.name, "groups": groups});
    if let Some(uid) = &user.uid {
        info["uid"] = uid.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// `POST serviceaccounts/NAME/token`, which `kubectl create token` uses.
pub(super) async fn token_request(
    registry: &Registry,
    tokens: &Tokens,
    mut call: Call,
) -> Result<Response, Status> {
    let account = registry.get(&kinds::SERVICEACCOUNTS, call.namespace(), call.name());
    let account = account.ok_or_else(|| errors::not_found(&kinds::SERVICEACCOUNTS, call.name()))?;
    let body = call.body().await?;
    let mut request = decode::parse(&call.headers, &body)?;
    // Clients send the status they have: none, with a zero time.
    json::object(&mut request).remove("status");
    strict::check("authentication.k8s.io", "v1", "TokenRequest", &request).map_err(errors::bad_request)?;
    let seconds = json::int(&request, "/spec/expirationSeconds").unwrap_or(DEFAULT_TOKEN_SECONDS);
    if seconds < MIN_TOKEN_SECONDS {
        let detail = "may not specify a duration less than 10 minutes";
        let fault = FieldError::invalid("spec.expirationSeconds", seconds, detail);
        return Err(Status::invalid("authentication.k8s.io", "TokenRequest", "", &[fault]));
    }
    let expires_ms = clock::now_ms() + seconds.min(MAX_TOKEN_SECONDS) * 1000;
    let audiences: Vec<String> = json::items(&request, "/spec/audiences")
        .iter()
        .filter_map(|audience| audience.as_str().map(str::to_owned))
        .collect();
    let token = tokens.issue(call.namespace(), call.name(), json::uid(&account), &audiences, expires_ms);
    let map = json::object(&mut request);
    map.insert("kind".into(), "TokenRequest".into());
    map.insert("apiVersion".into(), "authentication.k8s.io/v1".into());
    let metadata =
        json!({"name": call.name(), "namespace": call.namespace(), "creationTimestamp": clock::now_text()});
    map.insert("metadata".into(), metadata);
    map.insert("status".into(), json!({"token": token, "expirationTimestamp": rfc3339_seconds(expires_ms)}));
    Ok(call.responder.object(StatusCode::CREATED, &request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_say_what_they_lack() {
        let pods = json!({"verb": "get", "resource": "pods"});
        for (kind, spec, expected) in [
            ("TokenReview", json!({"token": "x"}), ""),
            ("TokenReview", json!({}), "token is required"),
            ("SubjectAccessReview", json!({"user": "u", "resourceAttributes": pods}), ""),
            ("SubjectAccessReview", json!({"groups": ["g"], "resourceAttributes": pods}), ""),
            (
                "SubjectAccessReview",
                json!({"resourceAttributes": pods}),
                "spec.user: Invalid value: \"\": at least one",
            ),
            (
                "SubjectAccessReview",
                json!({"user": "u"}),
                "exactly one of nonResourceAttributes or resourceAttributes",
            ),
            (
                "SelfSubjectAccessReview",
                json!({"resourceAttributes": pods, "nonResourceAttributes": {"path": "/"}}),
                "cannot be specified in combination with resourceAttributes",
            ),
        ] {
            let outcome = check_spec("g", kind, &json!({"spec": spec}));
            let message = outcome.err().map_or_else(String::new, |status| status.message);
            assert!(
                message.contains(expected) && message.is_empty() == expected.is_empty(),
                "{kind} {spec}: {message}"
            );
        }
    }
}
