//! `flyball top`: the two tables of `kubectl top`, for machines without kubectl.
//!
//! Units and rounding are kubectl's: CPU in millicores rounded up, memory in whole mebibytes rounded down, percent of
//! the node's allocatable rounded down; nodes and pods by name, with `--sort-by` by falling use.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use flyball_model::quantity::Quantity;
use flyball_model::resource_metrics::{List, NodeMetrics, PodMetrics};
use kube::Client;
use serde_json::Value;

use crate::flags::{Output, PodArgs, SortBy, TopArgs, TopResource};
use crate::output;
use crate::query;

/// Bytes in a mebibyte, kubectl's unit of memory.
const MEBIBYTE: i64 = 1024 * 1024;

/// Prints the table that `args` asks for.
pub async fn run(args: TopArgs) -> anyhow::Result<()> {
    let (client, namespace) = query::client(&args.cluster).await?;
    let version = query::metrics_version(&client).await?;
    match &args.resource {
        TopResource::Nodes(node) => {
            nodes(&client, version, node.name.as_deref(), node.selector.as_deref(), node.sort_by, &args).await
        }
        TopResource::Pods(pod) => pods(&client, version, pod, &namespace, &args).await,
    }
}

async fn nodes(
    client: &Client,
    version: &str,
    name: Option<&str>,
    selector: Option<&str>,
    sort_by: Option<SortBy>,
    args: &TopArgs,
) -> anyhow::Result<()> {
    let base = format!("/apis/metrics.k8s.io/{version}/nodes");
    let body = query::get_or_list(client, &base, name, selector).await?;
    if args.output != Output::Table {
        return output::print(&body, args.output);
    }
    let mut metrics: Vec<NodeMetrics> = items(&body)?;
    if metrics.is_empty() {
        bail!("metrics not available yet");
    }
    let known = query::get_or_list(client, "/api/v1/nodes", name, selector).await?;
    let allocatable = allocatable_by_node(&known);
    metrics.sort_by(|a, b| {
        by_use(sort_by, &a.usage, &b.usage).then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    let rows = metrics.iter().map(|node| {
        let total = allocatable.get(&node.metadata.name);
        let cpu = milli(&node.usage, "cpu");
        let memory = whole(&node.usage, "memory");
        vec![
            node.metadata.name.clone(),
            format!("{cpu}m"),
            percent(cpu, total.and_then(|t| t.get("cpu")).map(Quantity::milli_value)),
            format!("{}Mi", memory / MEBIBYTE),
            percent(memory, total.and_then(|t| t.get("memory")).map(Quantity::value)),
        ]
    });
    output::table(
        &["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"],
        rows.collect(),
        args.no_headers,
    )
}

async fn pods(
    client: &Client,
    version: &str,
    pod: &PodArgs,
    namespace: &str,
    args: &TopArgs,
) -> anyhow::Result<()> {
    let base = if pod.all_namespaces {
        format!("/apis/metrics.k8s.io/{version}/pods")
    } else {
        format!("/apis/metrics.k8s.io/{version}/namespaces/{namespace}/pods")
    };
    let body = query::get_or_list(client, &base, pod.name.as_deref(), pod.selector.as_deref()).await?;
    if args.output != Output::Table {
        return output::print(&body, args.output);
    }
    let mut metrics: Vec<PodMetrics> = items(&body)?;
    if metrics.is_empty() {
        let place = if pod.all_namespaces { String::new() } else { format!(" in {namespace} namespace.") };
        eprintln!("No resources found{place}");
        return Ok(());
    }
    metrics.sort_by(|a, b| {
        by_use(pod.sort_by, &total(a), &total(b)).then_with(|| {
            (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name))
        })
    });
    let (header, rows) = pod_table(&metrics, pod.all_namespaces, pod.containers);
    output::table(&header, rows, args.no_headers)
}

fn pod_table(
    metrics: &[PodMetrics],
    namespaces: bool,
    containers: bool,
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let mut header = Vec::new();
    if namespaces {
        header.push("NAMESPACE");
    }
    if containers {
        header.push("POD");
    }
    header.extend(["NAME", "CPU(cores)", "MEMORY(bytes)"]);
    let mut rows = Vec::new();
    for pod in metrics {
        let mut prefix = Vec::new();
        if namespaces {
            prefix.push(pod.metadata.namespace.clone().unwrap_or_default());
        }
        if containers {
            prefix.push(pod.metadata.name.clone());
            for container in &pod.containers {
                rows.push(with_usage(&prefix, &container.name, &container.usage));
            }
        } else {
            rows.push(with_usage(&prefix, &pod.metadata.name, &total(pod)));
        }
    }
    (header, rows)
}

fn with_usage(prefix: &[String], name: &str, usage: &BTreeMap<String, Quantity>) -> Vec<String> {
    let mut row = prefix.to_vec();
    row.push(name.to_owned());
    row.push(format!("{}m", milli(usage, "cpu")));
    row.push(format!("{}Mi", whole(usage, "memory") / MEBIBYTE));
    row
}

/// A list's items, or the one object of a GET by name.
fn items<T: serde::de::DeserializeOwned>(body: &Value) -> anyhow::Result<Vec<T>> {
    if body.get("items").is_some() {
        let list: List<T> =
            serde_json::from_value(body.clone()).context("the metrics API sent no list of metrics")?;
        Ok(list.items)
    } else {
        Ok(vec![serde_json::from_value(body.clone()).context("the metrics API sent no metrics object")?])
    }
}

/// The pod's use: the sum over its containers, in nanocores and bytes.
fn total(pod: &PodMetrics) -> BTreeMap<String, Quantity> {
    let cpu: i64 = pod.containers.iter().map(|container| milli(&container.usage, "cpu")).sum();
    let memory: i64 = pod.containers.iter().map(|container| whole(&container.usage, "memory")).sum();
    BTreeMap::from([
        ("cpu".to_owned(), Quantity::from_milli(cpu, flyball_model::quantity::QuantityFormat::DecimalSi)),
        ("memory".to_owned(), Quantity::from_bytes(u64::try_from(memory).unwrap_or(0))),
    ])
}

fn by_use(
    sort_by: Option<SortBy>,
    a: &BTreeMap<String, Quantity>,
    b: &BTreeMap<String, Quantity>,
) -> std::cmp::Ordering {
    match sort_by {
        None => std::cmp::Ordering::Equal,
        Some(SortBy::Cpu) => milli(b, "cpu").cmp(&milli(a, "cpu")),
        Some(SortBy::Memory) => whole(b, "memory").cmp(&whole(a, "memory")),
    }
}

fn milli(usage: &BTreeMap<String, Quantity>, resource: &str) -> i64 {
    usage.get(resource).map_or(0, Quantity::milli_value)
}

fn whole(usage: &BTreeMap<String, Quantity>, resource: &str) -> i64 {
    usage.get(resource).map_or(0, Quantity::value)
}

fn percent(used: i64, available: Option<i64>) -> String {
    match available {
        None => "<unknown>".to_owned(),
        Some(0) => "0%".to_owned(),
        Some(available) => format!("{}%", i128::from(used) * 100 / i128::from(available)),
    }
}

fn allocatable_by_node(nodes: &Value) -> BTreeMap<String, BTreeMap<String, Quantity>> {
    let single = std::slice::from_ref(nodes);
    let list = nodes.get("items").and_then(Value::as_array).map_or(single, Vec::as_slice);
    list.iter()
        .filter_map(|node| {
            let name = node.pointer("/metadata/name")?.as_str()?;
            let allocatable = node.pointer("/status/allocatable")?.clone();
            Some((name.to_owned(), serde_json::from_value(allocatable).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str, containers: &[(&str, &str, &str)]) -> PodMetrics {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "namespace": namespace},
            "timestamp": "2026-11-22T11:05:36Z", "window": "1s",
            "containers": containers.iter().map(|(name, cpu, memory)| serde_json::json!({
                "name": name, "usage": {"cpu": cpu, "memory": memory}})).collect::<Vec<_>>(),
        }))
        .expect("a pod's metrics")
    }

    #[test]
    fn a_pod_is_the_sum_of_its_containers_each_rounded_up() {
        let pods = [pod("ns", "p", &[("a", "8300499n", "20124Ki"), ("b", "11300698n", "20192Ki")])];
        let (header, rows) = pod_table(&pods, false, false);
        assert_eq!(header, ["NAME", "CPU(cores)", "MEMORY(bytes)"]);
        assert_eq!(rows, [["p", "21m", "39Mi"]]);
    }

    #[test]
    fn containers_and_namespaces_add_columns() {
        let pods = [pod("ns", "p", &[("a", "250m", "1Mi")])];
        let (header, rows) = pod_table(&pods, true, true);
        assert_eq!(header, ["NAMESPACE", "POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]);
        assert_eq!(rows, [["ns", "p", "a", "250m", "1Mi"]]);
    }

    #[test]
    fn percent_is_rounded_down_and_unknown_without_allocatable() {
        assert_eq!(percent(199, Some(1000)), "19%");
        assert_eq!(percent(1, Some(0)), "0%");
        assert_eq!(percent(1, None), "<unknown>");
    }
}
