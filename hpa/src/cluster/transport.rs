//! One request: time-outs, the API server's wish to be asked later, plain errors, and the fence in front of writes.

use super::FIELD_MANAGER;
use crate::error::ApiError;
use crate::fence::Fence;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// One request may take this long, with all its repetitions.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Repetitions of a request that the server asks to send again later, client-go's limit.
const MAX_REPETITIONS: usize = 10;
/// Largest body of an answer, bytes.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// The last request was answered; before the first answer there is neither.
const HEARD: u8 = 1;
/// It was not, and that was told.
const SILENT: u8 = 2;

/// Body of a write.
enum Payload<'a> {
    None,
    Json(&'a Value),
    MergePatch(&'a Value),
}

/// The client, with time-outs and plain errors.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    fence: Fence,
    /// An outage after the first answer is told once.
    hearing: Arc<AtomicU8>,
}

impl Api {
    pub(crate) fn new(client: Client, fence: Fence) -> Self {
        Api { client, fence, hearing: Arc::default() }
    }

    /// The same, for requests that do not need the lease: those about the lease itself, and reviews of permissions.
    pub(crate) fn without_fence(&self) -> Self {
        Api { fence: Fence::open(), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.get_as(path).await
    }

    /// The answer as a type, without a detour over [`Value`].
    pub(super) async fn get_as<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        parse(&self.send_for_bytes(Method::GET, path, Payload::None).await?)
    }

    /// Reads an answer while it arrives, within the time of one request: lists of metrics are large.
    pub(super) async fn read<E>(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), ApiError>
    where
        ApiError: From<E>,
    {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let mut body = self.answer(Method::GET, path, Payload::None, REQUEST_TIMEOUT).await?;
        let mut length = 0;
        loop {
            let chunk = timeout_at(deadline, next_bytes(&mut body)).await;
            let Some(bytes) = chunk.unwrap_or_else(|_| Err(late(REQUEST_TIMEOUT)))? else { return Ok(()) };
            length += bytes.len();
            if length > MAX_BODY {
                return Err(ApiError::unanswered(format!("an answer of more than {MAX_BODY} bytes")));
            }
            take(&bytes)?;
        }
    }

    /// Opens an answer that does not end by itself.
    pub(super) async fn open(&self, path: &str) -> Result<Stream, ApiError> {
        Ok(Stream(self.answer(Method::GET, path, Payload::None, REQUEST_TIMEOUT).await?))
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Method::PUT, &with_manager(path), Payload::Json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Method::POST, &with_manager(path), Payload::Json(body)).await
    }

    pub(super) async fn merge_patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Method::PATCH, &with_manager(path), Payload::MergePatch(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::DELETE, path, Payload::None).await
    }

    async fn send(&self, method: Method, path: &str, payload: Payload<'_>) -> Result<Value, ApiError> {
        parse(&self.send_for_bytes(method, path, payload).await?)
    }

    async fn send_for_bytes(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
    ) -> Result<Bytes, ApiError> {
        let budget = match method {
            Method::GET => Some(REQUEST_TIMEOUT),
            _ => self.fence.budget(Instant::now(), REQUEST_TIMEOUT),
        };
        let Some(budget) = budget else {
            return Err(ApiError::unanswered("not written: this replica does not hold the lease"));
        };
        let deadline = Instant::now() + budget;
        let body = self.answer(method, path, payload, budget).await?;
        let collected = timeout_at(deadline, Limited::new(body, MAX_BODY).collect()).await;
        let body = match collected {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(ApiError::unanswered(chain(&*error))),
            Err(_) => Err(late(budget)),
        };
        self.told(body)
    }

    /// Sends until there is an answer within `budget`; gives its body, to be read.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        payload: Payload<'_>,
        budget: Duration,
    ) -> Result<Body, ApiError> {
        let deadline = Instant::now() + budget;
        let (content_type, body) = match payload {
            Payload::None => (None, Vec::new()),
            Payload::Json(value) => (Some("application/json"), value.to_string().into_bytes()),
            Payload::MergePatch(value) => {
                (Some("application/merge-patch+json"), value.to_string().into_bytes())
            }
        };
        let request = || {
            let mut request =
                Request::builder().method(method.clone()).uri(path).header(ACCEPT, "application/json");
            if let Some(content_type) = content_type {
                request = request.header(CONTENT_TYPE, content_type);
            }
            request.body(Body::from(body.clone())).map_err(|error| ApiError::unanswered(error.to_string()))
        };
        let mut repetitions = 0;
        loop {
            let Ok(answer) = timeout_at(deadline, self.once(request()?)).await else {
                return self.told(Err(late(budget)));
            };
            match answer {
                Err((error, Some(pause))) if repetitions < MAX_REPETITIONS => {
                    if Instant::now() + pause >= deadline {
                        return self.told(Err(error));
                    }
                    repetitions += 1;
                    sleep(pause).await;
                }
                answer => return self.told(answer.map_err(|(error, _)| error)),
            }
        }
    }

    /// Sends once; an error comes with the pause the server wants before the next attempt.
    async fn once(&self, request: Request<Body>) -> Result<Body, (ApiError, Option<Duration>)> {
        let answer = self.client.send(request).await.map_err(|error| (unsent(&error), None))?;
        let (parts, body) = answer.into_parts();
        if parts.status.is_success() {
            return Ok(body);
        }
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| (ApiError::unanswered(chain(&*error)), None))?.to_bytes();
        let code = parts.status.as_u16();
        let wants_repetition = code == 429 || parts.status.is_server_error();
        let pause = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let pause = pause.filter(|_| wants_repetition).map(Duration::from_secs);
        Err((refused(code, &body), pause))
    }

    /// Tells the log when the server falls silent, and when it answers again; single requests then need not.
    fn told<T>(&self, answer: Result<T, ApiError>) -> Result<T, ApiError> {
        match &answer {
            Err(error) if error.is_unanswered() => {
                // Before the first answer, the first contact has the better words.
                let heard = self.hearing.compare_exchange(HEARD, SILENT, Ordering::AcqRel, Ordering::Acquire);
                if heard.is_ok() {
                    tracing::warn!(%error, "the API server does not answer");
                }
            }
            _ => {
                if self.hearing.swap(HEARD, Ordering::AcqRel) == SILENT {
                    tracing::info!("the API server answers again");
                }
            }
        }
        answer
    }
}

