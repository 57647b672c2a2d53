//! Prometheus' HTTP API: `/api/v1/…`, from a request to the bytes of an answer.
//!
//! Promise: what Grafana's Prometheus data source asks is answered as Prometheus answers it, byte for byte where the data
//! is the same: envelope, order of fields, numbers as text, error types and codes. Everything but [`serve`] and [`Deadline`] is pure: the
//! time, the limits and what is known of the process ([`facts::Facts`]) come from the caller.

mod deadline;
mod error;
pub mod facts;
mod features;
mod json;
mod labels;
mod page;
mod params;
mod query;
mod result;
pub mod serve;
mod status;
mod tree;

use crate::promql::engine::{Options, Watch};
use crate::series::SeriesSource;
pub use deadline::{Clock, Deadline, StopWhenDropped};
pub use error::{ApiError, ErrorType};
use facts::Facts;
pub use params::Params;
pub use result::ResultText;

/// A request below `/api/v1`.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET` and `POST` are answered.
    pub method: &'a str,
    /// The path behind `/api/v1`, decoded: `/query`.
    pub path: &'a str,
    /// The form and the query of the URL.
    pub params: Params,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's code.
    pub code: u16,
    /// Whether the body is JSON, else plain text.
    pub is_json: bool,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// What follows it and is not written yet.
    pub rest: Option<ResultText>,
}

impl Answer {
    fn json(code: u16, body: Vec<u8>) -> Answer {
        Answer { code, is_json: true, body, rest: None }
    }

    /// A plain text.
    pub(crate) fn text(code: u16, text: impl Into<Vec<u8>>) -> Answer {
        Answer { code, is_json: false, body: text.into(), rest: None }
    }

    /// The body from its beginning to its end.
    pub fn whole(mut self) -> Vec<u8> {
        if let Some(rest) = self.rest {
            rest.whole(&mut self.body);
        }
        self.body
    }
}

/// What answers are made from.
pub struct Api<'a> {
    /// The series.
    pub source: &'a dyn SeriesSource,
    /// What is known of the process.
    pub facts: &'a dyn Facts,
    /// How queries are evaluated.
    pub options: Options,
    /// Now, in Unix milliseconds.
    pub now_ms: i64,
    /// Tells queries when to stop.
    pub watch: &'a dyn Watch,
    /// How long the request takes.
    pub clock: Clock,
}

/// The data of an answer, as JSON, and what there is to say about it.
#[derive(Debug, Default)]
struct Data {
    json: String,
    /// The result of a query instead, with everything around it.
    result: Option<ResultText>,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Data {
    fn of(json: impl Into<String>) -> Data {
        Data { json: json.into(), ..Data::default() }
    }
}

/// What Prometheus says when a limit cut a list.
const TRUNCATED: &str = "results truncated due to limit";

type Outcome = Result<Data, ApiError>;

impl Api<'_> {
    /// Answers a request.
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        let posted = request.method == "POST";
        let may_be_posted = matches!(
            request.path,
            "/query"
                | "/query_range"
                | "/query_exemplars"
                | "/format_query"
                | "/parse_query"
                | "/labels"
                | "/series"
        );
        if request.path == page::PATH && request.method == "GET" {
            let only = request.params.first("scrapePool");
            let body = page::targets(&self.facts.targets(), &self.facts.dropped(), only);
            return Answer::text(200, body);
        }
        let Some(outcome) = self.route(request.path, &request.params) else {
            return Answer::text(404, "404 page not found\n");
        };
        // Whoever asks what is allowed may ask.
        if request.method == "OPTIONS" {
            return Answer::text(204, "");
        }
        let allowed = request.method == "GET" || (posted && may_be_posted);
        if !allowed {
            return Answer::text(405, "Method Not Allowed\n");
        }
        match outcome() {
            Ok(Data { result: Some(result), .. }) => {
                Answer { code: 200, is_json: true, body: Vec::new(), rest: Some(result) }
            }
            Ok(data) => Answer::json(200, json::success(&data)),
            Err(error) => Answer::json(error.code(), json::failure(&error)),
        }
    }

    /// Who answers a path.
    fn route<'r>(&'r self, path: &'r str, params: &'r Params) -> Option<Box<dyn FnOnce() -> Outcome + 'r>> {
        let label = path.strip_prefix("/label/").and_then(|rest| rest.strip_suffix("/values"));
        if let Some(name) = label {
            return Some(Box::new(move || self.label_values(name, params)));
        }
        Some(match path {
            "/query" => Box::new(move || self.query(params)),
            "/query_range" => Box::new(move || self.query_range(params)),
            "/query_exemplars" => Box::new(move || query::exemplars(params)),
            "/format_query" => Box::new(move || query::format(params)),
            "/parse_query" => Box::new(move || query::tree(params)),
            "/series" => Box::new(move || self.series(params)),
            "/labels" => Box::new(move || self.label_names(params)),
            "/metadata" => Box::new(move || self.metadata(params)),
            "/targets" => Box::new(move || self.targets(params)),
            "/targets/metadata" => Box::new(move || self.targets_metadata(params)),
            // Nobody but GET gets here.
            page::PATH => Box::new(|| Ok(Data::default())),
            "/scrape_pools" => Box::new(move || self.scrape_pools()),
            "/rules" => Box::new(|| status::rules(params)),
            "/alerts" => Box::new(|| Ok(Data::of(r#"{"alerts":[]}"#))),
            "/alertmanagers" => {
                Box::new(|| Ok(Data::of(r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#)))
            }
            "/features" => Box::new(|| Ok(features::all())),
            "/notifications" => Box::new(|| Ok(Data::of("[]"))),
            // The store is open, or nobody gets here.
            "/status/walreplay" => Box::new(|| Ok(Data::of(r#"{"min":0,"max":0,"current":0}"#))),
            "/status/buildinfo" => Box::new(move || Ok(self.build_info())),
            "/status/runtimeinfo" => Box::new(move || Ok(self.runtime_info())),
            "/status/flags" => Box::new(move || Ok(self.flags())),
            "/status/config" => Box::new(move || Ok(self.config())),
            "/status/tsdb" => Box::new(move || self.tsdb_status(params)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
