#![allow(clippy::disallowed_methods, reason = "asks what the time is")]
//! The answers below `/stats` that are Flyball's own: small JSON documents, made beside the threads that serve.

use super::{CollectorHandler, Facts};
use crate::clock::{Clock, SystemClock};
use crate::explain::{Found, Question, Seen};
use crate::history::Recorder;
use crate::history::answer::{EventsQuery, HistoryQuery, Refusal};
use flyball_apiserver::{Query, Response, full};
use flyball_model::exposition::Format;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an explanation waits for the next sweep, beyond one interval; it then does without.
const NEXT_SWEEP_GRACE: Duration = Duration::from_secs(1);
/// How often it looks whether that is there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Values of the last minutes.
    History,
    /// What happened to containers.
    Events,
    /// Where a value comes from.
    Explain,
}

impl Wanted {
    /// By path.
    pub fn of(path: &str) -> Option<Wanted> {
        match path {
            "/stats/history" => Some(Wanted::History),
            "/stats/events" => Some(Wanted::Events),
            "/stats/explain" => Some(Wanted::Explain),
            _ => None,
        }
    }
}

fn history(query: &Query, facts: &Facts, recorder: &Recorder) -> Result<Value, Refusal> {
    let asked = HistoryQuery::parse(query)?;
    let (times, copied) = recorder.read(|store| asked.copy(store));
    asked.answer(&facts.node_name, &times, &copied)
}

fn events(query: &Query, facts: &Facts, recorder: &Recorder) -> Result<Value, Refusal> {
    let asked = EventsQuery::parse(query)?;
    let events = recorder.read(|store| asked.copy(store));
    Ok(EventsQuery::answer(&facts.node_name, &events))
}

impl CollectorHandler {
    /// Answers one of them.
    pub(super) async fn stats(&self, wanted: Wanted, query: Query) -> Response {
        let (facts, recorder) = (self.facts.clone(), self.recorder.clone());
        let made = match wanted {
            Wanted::History => self.beside(move || history(&query, &facts, &recorder)).await,
            Wanted::Events => self.beside(move || events(&query, &facts, &recorder)).await,
            Wanted::Explain => self.explain(&query).await,
        };
        match made {
            Ok(value) => json_answer(StatusCode::OK, &value),
            Err(refusal) => json_answer(refusal.status, &json!({ "error": refusal.message })),
        }
    }

    /// Two looks, the second after the next sweep.
    async fn explain(&self, query: &Query) -> Result<Value, Refusal> {
        let question = Arc::new(Question::parse(query)?);
        let (first, sequence) = self.look(&question).await?;
        let started = Instant::now();
        let patience = self.interval + NEXT_SWEEP_GRACE;
        while self.agent.latest().get().sequence == sequence && started.elapsed() < patience {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (second, _) = self.look(&question).await?;
        Ok(question.answer(&self.facts.node_name, &self.facts.files, &[first, second]))
    }

    /// One look, and the number of the sweep it saw.
    async fn look(&self, question: &Arc<Question>) -> Result<(Found, u64), Refusal> {
        let sweep = self.agent.latest().get();
        if sweep.sequence == 0 {
            return Err(unavailable("the first sweep is not finished"));
        }
        let node_body = match question.is_of_node_endpoint() {
            true => self.node.body(Format::Text004, false).await.map(|body| body.bytes),
            false => None,
        };
        let (facts, question) = (self.facts.clone(), question.clone());
        self.beside(move || {
            let disk = facts.disk.as_ref().map(|disk| disk.latest().get()).unwrap_or_default();
            let machine = facts.machine.get();
            let now_unix_ms = SystemClock.unix_ns().div_euclid(1_000_000);
            let node_body = node_body.as_deref().and_then(|body| std::str::from_utf8(body).ok());
            let seen = Seen { sweep: &sweep, disk: &disk, machine: &machine, node_body, now_unix_ms };
            Ok((question.look(&facts.files, &seen)?, sweep.sequence))
        })
        .await
    }

    /// Does it on a thread for what blocks or takes long, few at a time.
    async fn beside<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(_turn) = self.bodies.acquire().await else { return Err(unavailable("stopping")) };
        let failed = |_| Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "the answer could not be made".to_owned(),
        };
        tokio::task::spawn_blocking(make).await.map_err(failed)?
    }
}

fn unavailable(why: &str) -> Refusal {
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message: why.to_owned() }
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    let mut response = http::Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
