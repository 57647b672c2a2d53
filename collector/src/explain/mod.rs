#![allow(clippy::disallowed_methods, reason = "reads the files it explains")]
//! `/stats/explain?metric=NAME&pod=NAMESPACE/NAME&container=NAME`: where a value comes from, down to the text of the files.
//!
//! Without `container` the pod's own group, without both the node, whose values include those of `/metrics/node`; a field of
//! `/stats/summary` is named by its path below the node, the pod or the container (`metric=cpu.usageNanoCores`); a group that
//! has no such name is named by its path, as label `id` has it (`id=/system.slice/kubelet.service`). The answer names the metric (help text, type, unit), the
//! files with their keys, the formula, and two readings, the second after the sweep that followed the first. A reading has the
//! time, what each file said (the lines of the key, at most [`LINES_LIMIT`] of at most [`FILE_LIMIT`] bytes), the value by
//! the formula where it is one number, and what each endpoint that has the metric said at that time, letter by letter and
//! with its own time: values of the slower tier are up to a minute old. A counter's `ratePerSecond` is that of the
//! two readings. Series are those of the full set, whatever the collector is told to serve.
//!
//! Files are read on a thread for what blocks, a handful for each request.

mod fields;
mod machine;
pub mod target;
pub mod terms;

use crate::disk::DiskUse;
use crate::history::answer::{Refusal, time};
use crate::machine::Machine;
use crate::mounts::{FilePlan, Version};
use crate::node_exporter::Places;
use crate::sample::Sweep;
use crate::selection::Selection;
use crate::sweeper::Source;
use crate::table::Metric;
use crate::{cadvisor, node, resource, summary};
use fields::Summed;
use flyball_model::exposition::{Format, MetricType, push_label};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use target::{Served, Target};
use terms::{Term, Terms};

/// Most bytes read of a file.
pub const FILE_LIMIT: u64 = 64 * 1024;
/// Most lines shown of a file, and most series of an endpoint.
pub const LINES_LIMIT: usize = 64;

/// What is known of a machine's files.
#[derive(Debug, Clone)]
pub struct Files {
    /// Which file is where.
    pub plan: FilePlan,
    /// What values are made of.
    pub source: Source,
    /// The host's /proc.
    pub proc_root: PathBuf,
    /// Where the machine is.
    pub machine: Places,
}

/// What a reading is made with.
pub struct Seen<'a> {
    /// The last sweep.
    pub sweep: &'a Sweep,
    /// Disk use.
    pub disk: &'a DiskUse,
    /// Facts of the machine.
    pub machine: &'a Machine,
    /// The body of `/metrics/node`, if the question [needs](Question::is_of_node_endpoint) it.
    pub node_body: Option<&'a str>,
    /// Now, Unix milliseconds.
    pub now_unix_ms: i64,
}

/// A metric of a group.
#[derive(Debug, Clone)]
pub struct Question {
    served: Served,
    target: Target,
}

/// What was found at one time.
#[derive(Debug, Clone)]
pub struct Found {
    unix_ms: i64,
    group: String,
    files: Vec<(Term, PathBuf, Result<String, String>)>,
    value: Option<f64>,
    /// Endpoint, and its series.
    exposed: Vec<(&'static str, Vec<String>)>,
}

impl Question {
    /// Reads the parameters.
    ///
    /// # Errors
    /// One of them makes no sense, or there is no such metric.
    pub fn parse(query: &flyball_apiserver::Query) -> Result<Question, Refusal> {
        let name = query.first("metric").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Refusal::parameter("metric", "name the metric to explain"))?;
        let served = target::metric(name)?;
        let target = Target::parse(query, served.metric)?;
        Ok(Question { served, target })
    }

    /// Whether the value is one of `/metrics/node`.
    pub fn is_of_node_endpoint(&self) -> bool {
        self.served.by_node
    }

