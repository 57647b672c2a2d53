//! metrics.k8s.io from `resourceRules`, for those who have no other source of usage.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_apiserver::{Response, Status};
use flyball_model::quantity::{Quantity, QuantityFormat};
use flyball_model::selector::{FieldSelector, LabelSelector};
use flyball_model::time::{go_duration, rfc3339_seconds};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::route::{VERSION, WantedUsage};
use super::{Form, USAGE, errors, fields};
use crate::backends::Answer;
use crate::cluster::{Described, ObjectsError};
use crate::rules::{ContainerUsage, NodeUsage, PodUsage, Sample, UsagePlan, UsageRules};
use crate::server::Adapter;
use crate::sources::{Queried, SourceError};

/// Namespaces whose usage is asked for at a time.
const NAMESPACES_AT_ONCE: usize = 8;

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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
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
    let fields = fields(query)?;
    match wanted {
        WantedUsage::Nodes { name: Some(name) } => {
            form.object(&alone(lookup.node(&name).await?, "NodeMetrics"))
        }
        WantedUsage::Pods { namespace: Some(namespace), name: Some(name) } => {
            form.object(&alone(lookup.pod(&namespace, &name).await?, "PodMetrics"))
        }
        WantedUsage::Nodes { name: None } => {
            let nodes = adapter.cluster.nodes(None, &selector).await.map_err(|error| unlisted(&error))?;
            let nodes: Vec<&Described> = nodes.iter().filter(|node| fields_pick(&fields, node)).collect();
            form.object(&list("NodeMetricsList", lookup.nodes(&nodes).await?.0))
        }
        WantedUsage::Pods { namespace, .. } => {
            let pods = adapter.cluster.running_pods(namespace.as_deref(), None, &selector).await;
            let pods = pods.map_err(|error| unlisted(&error))?;
            let pods: Vec<&Described> = pods.iter().filter(|pod| fields_pick(&fields, pod)).collect();
            form.object(&list("PodMetricsList", lookup.of_namespaces(&pods).await?))
        }
    }
}

fn fields_pick(FieldSelector(terms): &FieldSelector, object: &Described) -> bool {
    terms.iter().all(|term| {
        let value = if term.path == "metadata.name" { &object.name } else { &object.namespace };
        (term.value == *value) != term.negated
    })
}

fn unlisted(error: &ObjectsError) -> Status {
    Status::internal(format!("unable to list matching resources: {error}"))
}

/// Upstream's 404 for an object that is known and has no usage, with the reason added.
fn no_usage(resource: &str, name: &str, why: &str) -> Status {
    let mut status = Status::not_found(USAGE, resource, name);
    status.message = format!("{}: {why}", status.message);
    status
}

/// Usage of those that have it, and why the others have not.
type Found = (Vec<Usage>, Vec<String>);

