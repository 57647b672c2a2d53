//! What `kubectl top` and metrics.k8s.io say of a pod, beside the kernel's own counters of its control group.
#![allow(clippy::disallowed_methods, reason = "edge: reads the clock beside the kernel's counters")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_e2e::manifests::deployment;
use flyball_e2e::{MINUTE, Place, PodGroup, Setup, Shared, full, is_root, skipped};
use serde_json::{Value, json};

static CLUSTER: Shared = Shared::new(Setup::default);

/// Holds 48 MiB of memory and uses all the CPU it gets: `tail` keeps what has no end of line.
const LOAD: &str = "{ head -c 50331648 /dev/zero; sleep 100000; } | tail & while :; do :; done";

/// Largest difference between what is served and what the kernel counted.
const TOLERANCE: f64 = 0.05;

/// Pause between two readings of the kernel's counters.
const READING_PAUSE: Duration = Duration::from_millis(50);

/// The group's counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at_seconds: f64,
    cpu_seconds: f64,
    working_set_bytes: f64,
}

fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64()
}

fn read(group: &PodGroup) -> Result<Reading, String> {
    let cpu_seconds = group.cpu_ns()? as f64 / 1e9;
    Ok(Reading {
        at_seconds: now_seconds(),
        cpu_seconds,
        working_set_bytes: group.working_set_bytes()? as f64,
    })
}

/// CPU seconds used up to `at_seconds`, between two readings in proportion; `None` outside of the readings.
fn cpu_seconds_at(readings: &[Reading], at_seconds: f64) -> Option<f64> {
    let after = readings.iter().position(|reading| reading.at_seconds >= at_seconds)?;
    let [left, right] = readings.get(after.checked_sub(1)?..=after)? else { return None };
    let share = (at_seconds - left.at_seconds) / (right.at_seconds - left.at_seconds);
    Some(left.cpu_seconds + share * (right.cpu_seconds - left.cpu_seconds))
}

/// What metrics.k8s.io said of the one container.
#[derive(Debug, Clone, PartialEq)]
struct Served {
    at_seconds: f64,
    window_seconds: f64,
    cpu_cores: f64,
    memory_bytes: f64,
}

fn served(place: &Place) -> Result<Served, String> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", place.namespace());
    let list = place.raw(&path)?;
    let pod = &list["items"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("incomplete: {list}"));
    let timestamp: jiff::Timestamp =
        text(&pod["timestamp"])?.parse().map_err(|error: jiff::Error| error.to_string())?;
    let window: jiff::SignedDuration =
        text(&pod["window"])?.parse().map_err(|error: jiff::Error| error.to_string())?;
    let usage = &pod["containers"][0]["usage"];
    Ok(Served {
        at_seconds: timestamp.as_millisecond() as f64 / 1e3,
        window_seconds: window.as_secs_f64(),
        cpu_cores: number(&text(&usage["cpu"])?)?,
        memory_bytes: number(&text(&usage["memory"])?)?,
    })
}