    /// Reads the files and what the endpoints say. Blocks.
    ///
    /// # Errors
    /// There is no such group.
    pub fn look(&self, files: &Files, seen: &Seen<'_>) -> Result<Found, Refusal> {
        let (only, group) = self.target.only(seen.sweep)?;
        let unix_ms = seen.now_unix_ms;
        if self.served.by_node {
            let files = machine::read(self.served.metric, &self.served.name, &files.machine);
            let body = seen.node_body.unwrap_or_default();
            let exposed = vec![("/metrics/node", first_series(body, &self.served.name))];
            return Ok(Found { unix_ms, value: None, files, exposed, group });
        }
        let terms = self.terms(files);
        let read: Vec<_> = terms.terms.iter().map(|term| self.read(term, files, &group, &only)).collect();
        let exposed = match self.served.by_summary {
            true => vec![("/stats/summary", self.summary(files, seen))],
            false => vec![
                ("/metrics/cadvisor", self.cadvisor(&only, &group, seen)),
                ("/metrics/resource", self.resource(&only)),
            ],
        };
        Ok(Found { unix_ms, value: self.value(&terms, &read), files: read, exposed, group })
    }

    /// The answer, of two looks.
    pub fn answer(&self, node_name: &str, files: &Files, looks: &[Found; 2]) -> Value {
        let Metric { help, kind, unit, .. } = self.served.metric;
        let mut answer = Map::new();
        let metric =
            json!({ "name": self.served.name, "help": help, "type": kind_word(*kind), "unit": unit });
        answer.insert("metric".into(), metric);
        answer.insert("node".into(), node_name.into());
        if let Target::Pod(pod) | Target::Container(pod, _) = &self.target {
            answer.insert("pod".into(), json!({ "namespace": pod.namespace, "name": pod.pod }));
        }
        if let Target::Container(_, container) = &self.target {
            answer.insert("container".into(), container.as_str().into());
        }
        if !looks[1].group.is_empty() {
            answer.insert("group".into(), looks[1].group.as_str().into());
        }
        answer.insert("madeOf".into(), files.source.to_string().into());
        answer.insert("source".into(), self.words(files).into());
        answer.insert("formula".into(), self.formula(files).into());
        answer.insert("readings".into(), looks.iter().map(reading).collect());
        if (*kind == MetricType::Counter || self.served.is_rate())
            && let (Some(before), Some(after)) = (looks[0].value, looks[1].value)
            && looks[1].unix_ms > looks[0].unix_ms
        {
            let seconds = (looks[1].unix_ms - looks[0].unix_ms) as f64 / 1e3;
            answer.insert("ratePerSecond".into(), ((after - before) / seconds).into());
        }
        answer.into()
    }

