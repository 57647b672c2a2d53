//! `metrics.k8s.io/v1` and `/v1beta1`: get, list and watch of nodes and pods. The versions differ in name only.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::discovery::{Group, Resource, Version};
use flyball_apiserver::negotiation::Offer;
use flyball_apiserver::query::decode;
use flyball_apiserver::{Request, Response, Status};
use flyball_model::resource_metrics::{NodeMetrics, PodMetrics};
use flyball_model::time::parse_rfc3339_ms;
use http::Method;

use crate::changes::{Scope, watch};
use crate::missing::Missing;
use crate::objects::{self, Item};
use crate::options::{ListOptions, check_get};
use crate::server::MetricsServer;

pub(crate) mod continuation;
pub(crate) mod form;
mod list;
pub(crate) mod page;

use form::Form;
use page::{Listed, Selection};

/// The API group.
pub const GROUP: &str = flyball_model::resource_metrics::GROUP;
/// Versions served, preferred first.
pub(crate) const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The group as discovery describes it.
pub fn group() -> Group {
    let verbs = ["get", "list", "watch"];
    let resources = || {
        [
            Resource::new("nodes", "NodeMetrics", false, &verbs),
            Resource::new("pods", "PodMetrics", true, &verbs),
        ]
    };
    Group::new(GROUP, VERSIONS.map(|version| Version::new(version, resources())))
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nodes,
    Node(String),
    Pods { namespace: Option<String> },
    Pod { namespace: String, name: String },
}

/// Version and object of a path; `None` for what is not served.
fn route(path: &str) -> Option<(&'static str, Wanted)> {
    // Decoded as a whole, as the authorizer saw it.
    let path = decode(path, false)?;
    let rest = path.strip_prefix("/apis/")?.strip_prefix(GROUP)?.strip_prefix('/')?;
    let segments: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    let version = VERSIONS.into_iter().find(|version| Some(version) == segments.first())?;
    let wanted = match segments[1..] {
        ["nodes"] => Wanted::Nodes,
        ["nodes", name] => Wanted::Node(name.to_owned()),
        ["pods"] => Wanted::Pods { namespace: None },
        ["namespaces", namespace, "pods"] => Wanted::Pods { namespace: Some(namespace.to_owned()) },
        ["namespaces", namespace, "pods", name] => {
            Wanted::Pod { namespace: namespace.to_owned(), name: name.to_owned() }
        }
        _ => return None,
    };
    Some((version, wanted))
}

impl MetricsServer {
    /// What a request for the group's resources asks for, and in which form.
    pub(crate) fn asked(&self, request: &Request) -> Result<(Form, Wanted), Status> {
        let (version, wanted) = route(request.path()).ok_or_else(Status::unknown_resource)?;
        if request.method() != Method::GET {
            return Err(Status::method_not_allowed());
        }
        let collection = matches!(wanted, Wanted::Nodes | Wanted::Pods { .. });
        let offer = Offer::RESOURCE.with_protobuf().routed(collection);
        let offer = match request.attributes.verb.as_str() {
            "watch" => offer.as_events(),
            _ => offer,
        };
        let form = Form { accepted: request.respond().negotiate(offer)?, version, query: request.query() };
        Ok((form, wanted))
    }

    /// The answer.
    pub(crate) async fn answer(self: &Arc<Self>, form: Form, wanted: Wanted) -> Result<Response, Status> {
        match wanted {
            Wanted::Nodes => self.collection::<NodeMetrics>(form, None),
            Wanted::Node(name) => form.one(self.node(&form, &name)?),
            Wanted::Pods { namespace } => self.collection::<PodMetrics>(form, namespace),
            Wanted::Pod { namespace, name } => form.one(self.pod(&form, &namespace, &name).await?),
        }
    }

    fn collection<T: Listed>(
        self: &Arc<Self>,
        form: Form,
        namespace: Option<String>,
    ) -> Result<Response, Status> {
        let options = ListOptions::of(&form.query)?;
        let now_ms = (self.clock)();
        self.check_data(now_ms)?;
        let text = |name| form.query.first(name).unwrap_or("").to_owned();
        let scope = Scope {
            resource: T::RESOURCE,
            namespace: namespace.clone(),
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
        };
        let selection = Selection { namespace, selectors: options.selectors };
        match (options.watch, options.pieces) {
            (Some(options), _) => watch::<T>(self, form, selection, scope, &options),
            (None, Some(pieces)) => list::piece::<T>(self, &form, &selection, scope, &pieces, now_ms),
            (None, None) => list::whole::<T>(self, &form, &selection, now_ms),
        }
    }

