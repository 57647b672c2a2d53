//! `resourceRules`: usage of pods and nodes for metrics.k8s.io.
//!
//! CPU becomes thousandths of a core, memory thousandths of a byte, cut off towards zero as upstream does. Upstream takes
//! NaN and negative values for zero, and a container that lacks one of the two for one that uses none of it; by default
//! the pod is left out here instead, because a false zero scales a workload. [`NonFinite::Zero`] answers as upstream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answer::{NonFinite, Sample, milli};
use super::compiled::metrics_query;
use super::labels::LabelMap;
use super::plan::PlanError;
use super::query::{self, Conditions};
use crate::config::{ConfigError, ResourceRule, ResourceRules, Text};
use crate::kinds::{GroupResource, Kinds};
use crate::template::Template;

/// Both rules.
#[derive(Debug)]
pub struct UsageRules {
    cpu: UsageRule,
    memory: UsageRule,
    window_ms: u64,
}

#[derive(Debug)]
struct UsageRule {
    line: u64,
    container: Template,
    node: Template,
    labels: LabelMap,
    container_label: String,
}

/// One query, and how to read its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// The query.
    pub promql: String,
    /// Label of the answer that names the pod or node.
    pub object_label: String,
    /// Label of the answer that names the container.
    pub container_label: String,
}

/// The queries for some pods of one namespace, or some nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePlan {
    /// Cores.
    pub cpu: UsageQuery,
    /// Bytes.
    pub memory: UsageQuery,
}

/// One of the four queries, made for all objects of all namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageProbe {
    /// Line of the rule.
    pub line: u64,
    /// `cpu.containerQuery`
    pub field: String,
    /// The query, or why there is none.
    pub query: Result<String, String>,
    /// Label of the answer that names the pod or node; empty where there is none.
    pub object_label: String,
}

/// Usage of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Its name.
    pub name: String,
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Thousandths of a byte.
    pub memory_milli: i64,
}

/// Usage of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodUsage {
    /// Its name.
    pub name: String,
    /// The earliest of its samples, Unix milliseconds.
    pub timestamp_ms: i64,
    /// Sorted by name.
    pub containers: Vec<ContainerUsage>,
}

/// Usage of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUsage {
    /// Its name.
    pub name: String,
    /// The earlier of its samples, Unix milliseconds.
    pub timestamp_ms: i64,
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Thousandths of a byte.
    pub memory_milli: i64,
}

impl UsageRules {
    /// Compiles the rules.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn compile(rules: &ResourceRules, kinds: &Arc<Kinds>) -> Result<UsageRules, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut rule = |name: &str, rule: &ResourceRule| {
            UsageRule::compile(name, rule, kinds).map_err(|faults| errors.extend(faults)).ok()
        };
        match (rule("cpu", &rules.cpu), rule("memory", &rules.memory)) {
            (Some(cpu), Some(memory)) => Ok(UsageRules { cpu, memory, window_ms: rules.window_ms }),
            _ => Err(errors),
        }
    }

    /// The window that answers report, milliseconds.
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// The queries as they can be tried without naming an object.
    pub fn probes(&self) -> Vec<UsageProbe> {
        let rules = [("cpu", &self.cpu), ("memory", &self.memory)];
        let probes = rules.iter().flat_map(|(name, rule)| {
            [
                (format!("{name}.containerQuery"), rule.probe(true)),
                (format!("{name}.nodeQuery"), rule.probe(false)),
            ]
            .map(|(field, (query, object_label))| UsageProbe {
                line: rule.line,
                field,
                query,
                object_label,
            })
        });
        probes.collect()
    }

    /// Queries for pods of a namespace.
    ///
    /// # Errors
    /// A rule that gives no label for pods or namespaces, or no query.
    pub fn pods(&self, namespace: &str, names: &[String]) -> Result<UsagePlan, PlanError> {
        let pods = GroupResource::new("", "pods");
        let plan = |rule: &UsageRule| rule.query(&rule.container, &pods, Some(namespace), true, names);
        Ok(UsagePlan { cpu: plan(&self.cpu)?, memory: plan(&self.memory)? })
    }

    /// Queries for nodes.
    ///
    /// # Errors
    /// A rule that gives no label for nodes, or no query.
    pub fn nodes(&self, names: &[String]) -> Result<UsagePlan, PlanError> {
        let nodes = GroupResource::new("", "nodes");
        let plan = |rule: &UsageRule| rule.query(&rule.node, &nodes, None, false, names);
        Ok(UsagePlan { cpu: plan(&self.cpu)?, memory: plan(&self.memory)? })
    }
}

