//! The metrics APIs: paths, answers, discovery, OpenAPI.
//!
//! ```text
//! /apis/custom.metrics.k8s.io/{v1beta1,v1beta2}/namespaces/NS/RESOURCE/NAME/METRIC     NAME may be *
//! /apis/custom.metrics.k8s.io/{v1beta1,v1beta2}/RESOURCE/NAME/METRIC                   objects in no namespace
//! /apis/custom.metrics.k8s.io/{v1beta1,v1beta2}/namespaces/NS/metrics/METRIC           of the namespace itself
//! /apis/external.metrics.k8s.io/v1beta1/namespaces/NS/METRIC
//! /apis/metrics.k8s.io/v1beta1/…                                                       with resourceRules only
//! ```

mod bodies;
mod custom;
mod discovery;
mod errors;
mod external;
mod openapi;
mod order;
mod route;
mod usage;

use std::sync::Arc;

use flyball_apiserver::negotiation::Offer;
use flyball_apiserver::status::unserved;
use flyball_apiserver::{Handler, Query, Request, Responder, Response, Status};
use flyball_model::selector::FieldSelector;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde::Serialize;

pub use discovery::groups;
pub use openapi::documents;
pub(crate) use route::{custom_path, external_path};

use crate::server::Adapter;
use crate::sources::Sender;
use route::{NotServed, Wanted};

/// The groups that the adapter answers for.
pub const GROUPS: [&str; 3] = [CUSTOM, EXTERNAL, USAGE];
/// Title of all OpenAPI documents.
pub(crate) const TITLE: &str = "Flyball adapter";
pub(crate) const CUSTOM: &str = "custom.metrics.k8s.io";
pub(crate) const EXTERNAL: &str = "external.metrics.k8s.io";
pub(crate) const USAGE: &str = "metrics.k8s.io";

/// The handler of the groups' resources.
pub(crate) struct Api(pub(crate) Arc<Adapter>);

impl Handler for Api {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let respond = request.respond();
        let asked = asked(&request);
        Box::pin(async move {
            let answer = match asked {
                Ok((form, wanted)) => self.answer(&form, wanted).await,
                Err(status) => Err(status),
            };
            let answer = answer.unwrap_or_else(|status| respond.status(&status));
            // A failure does not tell whether there is a metric of that name.
            if answer.status().is_success() { answer } else { unserved(answer) }
        })
    }
}

/// What of a request its answer depends on, beside what it is about.
pub(crate) struct Form {
    respond: Responder,
    query: Query,
    sender: Sender,
}

impl Form {
    fn object<T: Serialize>(&self, object: &T) -> Result<Response, Status> {
        let accepted = self.respond.negotiate(Offer::OBJECT)?;
        Ok(accepted.write(StatusCode::OK, object))
    }
}

/// Conditions on fields, of which all objects have two.
fn fields(query: &Query) -> Result<FieldSelector, Status> {
    let fields = FieldSelector::parse(query.first("fieldSelector").unwrap_or(""));
    let fields = fields.map_err(|error| errors::bad_selector("fieldSelector", &error))?;
    let known = |path: &str| ["metadata.name", "metadata.namespace"].contains(&path);
    match fields.0.iter().find(|term| !known(&term.path)) {
        None => Ok(fields),
        Some(term) => Err(Status::bad_request(format!(
            "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            term.path
        ))),
    }
}

fn asked(request: &Request) -> Result<(Form, Wanted), Status> {
    let wanted = route::of(&request.attributes).map_err(|why| match why {
        NotServed::Unknown => Status::unknown_resource(),
        NotServed::InvalidPath => Status::bad_request("invalid request path"),
    })?;
    if request.method() != Method::GET {
        return Err(Status::method_not_allowed());
    }
    let (respond, query) = (request.respond(), request.query());
    if query.flag("watch") {
        return Err(Status::verb_not_supported(wanted.group(), "*", "watch"));
    }
    // What cannot be written in the form that is asked for is not asked of a backend.
    respond.negotiate(Offer::OBJECT)?;
    Ok((Form { respond, query, sender: Sender::of(request) }, wanted))
}

impl Api {
    async fn answer(&self, form: &Form, wanted: Wanted) -> Result<Response, Status> {
        match wanted {
            Wanted::Custom(wanted) => custom::answer(&self.0, form, wanted).await,
            Wanted::External(wanted) => external::answer(&self.0, form, wanted).await,
            Wanted::Usage(wanted) => usage::answer(&self.0, form, wanted).await,
        }
    }
}