    /// Whether `--node-selector` leaves the node in.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = &self.config.node_selector;
        selector.is_empty() || selector.matches_map(labels)
    }

    fn node(&self, form: &Form, name: &str) -> Result<NodeMetrics, Status> {
        check_get(&form.query)?;
        self.check_caches()?;
        let labels = self.cluster.node_labels(name).ok_or_else(|| Status::not_found("", "node", name))?;
        let now_ms = (self.clock)();
        self.check_data(now_ms)?;
        let usage = self.store.node(name, now_ms);
        let usage = usage.map_err(|reason| match self.selects(&labels) {
            true => no_metrics("nodemetrics", name, &reason),
            false => no_metrics("nodemetrics", name, &Missing::NotSelected { node: name.to_owned() }),
        })?;
        let object = objects::node(name.to_owned(), &labels, &usage, now_ms);
        self.served(&object, now_ms);
        Ok(object)
    }

    async fn pod(&self, form: &Form, namespace: &str, name: &str) -> Result<PodMetrics, Status> {
        check_get(&form.query)?;
        self.check_caches()?;
        let Some(labels) = self.cluster.pod_labels(namespace, name) else {
            return Err(self.unknown_pod(namespace, name).await);
        };
        let now_ms = (self.clock)();
        self.check_data(now_ms)?;
        let reason = match self.store.pod(namespace, name, now_ms) {
            Ok(usage) => {
                let object = objects::pod(namespace.to_owned(), name.to_owned(), &labels, usage, now_ms);
                self.served(&object, now_ms);
                return Ok(object);
            }
            Err(Missing::NotReported) => self.unreported_pod(namespace, name, now_ms).await,
            Err(reason) => reason,
        };
        Err(no_metrics("podmetrics", &format!("{namespace}/{name}"), &reason))
    }

    /// Upstream's 404 for a pod that does not run; whether it exists all the same is added.
    async fn unknown_pod(&self, namespace: &str, name: &str) -> Status {
        let mut status = Status::not_found("", "pods", name);
        if let Some(place) = self.whereabouts.of(namespace, name).await {
            let reason = match place.phase.as_str() {
                "Running" => Missing::JustRunning,
                phase => Missing::NotRunning { phase: phase.to_owned() },
            };
            status.message = format!("{}: {reason}", status.message);
        }
        status
    }

    /// Why no node has reported a running pod: mostly because its own cannot be read.
    async fn unreported_pod(&self, namespace: &str, name: &str, now_ms: i64) -> Missing {
        let place = self.whereabouts.of(namespace, name).await;
        let Some(node) = place.and_then(|place| place.node) else { return Missing::NotReported };
        if self.cluster.node_labels(&node).is_some_and(|labels| !self.selects(&labels)) {
            return Missing::NotSelected { node };
        }
        match self.store.node(&node, now_ms) {
            Err(
                reason @ (Missing::NotScraped { .. } | Missing::NeverGood { .. } | Missing::Stale { .. }),
            ) => reason,
            _ => Missing::NotReportedBy { node },
        }
    }

    /// Takes note of an object that is answered with.
    fn served(&self, object: &impl Item, now_ms: i64) {
        self.metrics.served(now_ms, object.timestamp().and_then(parse_rfc3339_ms));
    }

    fn check_caches(&self) -> Result<(), Status> {
        match self.cluster.waiting_for() {
            None => Ok(()),
            Some(what) => Err(Status::service_unavailable(format!(
                "metrics are not available yet: waiting for {what} from the API server"
            ))),
        }
    }

    /// 503 while there is nothing to serve. A cluster without nodes has nothing to wait for.
    fn check_data(&self, now_ms: i64) -> Result<(), Status> {
        self.check_caches()?;
        if self.cluster.is_empty() {
            return Ok(());
        }
        match self.store.why_nothing(now_ms) {
            None => Ok(()),
            Some(reason) => Err(Status::service_unavailable(format!("metrics are not available: {reason}"))),
        }
    }
}

/// Upstream's 404 for an object that is known and has no metrics, with the reason added.
fn no_metrics(kind: &str, name: &str, reason: &Missing) -> Status {
    let mut status = Status::not_found(GROUP, kind, name);
    status.message = format!("{}: {reason}", status.message);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let pods = |namespace: Option<&str>| Wanted::Pods { namespace: namespace.map(str::to_owned) };
        let pod = Wanted::Pod { namespace: "ns".to_owned(), name: "p".to_owned() };
        for (path, expected) in [
            ("/apis/metrics.k8s.io/v1/nodes", Some(("v1", Wanted::Nodes))),
            ("/apis/metrics.k8s.io/v1beta1/nodes/", Some(("v1beta1", Wanted::Nodes))),
            ("/apis/metrics.k8s.io/v1/nodes/a%2Db", Some(("v1", Wanted::Node("a-b".to_owned())))),
            ("/apis/metrics.k8s.io/v1/pods", Some(("v1", pods(None)))),
            ("/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods", Some(("v1beta1", pods(Some("ns"))))),
            ("/apis/metrics.k8s.io/v1/namespaces/ns/pods/p", Some(("v1", pod))),
            ("/apis/metrics.k8s.io/v2/nodes", None),
            ("/apis/metrics.k8s.io/v1/nodes/a/status", None),
            ("/apis/metrics.k8s.io/v1/watch/nodes", None),
            ("/apis/metrics.k8s.io/v1//nodes", None),
            ("/apis/metrics.k8s.io/v1/nodes//", Some(("v1", Wanted::Nodes))),
            ("/apis/metrics.k8s.io/v1/nodes/a%2Fb", None),
            ("/apis/metrics.k8s.iox/v1/nodes", None),
            ("/apis/metrics.k8s.io/v1/namespaces/ns", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