impl UsageRule {
    fn compile(name: &str, rule: &ResourceRule, kinds: &Arc<Kinds>) -> Result<UsageRule, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut template = |field: &str, text: &Text| {
            let named = |reason: String| format!("resourceRules.{name}.{field}: {}", unprefixed(&reason));
            metrics_query(text)
                .map_err(|reason| errors.push(ConfigError { line: text.line, message: named(reason) }))
                .ok()
        };
        let container = template("containerQuery", &rule.container_query);
        let node = template("nodeQuery", &rule.node_query);
        let labels = LabelMap::compile(&rule.resources, kinds).map_err(|faults| errors.extend(faults)).ok();
        if rule.container_label.is_empty() {
            let message = format!("resourceRules.{name}.containerLabel is missing");
            errors.push(ConfigError { line: rule.line, message });
        }
        match (container, node, labels) {
            (Some(container), Some(node), Some(labels)) if errors.is_empty() => Ok(UsageRule {
                line: rule.line,
                container,
                node,
                labels,
                container_label: rule.container_label.clone(),
            }),
            _ => Err(errors),
        }
    }

    /// The query for everything, and the label that names objects in its answer.
    fn probe(&self, of_pods: bool) -> (Result<String, String>, String) {
        let (template, resource) = if of_pods { (&self.container, "pods") } else { (&self.node, "nodes") };
        let label =
            |resource: &str| self.labels.label_for(&GroupResource::new("", resource), &BTreeSet::new());
        let object = match label(resource) {
            Ok(label) => label,
            Err(reason) => return (Err(reason), String::new()),
        };
        let mut conditions = Conditions::default();
        let mut group_by = vec![object.as_str()];
        if of_pods {
            match label("namespaces") {
                Ok(label) => conditions.any(&label),
                Err(reason) => return (Err(reason), object),
            }
            group_by.push(&self.container_label);
        }
        conditions.any(&object);
        (query::render(template, "", &conditions, &group_by, None), object)
    }

    fn query(
        &self,
        template: &Template,
        resource: &GroupResource,
        namespace: Option<&str>,
        by_container: bool,
        names: &[String],
    ) -> Result<UsageQuery, PlanError> {
        if names.is_empty() {
            return Err(PlanError::NoObjects);
        }
        let fault = |reason: String| PlanError::Rule { line: self.line, reason };
        let label =
            |resource: &GroupResource| self.labels.label_for(resource, &BTreeSet::new()).map_err(fault);
        let mut conditions = Conditions::default();
        if let Some(namespace) = namespace {
            conditions.equal(&label(&GroupResource::new("", "namespaces"))?, namespace);
        }
        let object_label = label(resource)?;
        conditions.one_of(&object_label, names);
        let mut group_by = vec![object_label.as_str()];
        group_by.extend(by_container.then_some(self.container_label.as_str()));
        let promql = query::render(template, "", &conditions, &group_by, None).map_err(fault)?;
        Ok(UsageQuery { promql, object_label, container_label: self.container_label.clone() })
    }
}

/// Without the field's name that [`metrics_query`] puts before its reason.
fn unprefixed(reason: &str) -> &str {
    match reason.strip_prefix("metricsQuery") {
        Some(rest) => rest.trim_start_matches(": ").trim_start(),
        None => reason,
    }
}

