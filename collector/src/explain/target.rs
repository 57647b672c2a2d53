//! Which metric of which group is to be explained. Pure.

use super::terms::Unit;
use crate::history::answer::{Refusal, names_of};
use crate::names::PodName;
use crate::node_exporter::rows;
use crate::sample::{ContainerReading, PodReading, Sweep};
use crate::table::{Metric, Source};
use crate::{cadvisor, resource, summary};
use flyball_apiserver::Query;
use flyball_model::exposition::MetricType;

/// Names offered instead of an unknown one.
const OFFERED: usize = 3;
/// Longest name looked at.
const NAME_LIMIT: usize = 256;

/// What both endpoints print beside the rows of their tables.
const MORE: [Metric; 5] = [
    error_gauge("container_scrape_error"),
    error_gauge("machine_scrape_error"),
    error_gauge("resource_scrape_error"),
    error_gauge("scrape_error"),
    Metric::new(
        "cadvisor_version_info",
        MetricType::Gauge,
        &["cadvisorRevision", "cadvisorVersion", "dockerVersion", "kernelVersion", "osVersion"],
        "Constant 1, labelled with the versions of kernel, operating system and this program.",
        Source::both("/proc/sys/kernel/osrelease, and /etc/os-release"),
    ),
];

const fn error_gauge(name: &'static str) -> Metric {
    let help = "1 if there was an error while getting container metrics, 0 otherwise";
    Metric::new(name, MetricType::Gauge, &[], help, Source::both("none: whether a sweep was finished"))
}

/// Where a family is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Its row.
    pub metric: &'static Metric,
    /// Paths of the endpoints, the one whose row it is first.
    pub by_cadvisor: bool,
    /// Also, or only, `/metrics/resource`.
    pub by_resource: bool,
    /// `/metrics/node` alone.
    pub by_node: bool,
    /// A field of `/stats/summary`.
    pub by_summary: bool,
}

impl Served {
    /// What its value is counted in.
    pub fn unit(&self) -> Unit {
        match self.metric.name {
            "cpu.usageNanoCores" | "cpu.usageCoreNanoSeconds" => Unit::Nanoseconds,
            name if name.ends_with(".total") => Unit::Microseconds,
            name if name.ends_with(".<average>") => Unit::Percent,
            name if name.contains("_seconds") => Unit::Seconds,
            _ => Unit::Plain,
        }
    }

    /// Whether it is how fast what it is made of grows.
    pub fn is_rate(&self) -> bool {
        self.metric.name == "cpu.usageNanoCores"
    }
}

/// The row of a name.
///
/// # Errors
/// There is none; the nearest are named.
pub fn metric(name: &str) -> Result<Served, Refusal> {
    let of = |rows: Vec<&'static Metric>| rows.into_iter().find(|row| row.names(name));
    let (cadvisor, resource) = (of(cadvisor::metrics()), of(resource::metrics()));
    let more = MORE.iter().find(|row| row.name == name);
    let others = cadvisor.or(resource).or(more);
    // A row that leaves a part of the name open would take some of the others for its own.
    let node = rows::ROWS.iter().find(|row| row.names(name)).filter(|_| others.is_none());
    let summary = summary::ROWS.iter().find(|row| row.names(name)).filter(|_| others.or(node).is_none());
    let served = |metric| Served {
        name: name.to_owned(),
        metric,
        by_cadvisor: cadvisor.is_some() || more.is_some(),
        by_resource: resource.is_some() || more.is_some(),
        by_node: node.is_some(),
        by_summary: summary.is_some(),
    };
    others.or(node).or(summary).map(served).ok_or_else(|| {
        let rows = cadvisor::metrics().into_iter().chain(resource::metrics()).chain(&MORE);
        let rows = rows.chain(rows::ROWS).chain(&summary::ROWS);
        let nearest = nearest(name, rows.map(|row| row.name));
        Refusal::unknown(format!("no metric {name}; the nearest are {nearest}"))
    })
}

