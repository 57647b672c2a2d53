//! `/-/healthy`, `/-/ready` and `/-/reload`, which tools around Prometheus ask beside its API. They are plain paths, each a
//! permission of its own (`nonResourceURLs` of a role), so there is no flag that lets everybody reload.

use flyball_apiserver::Response;
use http::Method;

use super::Shared;
use crate::api::Answer;
use crate::api::serve::written;

/// What is answered here.
pub(super) const PATHS: [&str; 3] = ["/-/healthy", "/-/ready", RELOAD];

const RELOAD: &str = "/-/reload";

/// Answers one of [`PATHS`].
pub(super) async fn answer(shared: &Shared, method: &Method, path: &str) -> Response {
    let (code, text) = match path {
        RELOAD => reload(shared, method).await,
        _ if *method != Method::GET && *method != Method::HEAD => (405, "Method Not Allowed".to_owned()),
        "/-/ready" if shared.open.get().is_none() => {
            (503, format!("history is not available: {}", shared.reason()))
        }
        "/-/ready" => (200, "history is ready".to_owned()),
        _ => (200, "history is healthy".to_owned()),
    };
    let body = if text.is_empty() { text } else { text + "\n" };
    written(Answer::text(code, body), false)
}

async fn reload(shared: &Shared, method: &Method) -> (u16, String) {
    if *method != Method::POST && *method != Method::PUT {
        return (405, "Only POST or PUT requests allowed".to_owned());
    }
    match shared.about.scraped.reload().await {
        Ok(()) => (200, String::new()),
        Err(reason) => (500, format!("failed to reload config: {reason}")),
    }
}
