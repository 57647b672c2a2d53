//! `decisions.flyball.io/v1`: get and list of decisions. A replica that does not lead passes the question on.

use super::book::Chapter;
use super::object::{COLUMNS, Decider, Detail, GROUP, KIND, VERSION, cells, object};
use super::peer::{Question, ask};
use crate::controller::Shared;
use flyball_apiserver::discovery::{Group, Resource, Version};
use flyball_apiserver::negotiation::{Accepted, Offer, View, refuse_partial_of_list};
use flyball_apiserver::table::{IncludeObject, Partial, PartialList, TableBuilder, WhenEmpty};
use flyball_apiserver::{Handler, Query, Request, Response, Status};
use flyball_model::selector::{FieldSelector, LabelSelector};
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// Resource in URLs.
const RESOURCE: &str = "decisions";

/// The group as discovery describes it.
pub(crate) fn group() -> Group {
    let mut resource = Resource::new(RESOURCE, KIND, true, &["get", "list"]);
    resource.singular = "decision".into();
    Group::new(GROUP, [Version::new(VERSION, [resource])])
}

/// Answers requests for decisions.
pub(crate) struct Decisions {
    shared: Arc<Shared>,
}

/// Where an answer comes from.
enum Answer {
    Own(Response),
    OfLeader(Question),
}

/// What a list wants.
struct Wanted {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, Status> {
        let bad = |error: flyball_model::selector::SelectorError| Status::bad_request(error.to_string());
        let labels = LabelSelector::parse(query.first("labelSelector").unwrap_or("")).map_err(bad)?;
        let fields = FieldSelector::parse(query.first("fieldSelector").unwrap_or("")).map_err(bad)?;
        let known = |path: &str| matches!(path, "metadata.name" | "metadata.namespace");
        match fields.0.iter().find(|requirement| !known(&requirement.path)) {
            None => Ok(Wanted { labels, fields }),
            Some(requirement) => Err(Status::bad_request(format!(
                "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                requirement.path
            ))),
        }
    }

    fn has(&self, chapter: &Chapter) -> bool {
        let (namespace, name) = &chapter.entry.key;
        let field = |path: &str| match path {
            "metadata.name" => Some(name.as_str()),
            "metadata.namespace" => Some(namespace.as_str()),
            _ => None,
        };
        self.fields.matches(field)
            && (self.labels.is_empty() || self.labels.matches_map(&chapter.entry.hpa.metadata.labels))
    }
}

impl Decisions {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Decisions { shared }
    }

    /// The answer, or the question to pass on.
    fn answer(&self, request: &Request) -> Result<Answer, Status> {
        let asked = &request.attributes;
        if asked.group != GROUP
            || asked.version != VERSION
            || asked.resource != RESOURCE
            || !asked.subresource.is_empty()
        {
            return Err(Status::unknown_resource());
        }
        match asked.verb.as_str() {
            "get" | "list" if request.method() == Method::GET => {}
            "watch" => return Err(Status::verb_not_supported(GROUP, RESOURCE, "watch")),
            _ => return Err(Status::method_not_allowed()),
        }
        let query = request.query();
        let accepted = request.respond().negotiate(Offer::RESOURCE)?;
        if !self.shared.term().leads {
            return Ok(Answer::OfLeader(Question::of(request)));
        }
        // The path, not a field selector, says whether one object is asked for.
        if asked.verb == "get" {
            return self.one(accepted, &query, &asked.namespace, &asked.name).map(Answer::Own);
        }
        let wanted = Wanted::of(&query)?;
        let namespace = Some(asked.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let chapters = self.shared.book.list(namespace).into_iter().filter(|chapter| wanted.has(chapter));
        self.list(accepted, &query, chapters.collect()).map(Answer::Own)
    }

    fn decider(&self) -> Decider {
        let config = &self.shared.config;
        let identity = config.election.as_ref().map_or("flyball-hpa", |election| &election.identity);
        Decider { identity: identity.to_owned(), mode: config.mode.to_string() }
    }

    fn object(&self, chapter: &Chapter, detail: Detail) -> Value {
        object(chapter, &self.shared.config.decide, &self.decider(), detail)
    }

    fn one(
        &self,
        accepted: Accepted,
        query: &Query,
        namespace: &str,
        name: &str,
    ) -> Result<Response, Status> {
        let Some(chapter) = self.shared.book.get(namespace, name) else {
            let mut status = Status::not_found(GROUP, RESOURCE, name);
            let known = self.shared.hpas.get(&(namespace.to_owned(), name.to_owned())).is_some();
            let why = if known { "not evaluated yet" } else { "there is no such HorizontalPodAutoscaler" };
            status.message = format!("{}: {why}", status.message);
            return Err(status);
        };
        match accepted.view {
            View::Table(_) => self.table(accepted, query, vec![chapter]),
            View::PartialObjectMetadata(version) => {
                let object = self.object(&chapter, Detail::Brief);
                Ok(accepted.write(StatusCode::OK, &Partial::of(&object, version)))
            }
            View::PartialObjectMetadataList(_) => Err(Status::not_acceptable(
                "you requested PartialObjectMetadataList, but the requested object is not a list",
            )),
            _ => Ok(accepted.write(StatusCode::OK, &self.object(&chapter, Detail::Full))),
        }
    }

    fn list(&self, accepted: Accepted, query: &Query, chapters: Vec<Chapter>) -> Result<Response, Status> {
        let objects =
            || chapters.iter().map(|chapter| self.object(chapter, Detail::Brief)).collect::<Vec<_>>();
        match accepted.view {
            View::Table(_) => self.table(accepted, query, chapters),
            View::PartialObjectMetadata(_) => Err(refuse_partial_of_list("*v1.DecisionList")),
            View::PartialObjectMetadataList(version) => {
                Ok(accepted.write(StatusCode::OK, &PartialList::of(json!({}), &objects(), version)))
            }
            _ => {
                let list = json!({ "kind": format!("{KIND}List"), "apiVersion": format!("{GROUP}/{VERSION}"),
                    "metadata": {}, "items": objects() });
                Ok(accepted.write(StatusCode::OK, &list))
            }
        }
    }

    fn table(&self, accepted: Accepted, query: &Query, chapters: Vec<Chapter>) -> Result<Response, Status> {
        let View::Table(meta_version) = accepted.view else {
            return Err(Status::internal("a table that nobody asked for"));
        };
        let include = IncludeObject::of(query)?;
        let mut table = TableBuilder::new(COLUMNS.to_vec(), WhenEmpty::Columns);
        let now_ms = self.shared.now_ms();
        for chapter in &chapters {
            table.row(cells(chapter, now_ms), self.object(chapter, Detail::Brief));
        }
        Ok(accepted.write(StatusCode::OK, &table.build(meta_version, include)))
    }
}

impl Handler for Decisions {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let (responder, answer) = (request.respond(), self.answer(&request));
            drop(request);
            let answered = match answer {
                Ok(Answer::Own(response)) => Ok(response),
                Ok(Answer::OfLeader(question)) => ask(&self.shared, question).await,
                Err(status) => Err(status),
            };
            answered.unwrap_or_else(|status| responder.status(&status))
        })
    }
}
