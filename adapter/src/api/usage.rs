//! metrics.k8s.io from `resourceRules`, for those who have no other source of usage.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::{Response, Status};
use flyball_model::quantity::{Quantity, QuantityFormat};
use flyball_model::selector::{FieldSelector, LabelSelector};
use flyball_model::time::{go_duration, rfc3339_seconds};
use serde::Serialize;

use super::route::{VERSION, WantedUsage};
use super::{Form, USAGE, errors};
use crate::backends::Answer;
use crate::kinds::GroupResource;
use crate::rules::{ContainerUsage, NodeUsage, PodUsage, Sample, UsagePlan, UsageRules};
use crate::server::Adapter;
use crate::sources::{Queried, SourceError};

/// Most namespaces whose pods are looked up for one list over all.
const NAMESPACES_LIMIT: usize = 1_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    kind: &'static str,
    api_version: String,
    metadata: Empty,
    items: Vec<T>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    creation_timestamp: String,
}

/// An object of a list, which needs no kind of its own, or one alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<String>,
    metadata: Metadata,
    timestamp: String,
    window: String,
    #[serde(flatten)]
    of: Measured,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Measured {
    Usage(BTreeMap<&'static str, String>),
    Containers(Vec<Container>),
}

#[derive(Serialize)]
struct Container {
    name: String,
    usage: BTreeMap<&'static str, String>,
}

/// Where usage is looked up.
struct Lookup<'a> {
    adapter: &'a Arc<Adapter>,
    rules: &'a Arc<UsageRules>,
    source: &'a Arc<Queried>,
}

pub(super) async fn answer(
    adapter: &Arc<Adapter>,
    form: &Form,
    wanted: WantedUsage,
) -> Result<Response, Status> {
    let state = adapter.state();
    let Some((rules, source)) = &state.usage else { return Err(Status::unknown_resource()) };
    let lookup = Lookup { adapter, rules, source };
    let query = &form.query;
    let selector = LabelSelector::parse(query.first("labelSelector").unwrap_or(""))
        .map_err(|error| errors::bad_selector("labelSelector", &error))?;
    let fields = FieldSelector::parse(query.first("fieldSelector").unwrap_or(""))
        .map_err(|error| errors::bad_selector("fieldSelector", &error))?;
    match wanted {
        WantedUsage::Nodes { name: Some(name) } => {
            let mut found = lookup.nodes(vec![name.clone()]).await?;
            let usage = found.pop().ok_or_else(|| Status::not_found(USAGE, "nodes", &name))?;
            form.object(&alone(usage, "NodeMetrics"))
        }
        WantedUsage::Nodes { name: None } => {
            let names = lookup.names("nodes", None, &selector).await?;
            let names = names.iter().filter(|name| fields_pick(&fields, "", name)).cloned().collect();
            form.object(&list("NodeMetricsList", lookup.nodes(names).await?))
        }
        WantedUsage::Pods { namespace: Some(namespace), name: Some(name) } => {
            let mut found = lookup.pods(&namespace, vec![name.clone()]).await?;
            let usage = found.pop().ok_or_else(|| Status::not_found(USAGE, "pods", &name))?;
            form.object(&alone(usage, "PodMetrics"))
        }
        WantedUsage::Pods { namespace, .. } => {
            let namespaces = match namespace {
                Some(namespace) => vec![namespace],
                None => lookup.names("namespaces", None, &LabelSelector::everything()).await?.to_vec(),
            };
            let mut items = Vec::new();
            for namespace in namespaces.iter().take(NAMESPACES_LIMIT) {
                let names = lookup.names("pods", Some(namespace), &selector).await?;
                let names: Vec<String> =
                    names.iter().filter(|name| fields_pick(&fields, namespace, name)).cloned().collect();
                items.extend(lookup.pods(namespace, names).await?);
            }
            form.object(&list("PodMetricsList", items))
        }
    }
}

fn fields_pick(FieldSelector(terms): &FieldSelector, namespace: &str, name: &str) -> bool {
    terms.iter().all(|term| {
        let value = match term.path.as_str() {
            "metadata.name" => name,
            "metadata.namespace" => namespace,
            _ => return false,
        };
        (term.value == value) != term.negated
    })
}

