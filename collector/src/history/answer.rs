//! `/stats/history` and `/stats/events`: JSON out of copies of the store.
//!
//! `/stats/history?pod=NAMESPACE/NAME&container=NAME&window=5m&step=10s`: without `container` the pod's own group, without
//! both the node. `window` ends with the last sweep and is a Go duration of at most [`WINDOW_LIMIT`], 5 minutes if not
//! given. With `step` the points are given too: averages and maxima over steps of that length, those without a sample left
//! out. A container that was restarted shows as several instances, newest first, at most [`INSTANCES_LIMIT`].
//!
//! `/stats/events?pod=NAMESPACE/NAME&kind=oom_kill&since=2026-01-01T00:00:00Z`: newest first; all parameters may be left
//! out; `since` leaves out what was last seen before.
//!
//! Times are RFC 3339 in UTC, units end the names of fields, what is not known is not there.

use super::chunk::Sample;
use super::events::{Event, Evidence, KINDS, Kind, What};
use super::statistics::{Statistics, Weighted, average};
use super::store::{Copied, Store, Times, Whose};
use crate::names::PodName;
use crate::parse::Limit;
use crate::readers::finite;
use flyball_apiserver::Query;
use flyball_model::time::{parse_go_duration, parse_rfc3339_ms};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Longest window.
pub const WINDOW_LIMIT: Duration = Duration::from_secs(900);
/// Window if none is asked for.
const WINDOW: Duration = Duration::from_secs(300);
/// Most points of an answer.
pub const POINTS_LIMIT: i64 = 900;
/// Most instances of a container in an answer.
pub const INSTANCES_LIMIT: usize = 5;

/// Why there is no answer: a code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub status: StatusCode,
    /// The sentence.
    pub message: String,
}

impl Refusal {
    /// A parameter that makes no sense.
    pub fn parameter(name: &str, what: &str) -> Refusal {
        Refusal { status: StatusCode::BAD_REQUEST, message: format!("parameter {name}: {what}") }
    }

    /// Nothing of that name.
    pub fn unknown(message: String) -> Refusal {
        Refusal { status: StatusCode::NOT_FOUND, message }
    }
}

/// The pod and the container that a request asks for.
///
/// # Errors
/// One of the parameters makes no sense.
pub fn names_of(query: &Query) -> Result<(Option<PodName>, Option<String>), Refusal> {
    let pod = match query.first("pod") {
        None => None,
        Some(text) => {
            let parts = text
                .split_once('/')
                .filter(|(namespace, pod)| !namespace.is_empty() && !pod.is_empty() && !pod.contains('/'));
            let (namespace, pod) = parts
                .ok_or_else(|| Refusal::parameter("pod", "must be NAMESPACE/NAME, such as shop/web-0"))?;
            Some(PodName { namespace: namespace.to_owned(), pod: pod.to_owned() })
        }
    };
    let container = query.first("container").map(str::to_owned);
    match container {
        Some(name) if name.is_empty() => Err(Refusal::parameter("container", "must not be empty")),
        Some(_) if pod.is_none() => Err(Refusal::parameter("container", "needs the parameter pod too")),
        container => Ok((pod, container)),
    }
}

/// What is asked of `/stats/history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    pod: Option<PodName>,
    container: Option<String>,
    window_ms: i64,
    step_ms: Option<i64>,
}

