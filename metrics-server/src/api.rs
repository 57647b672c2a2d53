//! `metrics.k8s.io/v1` and `/v1beta1`: get and list of nodes and pods. The versions differ in name only.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::discovery::{Group, Resource, Version};
use flyball_apiserver::negotiation::{Accepted, Encoding, Offer, View, refuse_partial_of_list};
use flyball_apiserver::protobuf::{Message, document};
use flyball_apiserver::query::decode;
use flyball_apiserver::table::{IncludeObject, Partial, PartialList, TableBuilder, WhenEmpty};
use flyball_apiserver::{Query, Request, Response, Status};
use flyball_model::resource_metrics::{NodeMetrics, PodMetrics, Typed};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::list::{JsonList, PodSource, ProtobufList};
use crate::missing::Missing;
use crate::objects::{self, COLUMNS, Item};
use crate::options::{ListOptions, check_get};
use crate::protobuf;
use crate::server::MetricsServer;

/// The API group.
pub const GROUP: &str = flyball_model::resource_metrics::GROUP;
/// Versions served, preferred first.
pub(crate) const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The group as discovery describes it.
pub fn group() -> Group {
    let verbs = ["get", "list"];
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
enum Wanted {
    Nodes,
    Node(String),
    Pods { namespace: Option<String> },
    Pod { namespace: String, name: String },
}

/// Version and object of a path; `None` for what is not served.
fn route(path: &str) -> Option<(&'static str, Wanted)> {
    let rest = path.strip_prefix("/apis/")?.strip_prefix(GROUP)?.strip_prefix('/')?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let segments: Vec<String> =
        rest.split('/').map(|segment| decode(segment, false)).collect::<Option<_>>()?;
    if segments.iter().any(String::is_empty) {
        return None;
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
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
    /// Answers one request for the group's resources.
    pub(crate) fn answer(&self, request: &Request) -> Result<Response, Status> {
        let (version, wanted) = route(request.path()).ok_or_else(Status::unknown_resource)?;
        if request.method() != Method::GET {
            return Err(Status::method_not_allowed());
        }
        let form = Form {
            accepted: request.respond().negotiate(Offer::RESOURCE.with_protobuf())?,
            version,
            query: request.query(),
        };
        let now_ms = (self.clock)();
        match wanted {
            Wanted::Nodes => form.list(self.nodes(&form, now_ms)?, "*v1beta1.NodeMetricsList"),
            Wanted::Node(name) => form.one(self.node(&form, &name, now_ms)?),
            Wanted::Pods { namespace } if form.streams() => self.stream_pods(&form, namespace, now_ms),
            Wanted::Pods { namespace } => {
                form.list(self.pods(&form, namespace.as_deref(), now_ms)?, "*v1beta1.PodMetricsList")
            }
            Wanted::Pod { namespace, name } => form.one(self.pod(&form, &namespace, &name, now_ms)?),
        }
    }

    fn nodes(&self, form: &Form, now_ms: i64) -> Result<Vec<NodeMetrics>, Status> {
        let options = ListOptions::of(&form.query, "nodes")?;
        self.check_data(now_ms)?;
        let selector = &self.config.node_selector;
        let selected =
            |labels: &BTreeMap<String, String>| selector.is_empty() || selector.matches_map(labels);
        let nodes = self.cluster.nodes(|name, labels| selected(labels) && options.wants("", name, labels));
        let measured = nodes.into_iter().filter_map(|(name, labels)| {
            let usage = self.store.node(&name, now_ms).ok()?;
            self.metrics.served(now_ms, Some(usage.timestamp_ns));
            Some(objects::node(name, &labels, &usage, now_ms))
        });
        Ok(measured.collect())
    }

    fn node(&self, form: &Form, name: &str, now_ms: i64) -> Result<NodeMetrics, Status> {
        check_get(&form.query)?;
        self.check_caches()?;
        let labels = self.cluster.node_labels(name).ok_or_else(|| Status::not_found("", "node", name))?;
        self.check_data(now_ms)?;
        let usage =
            self.store.node(name, now_ms).map_err(|reason| no_metrics("nodemetrics", name, &reason))?;
        self.metrics.served(now_ms, Some(usage.timestamp_ns));
        Ok(objects::node(name.to_owned(), &labels, &usage, now_ms))
    }

    fn pods(&self, form: &Form, namespace: Option<&str>, now_ms: i64) -> Result<Vec<PodMetrics>, Status> {
        let options = ListOptions::of(&form.query, "pods")?;
        self.check_data(now_ms)?;
        let pods =
            self.cluster.pods(namespace, |namespace, name, labels| options.wants(namespace, name, labels));
        let measured = self.store.pods(pods, |(namespace, name, _)| (namespace, name), now_ms);
        let objects = measured.into_iter().map(|((namespace, name, labels), usage)| {
            self.metrics.served(now_ms, usage.timestamp_ns);
            objects::pod(namespace, name, &labels, usage, now_ms)
        });
        Ok(objects.collect())
    }

    /// The list of pods, written while it is sent.
    fn stream_pods(&self, form: &Form, namespace: Option<String>, now_ms: i64) -> Result<Response, Status> {
        let options = Arc::new(ListOptions::of(&form.query, "pods")?);
        self.check_data(now_ms)?;
        let (cluster, store, metrics) = (self.cluster.clone(), self.store.clone(), self.metrics.clone());
        let source = PodSource { cluster, store, metrics, namespace, options, now_ms };
        Ok(match form.is_protobuf() {
            true => {
                form.accepted.write_pieces(StatusCode::OK, ProtobufList::new(source, &form.api_version()))
            }
            false => form.accepted.write_pieces(StatusCode::OK, JsonList::new(source, form.version)),
        })
    }

    fn pod(&self, form: &Form, namespace: &str, name: &str, now_ms: i64) -> Result<PodMetrics, Status> {
        check_get(&form.query)?;
        self.check_caches()?;
        let labels = self.cluster.pod_labels(namespace, name);
        let labels = labels.ok_or_else(|| Status::not_found("", "pods", name))?;
        self.check_data(now_ms)?;
        let usage = self
            .store
            .pod(namespace, name, now_ms)
            .map_err(|reason| no_metrics("podmetrics", &format!("{namespace}/{name}"), &reason))?;
        self.metrics.served(now_ms, usage.timestamp_ns);
        Ok(objects::pod(namespace.to_owned(), name.to_owned(), &labels, usage, now_ms))
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

/// The form of the answer.
struct Form {
    accepted: Accepted,
    version: &'static str,
    query: Query,
}

impl Form {
    fn one<T: Item>(&self, object: T) -> Result<Response, Status> {
        match self.accepted.view {
            View::Table(_) => self.table(vec![object]),
            View::PartialObjectMetadata(version) if self.is_protobuf() => Ok(self.protobuf(
                version.api_version(),
                "PartialObjectMetadata",
                &protobuf::partial(object.metadata()),
            )),
            View::Object if self.is_protobuf() => {
                Ok(self.protobuf(&self.api_version(), T::KIND, &object.to_protobuf()))
            }
            View::PartialObjectMetadata(version) => {
                Ok(self.accepted.write(StatusCode::OK, &Partial::of(&self.value(object)?, version)))
            }
            View::PartialObjectMetadataList(_) => Err(Status::not_acceptable(
                "you requested PartialObjectMetadataList, but the requested object is not a list",
            )),
            _ => Ok(self.accepted.write(StatusCode::OK, &Typed::object(self.version, object))),
        }
    }

    fn list<T: Item>(&self, items: Vec<T>, go_type: &str) -> Result<Response, Status> {
        match self.accepted.view {
            View::Table(_) => self.table(items),
            View::PartialObjectMetadata(_) => Err(refuse_partial_of_list(go_type)),
            View::PartialObjectMetadataList(version) if self.is_protobuf() => {
                let items = items.iter().map(|item| protobuf::partial(item.metadata()));
                Ok(self.protobuf(version.api_version(), "PartialObjectMetadataList", &protobuf::list(items)))
            }
            View::Object if self.is_protobuf() => {
                let items = items.iter().map(Item::to_protobuf);
                Ok(self.protobuf(&self.api_version(), T::LIST_KIND, &protobuf::list(items)))
            }
            View::PartialObjectMetadataList(version) => {
                let values: Vec<Value> =
                    items.into_iter().map(|item| self.value(item)).collect::<Result<_, _>>()?;
                Ok(self.accepted.write(StatusCode::OK, &PartialList::of(json!({}), &values, version)))
            }
            _ => Ok(self.accepted.write(StatusCode::OK, &Typed::list(self.version, items))),
        }
    }

    /// Whether a list of it is written piece by piece: whole objects, in the forms that programs ask for.
    fn streams(&self) -> bool {
        let indented = self.accepted.encoding == Encoding::Json && self.accepted.pretty;
        self.accepted.view == View::Object && self.accepted.encoding != Encoding::Yaml && !indented
    }

    fn is_protobuf(&self) -> bool {
        self.accepted.encoding == Encoding::Protobuf
    }

    fn api_version(&self) -> String {
        format!("{GROUP}/{}", self.version)
    }

    fn protobuf(&self, api_version: &str, kind: &str, object: &Message) -> Response {
        self.accepted.write_bytes(StatusCode::OK, document(api_version, kind, object))
    }

    fn table<T: Item>(&self, items: Vec<T>) -> Result<Response, Status> {
        let View::Table(meta_version) = self.accepted.view else {
            return Err(Status::internal("a table that nobody asked for"));
        };
        let include = IncludeObject::of(&self.query)?;
        let mut table = TableBuilder::new(COLUMNS.to_vec(), WhenEmpty::Nulls);
        for item in items {
            let cells = item.cells().map(Value::from).to_vec();
            table.row(cells, self.value(item)?);
        }
        Ok(self.accepted.write(StatusCode::OK, &table.build(meta_version, include)))
    }

    fn value<T: Item>(&self, object: T) -> Result<Value, Status> {
        serde_json::to_value(Typed::object(self.version, object)).map_err(Status::internal)
    }
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
            ("/apis/metrics.k8s.iox/v1/nodes", None),
            ("/apis/metrics.k8s.io/v1/namespaces/ns", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