    /// What the row says for this machine and this group.
    fn words(&self, files: &Files) -> &'static str {
        let name = self.served.metric.name;
        if self.target == Target::Node
            && !self.served.by_node
            && let Some(words) = node_words(name).or_else(|| summary::node_words(name))
        {
            return words;
        }
        let source = self.served.metric.source;
        match files.source {
            Source::Processes if name.contains("_cpu_usage_") || name.starts_with("cpu.usage") => {
                "sum over its processes, ended ones included, of utime + stime in their /proc/PID/stat"
            }
            Source::Processes if name.contains("_memory_") || name.starts_with("memory.") => {
                "sum over its processes of the resident pages in their /proc/PID/statm"
            }
            Source::Cgroups(Version::V2) => source.v2,
            Source::Cgroups(Version::Hybrid) if self.only_v2(files) => source.v2,
            _ => source.v1,
        }
    }

    /// On a hybrid machine: whether the files are those of v2.
    fn only_v2(&self, files: &Files) -> bool {
        let known = |words| {
            let terms = terms::parse(words, &sizes(&files.plan)).terms;
            !terms.is_empty() && terms.iter().all(|term| tree_of(&files.plan, &term.file).is_some())
        };
        let source = self.served.metric.source;
        !known(source.v1) && known(source.v2)
    }

    fn terms(&self, files: &Files) -> Terms {
        let words = self.words(files);
        match files.source {
            Source::Processes if words.starts_with("sum over") => Terms::default(),
            _ => terms::parse(words, &sizes(&files.plan)),
        }
    }

    fn formula(&self, files: &Files) -> String {
        if self.served.by_node {
            return self.words(files).to_owned();
        }
        let (words, terms) = (self.words(files), self.terms(files));
        let least = if words.contains(" less ") { ", at least 0" } else { "" };
        let rate =
            if self.served.is_rate() { "; by how much it grew from sweep to sweep / seconds" } else { "" };
        match terms.terms.is_empty() {
            true => words.to_owned(),
            false => {
                let (conversion, _) = terms::conversion(&terms.terms, self.served.unit());
                format!("{words}{least}; {conversion}{rate}")
            }
        }
    }

    fn read(
        &self,
        term: &Term,
        files: &Files,
        group: &str,
        only: &Sweep,
    ) -> (Term, PathBuf, Result<String, String>) {
        let path = match term.file.strip_prefix("/proc/") {
            Some(rest) => {
                let pid = rest.contains("PID").then(|| first_pid(&files.plan, group, only)).flatten();
                let rest = pid.map_or(rest.to_owned(), |pid| rest.replacen("PID", &pid.to_string(), 1));
                files.proc_root.join(rest)
            }
            None => match tree_of(&files.plan, &term.file) {
                Some(tree) => join(tree, group, &term.file),
                None => {
                    let nothing = Err("this machine does not account it".to_owned());
                    return (term.clone(), PathBuf::from(&term.file), nothing);
                }
            },
        };
        let text = read_text(&path).map(|text| {
            let lines = terms::lines(&text, term.key.as_deref());
            lines.into_iter().take(LINES_LIMIT).collect::<Vec<_>>().join("\n")
        });
        (term.clone(), path, text)
    }

    fn value(&self, terms: &Terms, read: &[(Term, PathBuf, Result<String, String>)]) -> Option<f64> {
        let (_, factor) = terms::conversion(&terms.terms, self.served.unit());
        let factor = factor.filter(|_| terms.is_sum && !read.is_empty())?;
        let mut sum = 0.0;
        for (term, _, text) in read {
            let number = terms::number(text.as_ref().ok()?, term.key.as_deref())?;
            sum += if term.negative { -number } else { number };
        }
        Some(sum.max(0.0) * factor)
    }

    fn cadvisor(&self, only: &Sweep, group: &str, seen: &Seen<'_>) -> Vec<String> {
        if !self.served.by_cadvisor {
            return Vec::new();
        }
        let selection = Selection::default();
        let body = cadvisor::render(only, seen.disk, seen.machine, &selection, Format::Text004);
        let mut id = String::new();
        push_label(&mut id, "id", if group.is_empty() { "/" } else { group });
        let grouped = self.served.metric.labels.contains(&"id");
        let all = series(&body, &self.served.name);
        all.filter(|line| !grouped || line.contains(&id)).take(LINES_LIMIT).map(str::to_owned).collect()
    }

    fn summary(&self, files: &Files, seen: &Seen<'_>) -> Vec<String> {
        let rlimit = node::rlimit(&files.proc_root, seen.sweep.finished_unix_ms);
        let summed = Summed { sweep: seen.sweep, disk: seen.disk, rlimit };
        let mut lines = fields::exposed(&self.served.name, &self.target, &summed);
        lines.truncate(LINES_LIMIT);
        lines
    }

    fn resource(&self, only: &Sweep) -> Vec<String> {
        // Of a pod's containers nothing was asked.
        let of_containers = self.served.metric.name.starts_with("container_");
        if !self.served.by_resource || (of_containers && !only.pods.is_empty()) {
            return Vec::new();
        }
        let body = resource::render(only, Format::Text004);
        first_series(&body, &self.served.name)
    }
}