impl HistoryQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Names the one that makes no sense.
    pub fn parse(query: &Query) -> Result<HistoryQuery, Refusal> {
        let (pod, container) = names_of(query)?;
        let duration = |name: &str| {
            let positive = |text| parse_go_duration(text).filter(|duration| duration.as_millis() > 0);
            query.first(name).map(|text| {
                positive(text).ok_or_else(|| {
                    Refusal::parameter(name, "must be a duration of at least 1ms, such as 30s or 5m")
                })
            })
        };
        let window = duration("window").transpose()?.unwrap_or(WINDOW);
        if window > WINDOW_LIMIT {
            return Err(Refusal::parameter("window", "must be at most 15m"));
        }
        let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let window_ms = milliseconds(window);
        let step_ms = duration("step").transpose()?.map(milliseconds);
        if step_ms.is_some_and(|step_ms| window_ms / step_ms > POINTS_LIMIT) {
            let what = format!("gives more than {POINTS_LIMIT} points in this window");
            return Err(Refusal::parameter("step", &what));
        }
        Ok(HistoryQuery { pod, container, window_ms, step_ms })
    }

    /// What to copy of the store.
    pub fn copy(&self, store: &Store) -> (Times, Vec<Copied>) {
        let whose = match (&self.pod, &self.container) {
            (Some(pod), Some(container)) => Whose::Container(pod, container),
            (Some(pod), None) => Whose::Pod(pod),
            (None, _) => Whose::Node,
        };
        let times = store.times();
        let since = self.first_sweep(&times);
        (times, store.copy(whose, since))
    }

    /// The answer.
    ///
    /// # Errors
    /// There is no such history.
    pub fn answer(&self, node_name: &str, times: &Times, copied: &[Copied]) -> Result<Value, Refusal> {
        let Some(to_unix_ms) = times.unix_ms.last().copied() else {
            let message = "the first sweep is not finished".to_owned();
            return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message });
        };
        if copied.is_empty() {
            return Err(Refusal::unknown(self.nothing_known()));
        }
        let from_unix_ms = to_unix_ms - self.window_ms;
        let mut answer = Map::new();
        answer.insert("node".into(), node_name.into());
        if let Some(pod) = &self.pod {
            answer.insert("pod".into(), json!({ "namespace": pod.namespace, "name": pod.pod }));
        }
        if let Some(container) = &self.container {
            answer.insert("container".into(), container.as_str().into());
        }
        answer.insert("from".into(), time(from_unix_ms));
        answer.insert("to".into(), time(to_unix_ms));
        let first_sweep = self.first_sweep(times);
        let instances = copied
            .iter()
            .take(INSTANCES_LIMIT)
            .map(|one| self.instance(one, times, first_sweep, from_unix_ms));
        answer.insert("instances".into(), instances.collect());
        Ok(Value::Object(answer))
    }

    fn nothing_known(&self) -> String {
        match (&self.pod, &self.container) {
            (Some(pod), Some(container)) => {
                format!(
                    "no history of container {container} of pod {}/{} on this node",
                    pod.namespace, pod.pod
                )
            }
            (Some(pod), None) => format!("no history of pod {}/{} on this node", pod.namespace, pod.pod),
            (None, _) => "no history of this node".to_owned(),
        }
    }

    /// The first sweep that ended within the window.
    fn first_sweep(&self, times: &Times) -> u64 {
        let Some(to_unix_ms) = times.unix_ms.last() else { return 0 };
        let before = times.unix_ms.iter().rposition(|at| *at <= to_unix_ms - self.window_ms);
        times.first_sweep + before.map_or(0, |at| at as u64 + 1)
    }

    fn instance(&self, copied: &Copied, times: &Times, first_sweep: u64, from_unix_ms: i64) -> Value {
        let points: Vec<Point> = copied
            .chunks
            .iter()
            .flat_map(|chunk| chunk.iter())
            .filter(|(sweep, _)| *sweep >= first_sweep)
            .filter_map(|(sweep, sample)| times.point(sweep, sample))
            .collect();
        let mut instance = Map::new();
        if let Some(subject) = &copied.subject {
            instance.insert("podUid".into(), (&*subject.pod_uid).into());
            if let Some(id) = &subject.container_id {
                instance.insert("containerId".into(), (&**id).into());
            }
        }
        if let Some(start_unix_ms) = copied.start_unix_ms {
            instance.insert("startTime".into(), time(start_unix_ms));
        }
        instance.insert("isRunning".into(), copied.is_there.into());
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            instance.insert("firstTime".into(), time(first.unix_ms));
            instance.insert("lastTime".into(), time(last.unix_ms));
        }
        if let Some(cpu) = statistics(&points, "NanoCores", cpu) {
            instance.insert("cpu".into(), cpu);
        }
        let memory: Map<String, Value> = [("workingSet", working_set as Field), ("rss", rss)]
            .into_iter()
            .filter_map(|(name, field)| Some((name.to_owned(), statistics(&points, "Bytes", field)?)))
            .collect();
        if !memory.is_empty() {
            instance.insert("memory".into(), memory.into());
        }
        if let Some(step_ms) = self.step_ms {
            instance.insert("points".into(), steps(&points, from_unix_ms, step_ms));
        }
        instance.into()
    }
}