impl Lookup<'_> {
    async fn node(&self, name: &str) -> Result<Usage, Status> {
        let nodes = self.adapter.cluster.nodes(Some(name), &LabelSelector::everything()).await;
        let nodes = nodes.map_err(|error| unlisted(&error))?;
        let node = nodes.first().ok_or_else(|| Status::not_found("", "node", name))?;
        let (mut found, why) = self.nodes(&[node]).await?;
        found.pop().ok_or_else(|| no_usage("nodemetrics", name, &why.join("; ")))
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Usage, Status> {
        let everything = LabelSelector::everything();
        let pods = self.adapter.cluster.running_pods(Some(namespace), Some(name), &everything).await;
        let pods = pods.map_err(|error| unlisted(&error))?;
        let missing = || {
            let mut status = Status::not_found("", "pods", name);
            status.message.push_str(": no pod of that name runs");
            status
        };
        let pod = pods.first().ok_or_else(missing)?;
        let (mut found, why) = self.pods(namespace, &[pod]).await?;
        found.pop().ok_or_else(|| no_usage("podmetrics", &format!("{namespace}/{name}"), &why.join("; ")))
    }

    /// Usage of pods that are sorted by namespace, in their order.
    async fn of_namespaces(&self, pods: &[&Described]) -> Result<Vec<Usage>, Status> {
        // Boxed, for the compiler cannot tell that a stream of futures that borrow is Send.
        let questions: Vec<_> = pods
            .chunk_by(|one, next| one.namespace == next.namespace)
            .map(|pods| self.pods(&pods[0].namespace, pods).boxed())
            .collect();
        let found = futures_util::stream::iter(questions).buffered(NAMESPACES_AT_ONCE);
        let found: Vec<Found> = found.try_collect().await?;
        Ok(found.into_iter().flat_map(|(usage, _)| usage).collect())
    }

    async fn nodes(&self, nodes: &[&Described]) -> Result<Found, Status> {
        if nodes.is_empty() {
            return Ok(Found::default());
        }
        let names = names(nodes);
        let plan = self.rules.nodes(&names).map_err(|error| errors::of_source(&SourceError::Plan(error)))?;
        let (cpu, memory) = self.both(&plan).await?;
        let (cpu, memory) = (samples(&cpu), samples(&memory));
        let usage = plan.node_usage(cpu, memory, &names, self.source.non_finite());
        let of = usage.into_iter().map(|NodeUsage { name, timestamp_ms, cpu_milli, memory_milli }| {
            (name, timestamp_ms, Measured::Usage(quantities(cpu_milli, memory_milli)))
        });
        Ok(self.found(nodes, of, |name| plan.missing(cpu, memory, name)))
    }

    async fn pods(&self, namespace: &str, pods: &[&Described]) -> Result<Found, Status> {
        let names = names(pods);
        let plan = self.rules.pods(namespace, &names);
        let plan = plan.map_err(|error| errors::of_source(&SourceError::Plan(error)))?;
        let (cpu, memory) = self.both(&plan).await?;
        let (cpu, memory) = (samples(&cpu), samples(&memory));
        let container = |container: ContainerUsage| Container {
            usage: quantities(container.cpu_milli, container.memory_milli),
            name: container.name,
        };
        let usage = plan.pod_usage(cpu, memory, &names, self.source.non_finite());
        let of = usage.into_iter().map(|PodUsage { name, timestamp_ms, containers }| {
            (name, timestamp_ms, Measured::Containers(containers.into_iter().map(container).collect()))
        });
        Ok(self.found(pods, of, |name| plan.missing(cpu, memory, name)))
    }

    /// Joins objects with what was measured of them, which is in their order.
    fn found(
        &self,
        objects: &[&Described],
        measured: impl Iterator<Item = (String, i64, Measured)>,
        missing: impl Fn(&str) -> String,
    ) -> Found {
        let (mut measured, mut found) = (measured.peekable(), Found::default());
        for object in objects {
            match measured.next_if(|(name, ..)| *name == object.name) {
                Some((_, timestamp_ms, of)) => found.0.push(self.usage(object, timestamp_ms, of)),
                None => found.1.push(missing(&object.name)),
            }
        }
        found
    }

    async fn both(&self, plan: &UsagePlan) -> Result<(Arc<Answer>, Arc<Answer>), Status> {
        let (cpu, memory) =
            tokio::join!(self.source.answer(&plan.cpu.promql), self.source.answer(&plan.memory.promql));
        let fault = |error| errors::unable_to_fetch(&error);
        Ok((cpu.map_err(fault)?, memory.map_err(fault)?))
    }

    fn usage(&self, object: &Described, timestamp_ms: i64, of: Measured) -> Usage {
        Usage {
            kind: None,
            api_version: None,
            metadata: Metadata {
                name: object.name.clone(),
                namespace: Some(object.namespace.clone()).filter(|namespace| !namespace.is_empty()),
                creation_timestamp: rfc3339_seconds((self.adapter.clock)()),
                labels: object.labels.clone(),
            },
            timestamp: rfc3339_seconds(timestamp_ms),
            window: go_duration(i128::from(self.rules.window_ms()) * 1_000_000),
            of,
        }
    }
}

fn names(objects: &[&Described]) -> Vec<String> {
    objects.iter().map(|object| object.name.clone()).collect()
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
    BTreeMap::from([
        ("cpu", quantity(cpu_milli, QuantityFormat::DecimalSi)),
        ("memory", quantity(memory_milli, QuantityFormat::BinarySi)),
    ])
}

fn list(kind: &'static str, items: Vec<Usage>) -> List<Usage> {
    List { kind, api_version: format!("{USAGE}/{VERSION}"), metadata: Empty {}, items }
}

fn alone(usage: Usage, kind: &'static str) -> Usage {
    Usage { kind: Some(kind), api_version: Some(format!("{USAGE}/{VERSION}")), ..usage }
}