/// For the node some values come from elsewhere, see [`crate::node`].
fn node_words(name: &str) -> Option<&'static str> {
    Some(match name {
        "container_memory_usage_bytes" => "/proc/meminfo AnonPages + Cached + Buffers + SwapCached",
        "container_memory_working_set_bytes" => {
            "/proc/meminfo AnonPages + Cached + Buffers + SwapCached - Inactive(file)"
        }
        "container_memory_rss" => "/proc/meminfo AnonPages",
        "container_spec_memory_limit_bytes" => "/proc/meminfo MemTotal",
        "container_spec_memory_swap_limit_bytes" => "/proc/meminfo SwapTotal",
        "container_memory_swap" => "/proc/meminfo SwapTotal - SwapFree",
        "container_start_time_seconds" => "/proc/stat btime",
        _ => return None,
    })
}

fn reading(found: &Found) -> Value {
    let files: Vec<Value> = found
        .files
        .iter()
        .map(|(term, path, text)| {
            let (name, text) = match text {
                Ok(text) => ("text", text),
                Err(error) => ("error", error),
            };
            let mut file = Map::from_iter([("path".to_owned(), path.to_string_lossy().into())]);
            if let Some(key) = &term.key {
                file.insert("key".into(), key.as_str().into());
            }
            file.insert(name.into(), text.as_str().into());
            file.into()
        })
        .collect();
    let mut reading =
        Map::from_iter([("time".to_owned(), time(found.unix_ms)), ("files".into(), files.into())]);
    if let Some(value) = found.value {
        reading.insert("value".into(), value.into());
    }
    let exposed = found.exposed.iter().map(|(endpoint, series)| (*endpoint, Value::from(series.as_slice())));
    reading.insert("exposed".into(), exposed.collect::<Value>());
    reading.into()
}

fn series<'b>(body: &'b str, name: &str) -> impl Iterator<Item = &'b str> {
    body.lines().filter(move |line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
}

fn first_series(body: &str, name: &str) -> Vec<String> {
    series(body, name).take(LINES_LIMIT).map(str::to_owned).collect()
}

fn sizes(plan: &FilePlan) -> Vec<&str> {
    plan.huge_page_sizes.iter().map(|size| &**size).collect()
}

/// The mount point of the hierarchy that has a file.
fn tree_of<'p>(plan: &'p FilePlan, file: &str) -> Option<&'p Path> {
    let fast = [
        plan.cpu.map(|(tree, name, _)| (tree, name)),
        plan.memory_usage,
        plan.memory_stat.map(|(tree, name, _)| (tree, name)),
        plan.swap.map(|(tree, current, _)| (tree, current)),
        plan.swap.map(|(tree, _, max)| (tree, max)),
    ];
    let slow = plan.slow.iter().map(|reader| (reader.tree, reader.file.as_str()));
    let (tree, _) = fast.into_iter().flatten().chain(slow).find(|(_, name)| *name == file)?;
    plan.trees.get(tree).map(PathBuf::as_path)
}

fn join(tree: &Path, group: &str, file: &str) -> PathBuf {
    tree.join(group.trim_start_matches('/')).join(file)
}

/// A process of the group; of a pod's, one of the container with which its network is read, else of any.
fn first_pid(plan: &FilePlan, group: &str, only: &Sweep) -> Option<u32> {
    let tree = plan.trees.first()?;
    let network = only.containers.iter().filter(|container| !container.details.network.is_empty());
    let paths =
        std::iter::once(group).chain(network.chain(&only.containers).map(|container| &*container.path));
    paths
        .filter_map(|path| read_text(&join(tree, path, "cgroup.procs")).ok())
        .find_map(|text| text.lines().next()?.trim().parse().ok())
}

fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn kind_word(kind: MetricType) -> &'static str {
    if kind == MetricType::Counter { "counter" } else { "gauge" }
}

#[cfg(test)]
mod tests;