/// The group whose value is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The machine.
    Node,
    /// A pod's own group.
    Pod(PodName),
    /// The group of a pod's container.
    Container(PodName, String),
    /// The group at this path, as label `id` has it: also of what has no name, and of what is no pod's.
    Group(String),
}

impl Target {
    /// Reads the parameters.
    ///
    /// # Errors
    /// One of them makes no sense, or not for this metric.
    pub fn parse(query: &Query, metric: &Metric) -> Result<Target, Refusal> {
        let target = match (names_of(query)?, query.first("id")) {
            ((None, _), None | Some("/")) => Target::Node,
            ((None, _), Some(id)) => Target::Group(id.to_owned()),
            ((Some(_), _), Some(_)) => {
                return Err(Refusal::parameter("id", "names the group already: leave pod and container out"));
            }
            ((Some(pod), None), None) => Target::Pod(pod),
            ((Some(pod), Some(container)), None) => Target::Container(pod, container),
        };
        let of_node = ["node_", "machine_", "cadvisor_"].iter().any(|start| metric.name.starts_with(start))
            || metric.name.ends_with("scrape_error");
        let name = metric.name;
        let wrong = match &target {
            Target::Pod(_) | Target::Container(..) if of_node => ("pod", "is of the node: leave it out"),
            Target::Group(_) if of_node => ("id", "is of the node: leave it out"),
            Target::Node if name.starts_with("pod_") => ("pod", "is of a pod: name it"),
            Target::Container(..) if name.starts_with("pod_") => ("container", "is of the pod: leave it out"),
            _ => return Ok(target),
        };
        Err(Refusal::parameter(wrong.0, &format!("{name} {}", wrong.1)))
    }

    /// The sweep with this group alone, and its path. The containers of a pod stay, as its network is with one of them.
    ///
    /// # Errors
    /// The sweep has no such group; the nearest names are named.
    pub fn only(&self, sweep: &Sweep) -> Result<(Sweep, String), Refusal> {
        match self {
            Target::Node => Ok((without_groups(sweep), String::new())),
            Target::Pod(name) => Ok(only_pod(sweep, find_pod(sweep, name)?)),
            Target::Container(name, container) => {
                let pod = find_pod(sweep, name)?;
                Ok(only_container(sweep, find_container(sweep, pod, name, container)?))
            }
            Target::Group(path) => only_group(sweep, path),
        }
    }
}

/// The machine alone.
pub(super) fn without_groups(sweep: &Sweep) -> Sweep {
    let (system, pods, containers) = (Vec::new(), Vec::new(), Vec::new());
    Sweep { system, pods, containers, ..sweep.clone() }
}

fn members<'s>(sweep: &'s Sweep, pod: &PodReading) -> impl Iterator<Item = &'s ContainerReading> {
    sweep.containers.iter().filter(move |container| container.pod_uid == pod.uid)
}

fn only_pod(sweep: &Sweep, pod: &PodReading) -> (Sweep, String) {
    let (pods, containers) = (vec![pod.clone()], members(sweep, pod).cloned().collect());
    (Sweep { pods, containers, ..without_groups(sweep) }, pod.path.to_string())
}

fn only_container(sweep: &Sweep, container: &ContainerReading) -> (Sweep, String) {
    let containers = vec![container.clone()];
    (Sweep { containers, ..without_groups(sweep) }, container.path.to_string())
}

fn only_group(sweep: &Sweep, path: &str) -> Result<(Sweep, String), Refusal> {
    if let Some(system) = sweep.system.iter().find(|system| *system.path == *path) {
        let system = vec![system.clone()];
        return Ok((Sweep { system, ..without_groups(sweep) }, path.to_owned()));
    }
    if let Some(pod) = sweep.pods.iter().find(|pod| *pod.path == *path) {
        return Ok(only_pod(sweep, pod));
    }
    if let Some(container) = sweep.containers.iter().find(|container| *container.path == *path) {
        return Ok(only_container(sweep, container));
    }
    let system = sweep.system.iter().map(|system| &*system.path);
    let pods = sweep.pods.iter().map(|pod| &*pod.path);
    let known = system.chain(pods).chain(sweep.containers.iter().map(|container| &*container.path));
    let nearest = nearest(path, known);
    Err(Refusal::unknown(format!("no group {path} on this node; the nearest are {nearest}")))
}