/// Value of a quantity of the kinds that are served here.
fn number(quantity: &str) -> Result<f64, String> {
    let digits = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &quantity[digits.len()..] {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        other => return Err(format!("unit {other:?} of {quantity:?}")),
    };
    digits.parse::<f64>().map(|value| value * unit).map_err(|error| format!("{quantity:?}: {error}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Fails unless the ratios are around one.
fn near_one(what: &str, ratios: &[f64], detail: &str) {
    let middle = median(ratios.to_vec());
    eprintln!("{what}: served / counted = {middle:.4} (median of {})", ratios.len());
    assert!((middle - 1.0).abs() <= TOLERANCE, "{what}: {middle:.4}, all {ratios:.4?}\n{detail}");
}

/// Reads the counters until `done`.
fn read_on(group: &PodGroup, readings: &Mutex<Vec<Reading>>, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let reading = read(group).expect("the pod's counters can be read");
        readings.lock().expect("readings").push(reading);
        std::thread::sleep(READING_PAUSE);
    }
}

#[test]
fn served_usage_is_what_the_kernel_counted() {
    if !is_root() {
        return skipped("needs root, for control groups of its own");
    }
    let Some(place) = CLUSTER.namespace("truth") else { return };
    let container = json!({
        "image": "flyball.io/host",
        "command": ["sh", "-c", LOAD],
        "resources": {"limits": {"cpu": "200m", "memory": "128Mi"}},
    });
    place.apply(&deployment("load", 1, &container));
    place.eventually_available(MINUTE, "load", 1);
    if place.local().footprint().groups().is_empty() {
        return skipped("this machine gives no control groups: pods are accounted per process");
    }
    let uid = place.ok(&["get", "pods", "-o", "jsonpath={.items[0].metadata.uid}"]);
    let group = place.eventually(MINUTE, "the pod's control group", || PodGroup::find(&uid));

    let readings = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    let (answers, top) = std::thread::scope(|scope| {
        scope.spawn(|| read_on(&group, &readings, &done));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| observe(&place)));
        done.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let readings = readings.into_inner().expect("readings");
    let cpu: Vec<_> =
        answers.iter().filter_map(|answer| Some(answer.cpu_cores / counted(&readings, answer)?)).collect();
    let memory: Vec<_> = answers
        .iter()
        .filter_map(|answer| Some(answer.memory_bytes / working_set(&readings, answer)?))
        .collect();
    let detail = format!("{answers:#?}\n{}", place.state());
    assert!(cpu.len() >= 3, "too few answers whose window was counted beside: {detail}");
    near_one("CPU", &cpu, &detail);
    near_one("memory", &memory, &detail);

    let (first, last) = (readings[0], readings[readings.len() - 1]);
    let cores = (last.cpu_seconds - first.cpu_seconds) / (last.at_seconds - first.at_seconds);
    let rows: Vec<Vec<_>> = top.iter().map(|row| row.split_whitespace().collect()).collect();
    let column = |index: usize| -> Vec<f64> {
        rows.iter().map(|row| number(row[index]).expect("a quantity")).collect()
    };
    near_one("kubectl top, CPU", &column(1).iter().map(|top| top / cores).collect::<Vec<_>>(), &detail);
    let bytes = median(readings.iter().map(|reading| reading.working_set_bytes).collect());
    near_one("kubectl top, memory", &column(2).iter().map(|top| top / bytes).collect::<Vec<_>>(), &detail);
}

/// Answers of metrics.k8s.io, each once, and rows of `kubectl top`, over some time of steady load.
fn observe(place: &Place) -> (Vec<Served>, Vec<String>) {
    // Until the memory is filled and the window holds nothing but the steady load.
    place.eventually(MINUTE, "the pod is measured at its limit", || {
        let answer = served(place)?;
        let steady = answer.cpu_cores > 0.15 && answer.memory_bytes > 48e6;
        if steady { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    std::thread::sleep(Duration::from_secs(5));
    let rounds = if full() { 60 } else { 15 };
    let (mut answers, mut top) = (Vec::<Served>::new(), Vec::new());
    for _ in 0..rounds {
        let answer = served(place).unwrap_or_else(|error| panic!("{error}\n{}", place.state()));
        if answers.last() != Some(&answer) {
            answers.push(answer);
        }
        top.push(place.ok(&["top", "pods", "--no-headers"]));
        std::thread::sleep(Duration::from_secs(1));
    }
    (answers, top)
}

/// Cores used in the window of the answer by the kernel's counter; `None` when it was not read all that time.
fn counted(readings: &[Reading], answer: &Served) -> Option<f64> {
    let end = cpu_seconds_at(readings, answer.at_seconds)?;
    let begin = cpu_seconds_at(readings, answer.at_seconds - answer.window_seconds)?;
    Some((end - begin) / answer.window_seconds)
}

/// The working set read nearest to the answer's time.
fn working_set(readings: &[Reading], answer: &Served) -> Option<f64> {
    let distance = |reading: &&Reading| (reading.at_seconds - answer.at_seconds).abs();
    let nearest = readings.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    Some(nearest.working_set_bytes)
}

#[test]
fn the_node_uses_no_less_than_its_pods() {
    let Some(place) = CLUSTER.namespace("node") else { return };
    let container = json!({"image": "flyball.io/host", "command": ["sh", "-c", LOAD], "resources": {"limits": {"cpu": "200m", "memory": "128Mi"}}});
    place.apply(&deployment("load", 1, &container));
    place.eventually(MINUTE, "the node is measured with its pod", || {
        let answer = served(&place)?;
        let nodes = place.raw("/apis/metrics.k8s.io/v1beta1/nodes")?;
        let usage = |name: &str| number(nodes["items"][0]["usage"][name].as_str().unwrap_or("absent"));
        let (cores, bytes) = (usage("cpu")?, usage("memory")?);
        let plausible =
            answer.cpu_cores > 0.15 && cores >= answer.cpu_cores * 0.9 && bytes >= answer.memory_bytes;
        if plausible { Ok(()) } else { Err(format!("{answer:?}, node {cores} cores, {bytes} bytes")) }
    });
}