/// An answer that does not end by itself.
pub(crate) struct Stream(Body);

impl Stream {
    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        next_bytes(&mut self.0).await
    }
}

async fn next_bytes(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(ApiError::unanswered(chain(&error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_trailers) => {}
            },
        }
    }
}

fn late(budget: Duration) -> ApiError {
    ApiError::unanswered(format!("no answer within {} s", budget.as_secs()))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::unreadable(&error))
}

fn with_manager(path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}fieldManager={FIELD_MANAGER}")
}

/// The server's words: the message of a Status, or the plain text.
fn refused(code: u16, body: &[u8]) -> ApiError {
    let message = match serde_json::from_slice::<Value>(body) {
        Ok(status) => status["message"].as_str().unwrap_or_default().to_owned(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    ApiError { code, message }
}

fn unsent(error: &kube::Error) -> ApiError {
    match error {
        kube::Error::Api(status) => ApiError { code: status.code, message: status.message.clone() },
        other => ApiError::unanswered(chain(other)),
    }
}

/// An error with its causes; what a cause repeats is told once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        while texts.last().is_some_and(|last| last.contains(&text) && *last != text) {
            texts.pop();
        }
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;
    use http_body_util::Full;
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    /// Answers, and the code, the number of requests and the seconds that come of them.
    type Case = (&'static [(u16, Option<&'static str>)], u16, usize, u64);

    /// A server that answers with these codes and Retry-After headers in turn, then with 200.
    fn api(answers: &'static [(u16, Option<&'static str>)], fence: Fence) -> (Api, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let index = count.fetch_add(1, Ordering::Relaxed);
            async move {
                let (code, pause) = answers.get(index).copied().unwrap_or((200, None));
                let mut answer = Response::builder().status(code);
                if let Some(pause) = pause {
                    answer = answer.header(RETRY_AFTER, pause);
                }
                let body = if code == 200 { "{}" } else { r#"{"kind":"Status","message":"later"}"# };
                Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).unwrap())
            }
        });
        (Api::new(Client::new(service, "default"), fence), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn the_wish_to_be_asked_later_is_honoured() {
        let cases: [Case; 6] = [
            (&[(429, Some("2"))], 200, 2, 2),
            (&[(503, Some("1")), (500, Some("3"))], 200, 3, 4),
            (&[(429, None)], 429, 1, 0),
            (&[(503, None)], 503, 1, 0),
            (&[(409, Some("1"))], 409, 1, 0),
            (&[(429, Some("60"))], 429, 1, 0),
        ];
        for (answers, code, requests, seconds) in cases {
            let (api, asked) = api(answers, Fence::open());
            let started = Instant::now();
            let answer = api.get("/x").await;
            assert_eq!(answer.map_or_else(|error| error.code, |_| 200), code, "{answers:?}");
            assert_eq!((asked.load(Ordering::Relaxed), started.elapsed().as_secs()), (requests, seconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_lease_nothing_is_written() {
        let (api, asked) = api(&[], Fence::closed());
        assert!(api.get("/x").await.is_ok());
        let body = Value::Null;
        assert!(api.put("/x", &body).await.is_err() && api.post("/x", &body).await.is_err());
        assert!(api.merge_patch("/x", &body).await.is_err() && api.delete("/x").await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1, "only the read was sent");
        assert!(api.without_fence().put("/x", &body).await.is_ok());
    }
}
