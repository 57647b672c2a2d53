//! The first contact with the API server: what can never work ends the program with one sentence, the rest is waited for.

use crate::cluster::Api;
use crate::error::{ApiError, HpaError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause between two attempts.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// What is the matter is told again after this time.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Credentials that cannot change are given up when they were refused for this long; an API server that has just started
/// may not know its service accounts yet.
const REFUSED_FOR: Duration = Duration::from_secs(20);

/// The API server and the credentials for it, as far as sentences about them need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// For example `https://10.0.0.1:443`.
    pub url: String,
    /// Nothing re-reads the credentials while the process runs: a token or certificate written into a kubeconfig.
    pub has_fixed_credentials: bool,
    /// When a fixed token runs out, unix milliseconds.
    pub token_expires_ms: Option<i64>,
}

/// When a JSON web token runs out, unix milliseconds; `None` if it is no such token or does not say.
pub fn token_expiry_ms(token: &str) -> Option<i64> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    claims["exp"].as_i64()?.checked_mul(1000)
}

/// What an answer to the first request means.
#[derive(Debug, PartialEq, Eq)]
enum Contact {
    /// The server knows us; what we may do is another question.
    Made,
    /// It may come; why it did not.
    Wait(String),
    /// It never will.
    Never(String),
}

fn judge(server: &Server, answer: Result<(), &ApiError>, now_ms: i64, refused_for: Duration) -> Contact {
    let url = &server.url;
    let Err(error) = answer else { return Contact::Made };
    let text = &error.message;
    if error.is_unanswered() {
        if text.contains("invalid peer certificate") || text.contains("InvalidCertificate") {
            return Contact::Never(format!(
                "the certificate of the API server {url} is not accepted ({}): give the certificate-authority of this \
                 cluster, and the server by a name or address that its certificate has, in the kubeconfig (in a pod: the \
                 ConfigMap kube-root-ca.crt)",
                certificate_fault(text)
            ));
        }
        return Contact::Wait(format!("the API server {url} does not answer ({text})"));
    }
    match (error.code, server.token_expires_ms) {
        (401, Some(expired_ms)) if server.has_fixed_credentials && expired_ms < now_ms => {
            let at = flyball_model::time::rfc3339_seconds(expired_ms);
            Contact::Never(format!(
                "the token for the API server {url} expired at {at}: put a new one into the kubeconfig (kubectl create token)"
            ))
        }
        (401, _) if server.has_fixed_credentials && refused_for >= REFUSED_FOR => Contact::Never(format!(
            "the API server {url} refuses the credentials in the kubeconfig (401 Unauthorized): they are expired, revoked or \
             of another cluster"
        )),
        (401, _) => Contact::Wait(format!("the API server {url} refuses the credentials (401 Unauthorized)")),
        // Forbidden means that it knows us.
        (code, _) if code < 500 && code != 429 => Contact::Made,
        (code, _) => Contact::Wait(format!("the API server {url} is not ready ({code}: {text})")),
    }
}

/// The words behind "invalid peer certificate".
fn certificate_fault(text: &str) -> &str {
    let fault = text.split("invalid peer certificate:").nth(1).unwrap_or(text).trim();
    match fault {
        "UnknownIssuer" => "it is not signed by the certificate authority given",
        other => other,
    }
}

/// Waits until the API server answers.
///
/// # Errors
///
/// It can never work with the settings given.
pub(crate) async fn reach(api: &Api, server: &Server, now_ms: impl Fn() -> i64) -> Result<(), HpaError> {
    let mut told: Option<(String, Instant)> = None;
    let mut refused_since: Option<Instant> = None;
    loop {
        let answer = api.get("/version").await;
        let is_refused = answer.as_ref().is_err_and(|error| error.code == 401);
        let since = *refused_since.get_or_insert_with(Instant::now);
        if !is_refused {
            refused_since = None;
        }
        let refused_for = if is_refused { since.elapsed() } else { Duration::ZERO };
        match judge(server, answer.as_ref().map(|_| ()), now_ms(), refused_for) {
            Contact::Made => {
                if told.is_some() {
                    tracing::info!(server = server.url, "the API server answers");
                }
                return Ok(());
            }
            Contact::Never(sentence) => return Err(HpaError::Unusable(sentence)),
            Contact::Wait(sentence) => {
                let is_news =
                    told.as_ref().is_none_or(|(text, at)| *text != sentence || at.elapsed() >= TELL_EVERY);
                if is_news {
                    tracing::warn!("the API server cannot be reached yet: {sentence}; waiting for it");
                    told = Some((sentence, Instant::now()));
                }
            }
        }
        sleep(RETRY_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(fixed: bool, expires_ms: Option<i64>) -> Server {
        Server { url: "https://api:6443".into(), has_fixed_credentials: fixed, token_expires_ms: expires_ms }
    }

    /// Code, text, fixed credentials, their expiry, refused for, what comes of it.
    type Case = (u16, &'static str, bool, Option<i64>, Duration, &'static str);

    #[test]
    fn only_what_can_never_work_ends_the_program() {
        let long = REFUSED_FOR;
        let unknown_issuer = "client error (Connect): invalid peer certificate: UnknownIssuer";
        let cases: [Case; 10] = [
            (
                0,
                unknown_issuer,
                false,
                None,
                Duration::ZERO,
                "never: not signed by the certificate authority given",
            ),
            (0, "tcp connect error: Connection refused", true, None, long, "wait: Connection refused"),
            (401, "Unauthorized", true, Some(999), Duration::ZERO, "never: expired at 1970-01-01T00:00:00Z"),
            (401, "Unauthorized", true, Some(2_000), Duration::ZERO, "wait: 401"),
            (401, "Unauthorized", true, None, long, "never: of another cluster"),
            (401, "Unauthorized", false, Some(999), long, "wait: 401"),
            (403, "forbidden", true, None, long, "made"),
            (404, "", true, None, long, "made"),
            (503, "starting", true, None, long, "wait: 503: starting"),
            (429, "busy", true, None, long, "wait: 429: busy"),
        ];
        for (code, text, fixed, expires_ms, refused_for, expected) in cases {
            let error = ApiError { code, message: text.into() };
            let found = judge(&server(fixed, expires_ms), Err(&error), 1_000, refused_for);
            let found = match found {
                Contact::Made => "made".to_owned(),
                Contact::Wait(sentence) => format!("wait: {sentence}"),
                Contact::Never(sentence) => format!("never: {sentence}"),
            };
            let (kind, part) = expected.split_once(": ").unwrap_or((expected, ""));
            assert!(found.starts_with(kind) && found.contains(part), "{code} {text}: {found}");
            assert!(kind == "made" || found.contains("https://api:6443"), "{found}");
        }
        assert_eq!(judge(&server(true, None), Ok(()), 0, Duration::ZERO), Contact::Made);
    }

    #[test]
    fn expiry_of_a_token() {
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(token_expiry_ms(&token(r#"{"exp":1700000000}"#)), Some(1_700_000_000_000));
        for other in ["opaque", "a.b", &token("{}"), &token(r#"{"exp":"soon"}"#)] {
            assert_eq!(token_expiry_ms(other), None, "{other}");
        }
    }
}