/// A sample with its time.
struct Point {
    unix_ms: i64,
    stands_for_ms: u64,
    sample: Sample,
}

type Field = fn(&Sample) -> Option<u64>;

fn cpu(sample: &Sample) -> Option<u64> {
    sample.cpu.map(super::quantity::CpuRate::nanocores)
}

fn working_set(sample: &Sample) -> Option<u64> {
    sample.working_set.map(super::quantity::Pages::bytes)
}

fn rss(sample: &Sample) -> Option<u64> {
    sample.rss.map(super::quantity::Pages::bytes)
}

impl Times {
    fn of(&self, sweep: u64) -> Option<i64> {
        self.unix_ms.get(usize::try_from(sweep.checked_sub(self.first_sweep)?).ok()?).copied()
    }

    /// `None` for a sweep whose time is not kept.
    fn point(&self, sweep: u64, sample: Sample) -> Option<Point> {
        let unix_ms = self.of(sweep)?;
        let before = sweep.checked_sub(1).and_then(|before| self.of(before));
        // A step of the wall clock back, or the first sweep of all: it stands for little.
        let stands_for_ms =
            before.and_then(|before| u64::try_from(unix_ms - before).ok()).unwrap_or(0).max(1);
        Some(Point { unix_ms, stands_for_ms, sample })
    }
}

fn values(points: &[Point], field: Field) -> Vec<Weighted> {
    points.iter().filter_map(|point| Some((field(&point.sample)?, point.stands_for_ms))).collect()
}

fn statistics(points: &[Point], unit: &str, field: Field) -> Option<Value> {
    let s = Statistics::of(&mut values(points, field))?;
    let fields = [("average", s.average), ("max", s.max), ("p50", s.p50), ("p95", s.p95), ("p99", s.p99)];
    let mut object: Map<String, Value> =
        fields.into_iter().map(|(name, value)| (format!("{name}{unit}"), value.into())).collect();
    object.insert("samples".into(), s.samples.into());
    Some(object.into())
}

/// Averages and maxima of each step that has a sample, named by the step's end.
fn steps(points: &[Point], from_unix_ms: i64, step_ms: i64) -> Value {
    let step_of = |point: &Point| (point.unix_ms - from_unix_ms - 1).div_euclid(step_ms);
    let one = |points: &[Point]| {
        let mut object = Map::new();
        if let Some(first) = points.first() {
            object.insert("time".into(), time(from_unix_ms + (step_of(first) + 1) * step_ms));
        }
        let fields: [(&str, &str, Field); 3] =
            [("cpu", "NanoCores", cpu), ("workingSet", "Bytes", working_set), ("rss", "Bytes", rss)];
        for (name, unit, field) in fields {
            let values = values(points, field);
            if let (Some(average), Some(max)) =
                (average(&values), values.iter().map(|(value, _)| value).max())
            {
                object.insert(format!("{name}Average{unit}"), average.into());
                object.insert(format!("{name}Max{unit}"), (*max).into());
            }
        }
        Value::Object(object)
    };
    points.chunk_by(|a, b| step_of(a) == step_of(b)).map(one).collect()
}

/// What is asked of `/stats/events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsQuery {
    pod: Option<PodName>,
    container: Option<String>,
    kind: Option<Kind>,
    since_unix_ms: Option<i64>,
}

