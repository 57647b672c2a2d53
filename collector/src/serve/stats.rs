//! The answers below `/stats` that are Flyball's own: small JSON documents, made beside the threads that serve.

use super::{CollectorHandler, Facts, text};
use crate::history::Recorder;
use crate::history::answer::{EventsQuery, HistoryQuery, Refusal};
use flyball_apiserver::{Query, Response, full};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Values of the last minutes.
    History,
    /// What happened to containers.
    Events,
}

impl Wanted {
    /// By path.
    pub fn of(path: &str) -> Option<Wanted> {
        match path {
            "/stats/history" => Some(Wanted::History),
            "/stats/events" => Some(Wanted::Events),
            _ => None,
        }
    }

    fn answer(self, query: &Query, facts: &Facts, recorder: &Recorder) -> Result<Value, Refusal> {
        match self {
            Wanted::History => {
                let asked = HistoryQuery::parse(query)?;
                let (times, copied) = recorder.read(|store| asked.copy(store));
                asked.answer(&facts.node_name, &times, &copied)
            }
            Wanted::Events => {
                let asked = EventsQuery::parse(query)?;
                let events = recorder.read(|store| asked.copy(store));
                Ok(EventsQuery::answer(&facts.node_name, &events))
            }
        }
    }
}

impl CollectorHandler {
    /// Answers one of them.
    pub(super) async fn stats(&self, wanted: Wanted, query: Query) -> Response {
        let Ok(_turn) = self.bodies.acquire().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "503 stopping\n");
        };
        let (facts, recorder) = (self.facts.clone(), self.recorder.clone());
        let made = tokio::task::spawn_blocking(move || wanted.answer(&query, &facts, &recorder));
        match made.await {
            Ok(Ok(value)) => json_answer(StatusCode::OK, &value),
            Ok(Err(refusal)) => json_answer(refusal.status, &json!({ "error": refusal.message })),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "500 the body could not be made\n"),
        }
    }
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    let mut response = http::Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