impl Lookup<'_> {
    async fn names(
        &self,
        resource: &str,
        namespace: Option<&str>,
        selector: &LabelSelector,
    ) -> Result<Arc<Vec<String>>, Status> {
        let cluster = &self.adapter.cluster;
        let kind = cluster.kind(&GroupResource::new("", resource)).ok_or_else(Status::unknown_resource)?;
        let names = cluster.names(&kind, namespace, selector).await;
        names.map_err(|error| Status::internal(format!("unable to list matching resources: {error}")))
    }

    async fn nodes(&self, names: Vec<String>) -> Result<Vec<Usage>, Status> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let plan = self.rules.nodes(&names).map_err(|error| errors::of_source(&SourceError::Plan(error)))?;
        let (cpu, memory) = self.both(&plan).await?;
        let usage = plan.node_usage(samples(&cpu), samples(&memory), &names, self.source.non_finite());
        Ok(usage.into_iter().map(|node| self.node(node)).collect())
    }

    async fn pods(&self, namespace: &str, names: Vec<String>) -> Result<Vec<Usage>, Status> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let plan = self.rules.pods(namespace, &names);
        let plan = plan.map_err(|error| errors::of_source(&SourceError::Plan(error)))?;
        let (cpu, memory) = self.both(&plan).await?;
        let usage = plan.pod_usage(samples(&cpu), samples(&memory), &names, self.source.non_finite());
        Ok(usage.into_iter().map(|pod| self.pod(namespace, pod)).collect())
    }

    async fn both(&self, plan: &UsagePlan) -> Result<(Arc<Answer>, Arc<Answer>), Status> {
        let (cpu, memory) =
            tokio::join!(self.source.answer(&plan.cpu.promql), self.source.answer(&plan.memory.promql));
        let fault = |error| errors::unable_to_fetch(&error);
        Ok((cpu.map_err(fault)?, memory.map_err(fault)?))
    }

    fn node(&self, node: NodeUsage) -> Usage {
        let of = Measured::Usage(quantities(node.cpu_milli, node.memory_milli));
        self.usage(node.name, None, node.timestamp_ms, of)
    }

    fn pod(&self, namespace: &str, pod: PodUsage) -> Usage {
        let container = |container: ContainerUsage| Container {
            usage: quantities(container.cpu_milli, container.memory_milli),
            name: container.name,
        };
        let of = Measured::Containers(pod.containers.into_iter().map(container).collect());
        self.usage(pod.name, Some(namespace.to_owned()), pod.timestamp_ms, of)
    }

    fn usage(&self, name: String, namespace: Option<String>, timestamp_ms: i64, of: Measured) -> Usage {
        Usage {
            kind: None,
            api_version: None,
            metadata: Metadata {
                name,
                namespace,
                creation_timestamp: rfc3339_seconds((self.adapter.clock)()),
            },
            timestamp: rfc3339_seconds(timestamp_ms),
            window: go_duration(i128::from(self.rules.window_ms()) * 1_000_000),
            of,
        }
    }
}

fn samples(answer: &Answer) -> &[Sample] {
    match answer {
        Answer::Vector { samples, .. } => samples,
        // A number names no object.
        Answer::Scalar { .. } => &[],
    }
}

fn quantities(cpu_milli: i64, memory_milli: i64) -> BTreeMap<&'static str, String> {
    let quantity = |milli, format| Quantity::from_milli(milli, format).to_string();
    let whole = memory_milli / 1000;
    BTreeMap::from([
        ("cpu", quantity(cpu_milli, QuantityFormat::DecimalSi)),
        ("memory", Quantity::from_value(whole, QuantityFormat::BinarySi).to_string()),
    ])
}

fn list(kind: &'static str, items: Vec<Usage>) -> List<Usage> {
    List { kind, api_version: format!("{USAGE}/{VERSION}"), metadata: Empty {}, items }
}

fn alone(usage: Usage, kind: &'static str) -> Usage {
    Usage { kind: Some(kind), api_version: Some(format!("{USAGE}/{VERSION}")), ..usage }
}
