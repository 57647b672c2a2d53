//! One request on its way to an aggregated server and back.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use flyball_apiserver::body::{Body, BoxError, empty};
use flyball_apiserver::request::{Request, Response};
use flyball_apiserver::status::Status;
use flyball_apiserver::user::{MASTERS, User};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body_util::{BodyExt, Limited};

use super::backend::Backend;

/// Headers that concern one connection only.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Everything that begins so states an identity; only we may state one.
const IDENTITY_PREFIX: &str = "x-remote-";

/// Time for one of our own questions to a backend.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Size of an answer to one of our own questions.
const ASK_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// Sends a client's request on, with the client's identity.
pub(super) async fn forward(backend: &Backend, request: Request) -> Result<Response, Status> {
    let Request { parts, user, body, .. } = request;
    let mut outgoing = http::Request::new(body.into_body());
    *outgoing.method_mut() = parts.method;
    *outgoing.uri_mut() = uri(backend, parts.uri.path_and_query().map_or("/", |path| path.as_str()))?;
    *outgoing.headers_mut() = parts.headers;
    outgoing.headers_mut().remove(http::header::HOST);
    state_identity(outgoing.headers_mut(), &user);
    let answer = send(backend, outgoing).await.map_err(|why| {
        tracing::warn!(group = backend.group, why, "aggregated server did not answer");
        Status::service_unavailable("the server is currently unable to handle the request")
    })?;
    let (mut parts, body) = answer.into_parts();
    drop_hop_by_hop(&mut parts.headers);
    Ok(http::Response::from_parts(parts, body.map_err(BoxError::from).boxed_unsync()))
}

/// Asks a backend a question of our own, as upstream's aggregator does: with or without its groups.
pub(super) async fn ask(
    backend: &Backend,
    path: &str,
    as_master: bool,
) -> Result<(http::StatusCode, Bytes), String> {
    let mut request = http::Request::new(empty());
    *request.uri_mut() = uri(backend, path).map_err(|status| status.message)?;
    let groups: &[&str] = if as_master { &[MASTERS] } else { &[] };
    state_identity(request.headers_mut(), &User::new("system:kube-aggregator", groups.iter().copied()));
    request.headers_mut().insert(http::header::ACCEPT, HeaderValue::from_static("application/json"));
    let asking = async {
        let (parts, body) = send(backend, request).await?.into_parts();
        let body = Limited::new(body, ASK_LIMIT_BYTES).collect().await.map_err(|error| error.to_string())?;
        Ok((parts.status, body.to_bytes()))
    };
    match tokio::time::timeout(ASK_TIMEOUT, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer to {path} within {} s", ASK_TIMEOUT.as_secs())),
    }
}

async fn send(
    backend: &Backend,
    request: http::Request<Body>,
) -> Result<http::Response<hyper::body::Incoming>, String> {
    let connection = backend.connection().await?;
    connection.send(request).await.map_err(|error| format!("{}: {error}", backend.address))
}

fn uri(backend: &Backend, path: &str) -> Result<Uri, Status> {
    let built =
        Uri::builder().scheme("https").authority(backend.server_name.as_str()).path_and_query(path).build();
    built.map_err(|error| Status::bad_request(format!("the path cannot be handed on: {error}")))
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes what a client may have forged and states who it is.
fn state_identity(headers: &mut HeaderMap, user: &User) {
    drop_hop_by_hop(headers);
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(IDENTITY_PREFIX)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    headers.remove(http::header::AUTHORIZATION);
    let mut state = |name: &str, value: &str| {
        let name = HeaderName::try_from(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    state("x-remote-user", &user.name);
    if let Some(uid) = &user.uid {
        state("x-remote-uid", uid);
    }
    for group in &user.groups {
        state("x-remote-group", group);
    }
    for (name, values) in extras(&user.extra) {
        for value in values {
            state(&name, value);
        }
    }
}

/// Extra keys become part of a header name; what cannot stand there is percent-encoded.
fn extras(extra: &BTreeMap<String, Vec<String>>) -> impl Iterator<Item = (String, &Vec<String>)> {
    extra.iter().map(|(key, values)| {
        let key: String = key
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02x}"),
            })
            .collect();
        (format!("x-remote-extra-{key}"), values)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_identity_is_replaced() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "root"),
            ("x-remote-extra-scopes", "all"),
            ("authorization", "Bearer x"),
            ("te", "x"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut user = User::new("bob", ["a", "b"]);
        user.extra.insert("example.org/x".to_owned(), vec!["1".to_owned()]);
        state_identity(&mut headers, &user);
        let all: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(all.len(), 4, "{all:?}");
        assert_eq!(headers["x-remote-user"], "bob");
        assert_eq!(headers.get_all("x-remote-group").iter().count(), 2);
        assert_eq!(headers["x-remote-extra-example.org%2fx"], "1");
    }
}