impl EventsQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Names the one that makes no sense.
    pub fn parse(query: &Query) -> Result<EventsQuery, Refusal> {
        let (pod, container) = names_of(query)?;
        let kind = query.first("kind").map(|text| {
            let known = KINDS.iter().find(|(_, name)| *name == text);
            known
                .map(|(kind, _)| *kind)
                .ok_or_else(|| Refusal::parameter("kind", "must be oom_kill or throttling"))
        });
        let since = query.first("since").map(|text| {
            let what = "must be a time as in RFC 3339, such as 2026-01-01T00:00:00Z";
            parse_rfc3339_ms(text).ok_or_else(|| Refusal::parameter("since", what))
        });
        Ok(EventsQuery { pod, container, kind: kind.transpose()?, since_unix_ms: since.transpose()? })
    }

    /// What to copy of the store.
    pub fn copy(&self, store: &Store) -> Vec<Event> {
        store.events().iter().filter(|event| self.wants(event)).cloned().collect()
    }

    fn wants(&self, event: &Event) -> bool {
        let subject = &event.subject;
        let pod = self.pod.as_ref().is_none_or(|pod| subject.pod_name.as_deref() == Some(pod));
        let name = subject.container_name.as_deref().map(|name| &name.container);
        let container = self.container.as_ref().is_none_or(|container| name == Some(container));
        let kind = self.kind.is_none_or(|kind| event.what.kind() == kind);
        pod && container && kind && self.since_unix_ms.is_none_or(|since| event.last_unix_ms >= since)
    }

    /// The answer.
    pub fn answer(node_name: &str, events: &[Event]) -> Value {
        json!({ "node": node_name, "events": events.iter().map(event).collect::<Vec<_>>() })
    }
}

fn event(event: &Event) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    let kind = KINDS.iter().find(|(kind, _)| *kind == event.what.kind());
    put("kind", kind.map(|(_, name)| (*name).into()));
    let subject = &event.subject;
    let mut pod = Map::from_iter([("uid".to_owned(), Value::from(&*subject.pod_uid))]);
    if let Some(name) = &subject.pod_name {
        pod.insert("namespace".into(), name.namespace.as_str().into());
        pod.insert("name".into(), name.pod.as_str().into());
    }
    put("pod", Some(pod.into()));
    if let Some(id) = &subject.container_id {
        let mut container = Map::from_iter([("id".to_owned(), Value::from(&**id))]);
        if let Some(name) = &subject.container_name {
            container.insert("name".into(), name.container.as_str().into());
        }
        put("container", Some(container.into()));
    }
    put("afterTime", event.after_unix_ms.map(time));
    put("firstTime", Some(time(event.first_unix_ms)));
    put("lastTime", Some(time(event.last_unix_ms)));
    put("endTime", event.end_unix_ms.map(time));
    match &event.what {
        What::OomKill { evidence, kills, limit, max_usage_bytes } => {
            put("count", Some((*kills).into()));
            put("evidence", Some(evidence_word(*evidence).into()));
            put("limitBytes", finite(*limit).map(Value::from));
            put("maxUsageBytes", max_usage_bytes.map(Value::from));
        }
        What::Throttling { counted, quota_us, period_us } => {
            put("count", Some(1.into()));
            put("periods", Some(counted.periods.into()));
            put("throttledPeriods", Some(counted.throttled_periods.into()));
            let percent = counted.throttled_periods.saturating_mul(100).checked_div(counted.periods);
            put("throttledPercent", percent.map(Value::from));
            put("throttledSeconds", counted.throttled_ns.map(|ns| (ns as f64 / 1e9).into()));
            put("quotaMicroseconds", quota_us.and_then(|quota: Limit| finite(Some(quota))).map(Value::from));
            put("periodMicroseconds", period_us.map(Value::from));
        }
    }
    object.into()
}

fn evidence_word(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::ContainerCounter => "containerCounter",
        Evidence::PodCounter => "podCounter",
        Evidence::PodStatus => "podStatus",
    }
}

/// RFC 3339 in UTC, with milliseconds where there are some.
pub fn time(unix_ms: i64) -> Value {
    Timestamp::from_millisecond(unix_ms).map_or(Value::Null, |time| time.to_string().into())
}