/// Value and time of a sample, as usage.
fn usage(sample: &Sample, non_finite: NonFinite) -> Option<(i64, i64)> {
    let value = match non_finite {
        NonFinite::Zero if sample.value < 0.0 => 0.0,
        _ => sample.value,
    };
    let milli = milli(value, non_finite).filter(|milli| *milli >= 0)?;
    Some((milli, sample.timestamp_ms))
}

impl UsagePlan {
    /// Usage of the pods, in their order; those that cannot be told are left out.
    pub fn pod_usage(
        &self,
        cpu: &[Sample],
        memory: &[Sample],
        names: &[String],
        non_finite: NonFinite,
    ) -> Vec<PodUsage> {
        let (cpu, memory) = (by_container(&self.cpu, cpu), by_container(&self.memory, memory));
        names
            .iter()
            .filter_map(|name| pod(name, cpu.get(name.as_str())?, memory.get(name.as_str())?, non_finite))
            .collect()
    }

    /// Why there is no usage of a pod or node, in a sentence.
    pub fn missing(&self, cpu: &[Sample], memory: &[Sample], name: &str) -> String {
        let queries = [("CPU", &self.cpu, cpu), ("memory", &self.memory, memory)];
        let has = |query: &UsageQuery, samples: &[Sample]| {
            samples.iter().any(|sample| sample.labels.get(&query.object_label) == Some(name))
        };
        match queries.iter().find(|(_, query, samples)| !has(query, samples)) {
            Some((what, query, _)) => {
                format!("the query for {what} has no sample of it now ({})", query.promql)
            }
            None => {
                "a value is missing for one of its containers, or is not a number, or negative".to_owned()
            }
        }
    }

    /// Usage of the nodes, in their order; those that cannot be told are left out.
    pub fn node_usage(
        &self,
        cpu: &[Sample],
        memory: &[Sample],
        names: &[String],
        non_finite: NonFinite,
    ) -> Vec<NodeUsage> {
        let of = |query: &UsageQuery, samples: &[Sample], name: &str| {
            let sample =
                samples.iter().find(|sample| sample.labels.get(&query.object_label) == Some(name))?;
            usage(sample, non_finite)
        };
        let node = |name: &String| {
            let (cpu_milli, cpu_ms) = of(&self.cpu, cpu, name)?;
            let (memory_milli, memory_ms) = of(&self.memory, memory, name)?;
            Some(NodeUsage {
                name: name.clone(),
                timestamp_ms: cpu_ms.min(memory_ms),
                cpu_milli,
                memory_milli,
            })
        };
        names.iter().filter_map(node).collect()
    }
}

type Containers<'a> = BTreeMap<&'a str, &'a Sample>;

/// Samples by pod and container; of two for one container the later one counts, as upstream.
fn by_container<'a>(query: &UsageQuery, samples: &'a [Sample]) -> BTreeMap<&'a str, Containers<'a>> {
    let mut pods: BTreeMap<&str, Containers<'_>> = BTreeMap::new();
    for sample in samples {
        if let Some(pod) = sample.labels.get(&query.object_label) {
            let container = sample.labels.get(&query.container_label).unwrap_or_default();
            pods.entry(pod).or_default().insert(container, sample);
        }
    }
    pods
}

fn pod(name: &str, cpu: &Containers<'_>, memory: &Containers<'_>, non_finite: NonFinite) -> Option<PodUsage> {
    let names: BTreeSet<&str> = cpu.keys().chain(memory.keys()).copied().collect();
    let mut timestamp_ms = i64::MAX;
    let mut containers = Vec::new();
    for container in names {
        let mut of = |samples: &Containers<'_>| match samples.get(container) {
            Some(sample) => {
                let (milli, time) = usage(sample, non_finite)?;
                timestamp_ms = timestamp_ms.min(time);
                Some(milli)
            }
            None => (non_finite == NonFinite::Zero).then_some(0),
        };
        let (cpu_milli, memory_milli) = (of(cpu)?, of(memory)?);
        containers.push(ContainerUsage { name: container.to_owned(), cpu_milli, memory_milli });
    }
    Some(PodUsage { name: name.to_owned(), timestamp_ms, containers })
}
