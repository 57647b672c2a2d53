//! Which metric of which group is to be explained. Pure.

use crate::history::answer::{Refusal, names_of};
use crate::names::PodName;
use crate::node_exporter::rows;
use crate::sample::{ContainerReading, PodReading, Sweep};
use crate::table::{Metric, Source};
use crate::{cadvisor, resource};
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
    let served = |metric| Served {
        name: name.to_owned(),
        metric,
        by_cadvisor: cadvisor.is_some() || more.is_some(),
        by_resource: resource.is_some() || more.is_some(),
        by_node: node.is_some(),
    };
    others.or(node).map(served).ok_or_else(|| {
        let rows = cadvisor::metrics().into_iter().chain(resource::metrics()).chain(&MORE).chain(rows::ROWS);
        let nearest = nearest(name, rows.map(|row| row.name));
        Refusal::unknown(format!("no metric {name}; the nearest are {nearest}"))
    })
}

/// The group whose value is explained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Absent for the node.
    pub pod: Option<PodName>,
    /// Absent for the pod's own group.
    pub container: Option<String>,
}

impl Target {
    /// Reads the parameters.
    ///
    /// # Errors
    /// One of them makes no sense, or not for this metric.
    pub fn parse(query: &Query, metric: &Metric) -> Result<Target, Refusal> {
        let (pod, container) = names_of(query)?;
        let of_node = ["node_", "machine_", "cadvisor_"].iter().any(|start| metric.name.starts_with(start))
            || metric.name.ends_with("scrape_error");
        if of_node && pod.is_some() {
            return Err(Refusal::parameter("pod", &format!("{} is of the node: leave it out", metric.name)));
        }
        if metric.name.starts_with("pod_") {
            if pod.is_none() {
                return Err(Refusal::parameter("pod", &format!("{} is of a pod: name it", metric.name)));
            }
            if container.is_some() {
                let what = format!("{} is of the pod: leave it out", metric.name);
                return Err(Refusal::parameter("container", &what));
            }
        }
        Ok(Target { pod, container })
    }

    /// The sweep with this group alone, and its path. The containers of a pod stay, as its network is with one of them.
    ///
    /// # Errors
    /// The sweep has no such group; the nearest names are named.
    pub fn only(&self, sweep: &Sweep) -> Result<(Sweep, String), Refusal> {
        let mut only = Sweep { pods: Vec::new(), containers: Vec::new(), ..sweep.clone() };
        let Some(name) = &self.pod else { return Ok((only, String::new())) };
        let start = |reading: &crate::sample::Reading| reading.start_unix_ms;
        let pod: Option<&PodReading> = sweep
            .pods
            .iter()
            .filter(|pod| pod.name.as_deref() == Some(name))
            .max_by_key(|pod| start(&pod.reading));
        let Some(pod) = pod else {
            let known = sweep.pods.iter().filter_map(|pod| pod.name.as_deref());
            let known: Vec<String> = known.map(|name| format!("{}/{}", name.namespace, name.pod)).collect();
            let asked = format!("{}/{}", name.namespace, name.pod);
            let nearest = nearest(&asked, known.iter().map(String::as_str));
            return Err(Refusal::unknown(format!("no pod {asked} on this node; the nearest are {nearest}")));
        };
        let members: Vec<&ContainerReading> =
            sweep.containers.iter().filter(|container| container.pod_uid == pod.uid).collect();
        let Some(wanted) = &self.container else {
            only.pods.push(pod.clone());
            only.containers.extend(members.into_iter().cloned());
            return Ok((only, pod.path.to_string()));
        };
        let named = |one: &&&ContainerReading| one.name.as_ref().is_some_and(|n| n.container == *wanted);
        let found = members.iter().filter(named).max_by_key(|one| start(&one.reading));
        let Some(container) = found else {
            let known = members.iter().filter_map(|one| one.name.as_deref());
            let nearest = nearest(wanted, known.map(|name| name.container.as_str()));
            let pod = format!("{}/{}", name.namespace, name.pod);
            let message = format!("no container {wanted} in pod {pod}; the nearest are {nearest}");
            return Err(Refusal::unknown(message));
        };
        only.containers.push(ContainerReading::clone(container));
        Ok((only, container.path.to_string()))
    }
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
        ] {
            let refusal = Target::parse(&Query::parse(query), metric(name).unwrap().metric).unwrap_err();
            assert!(refusal.message.contains(named), "{name} {query}: {}", refusal.message);
        }
    }
}