/// The youngest of the name.
fn find_pod<'s>(sweep: &'s Sweep, name: &PodName) -> Result<&'s PodReading, Refusal> {
    let found = sweep.pods.iter().filter(|pod| pod.name.as_deref() == Some(name));
    found.max_by_key(|pod| pod.reading.start_unix_ms).ok_or_else(|| {
        let known = sweep.pods.iter().filter_map(|pod| pod.name.as_deref());
        let known: Vec<String> = known.map(|name| format!("{}/{}", name.namespace, name.pod)).collect();
        let asked = format!("{}/{}", name.namespace, name.pod);
        let nearest = nearest(&asked, known.iter().map(String::as_str));
        Refusal::unknown(format!("no pod {asked} on this node; the nearest are {nearest}"))
    })
}

/// The youngest of the name.
fn find_container<'s>(
    sweep: &'s Sweep,
    pod: &PodReading,
    pod_name: &PodName,
    wanted: &str,
) -> Result<&'s ContainerReading, Refusal> {
    let named = |one: &&ContainerReading| one.name.as_ref().is_some_and(|name| name.container == wanted);
    let found = members(sweep, pod).filter(named).max_by_key(|one| one.reading.start_unix_ms);
    found.ok_or_else(|| {
        let known = members(sweep, pod).filter_map(|one| one.name.as_deref());
        let nearest = nearest(wanted, known.map(|name| name.container.as_str()));
        let pod = format!("{}/{}", pod_name.namespace, pod_name.pod);
        Refusal::unknown(format!("no container {wanted} in pod {pod}; the nearest are {nearest}"))
    })
}

/// The names that take the fewest changes, separated by commas.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<(usize, &str)> = known.map(|other| (changes(name, other), other)).collect();
    known.sort_unstable();
    known.dedup();
    let names: Vec<&str> = known.into_iter().take(OFFERED).map(|(_, name)| name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Letters to add, leave out or replace.
fn changes(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let (a, b) = (&a[..a.len().min(NAME_LIMIT)], &b[..b.len().min(NAME_LIMIT)]);
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_metric_is_answered_with_the_nearest() {
        let refusal = metric("container_cpu_usage_second_total").unwrap_err();
        assert_eq!(refusal.status, 404);
        assert!(
            refusal.message.contains("nearest are container_cpu_usage_seconds_total,"),
            "{}",
            refusal.message
        );
        for name in ["container_memory_rss", "pod_swap_usage_bytes", "machine_cpu_cores", "scrape_error"] {
            assert!(metric(name).is_ok(), "{name}");
        }
        assert_eq!((changes("kitten", "sitting"), changes("", "ab")), (3, 2));
    }

    #[test]
    fn the_group_has_to_fit_the_metric() {
        for (name, query, named) in [
            ("node_cpu_usage_seconds_total", "pod=a/b", "parameter pod"),
            ("machine_cpu_cores", "pod=a/b", "parameter pod"),
            ("pod_cpu_usage_seconds_total", "", "parameter pod"),
            ("pod_cpu_usage_seconds_total", "pod=a/b&container=c", "parameter container"),
            ("container_memory_rss", "container=c", "parameter container"),
            ("container_memory_rss", "pod=a/b&id=/kubepods", "parameter id"),
            ("machine_cpu_cores", "id=/kubepods", "parameter id"),
        ] {
            let refusal = Target::parse(&Query::parse(query), metric(name).unwrap().metric).unwrap_err();
            assert!(refusal.message.contains(named), "{name} {query}: {}", refusal.message);
        }
    }
}
