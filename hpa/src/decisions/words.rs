//! A decision in plain words and numbers, for `flyball explain`. Pure: made from the object that the API serves.

use flyball_model::time::{parse_rfc3339_ms, short_age};
use serde_json::Value;
use std::fmt::Write;

/// Changes shown.
const MAX_CHANGES: usize = 10;
/// Pods that do not count, shown by name.
const MAX_EXCLUDED: usize = 10;

/// The object in words. `now_ms` is the reader's clock.
pub fn words(object: &Value, now_ms: i64) -> String {
    let mut out = String::new();
    head(&mut out, object, now_ms);
    metrics(&mut out, object);
    normalisation(&mut out, object);
    changes(&mut out, object, now_ms);
    would_change(&mut out, object, now_ms);
    out
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `5s ago`
fn ago(value: &Value, now_ms: i64) -> String {
    let at_ms = value.as_str().and_then(parse_rfc3339_ms);
    at_ms.map_or_else(
        || "at an unknown time".into(),
        |at| format!("{} ago", short_age(((now_ms - at) / 1000).max(0))),
    )
}

/// `in 2m30s`, of unix milliseconds.
fn until(at_ms: i64, now_ms: i64) -> String {
    match at_ms - now_ms {
        ..=0 => "now".into(),
        ms => format!("in {}", short_age((ms + 999) / 1000)),
    }
}

/// What a metric counts, as far as it matters for reading its numbers.
#[derive(Clone, Copy)]
enum Unit {
    /// Bytes of memory.
    Bytes,
    /// Anything else.
    Other,
}

impl Unit {
    /// By how a metric is called in messages: `memory resource …`.
    fn of(metric: &Value) -> Unit {
        match text(metric).split(' ').next() {
            Some("memory") => Unit::Bytes,
            _ => Unit::Other,
        }
    }

    /// A value in milli-units; bytes in mebibytes, with a tenth.
    fn quantity(self, milli: i64) -> String {
        use flyball_model::quantity::{Quantity, QuantityFormat};
        const TENTH_OF_MEBIBYTE_MILLI: i64 = 1024 * 1024 * 1000 / 10;
        match self {
            Unit::Bytes => {
                let tenths = milli / TENTH_OF_MEBIBYTE_MILLI;
                format!("{}.{}Mi", tenths / 10, (tenths % 10).abs())
            }
            Unit::Other => Quantity::from_milli(milli, QuantityFormat::DecimalSi).to_string(),
        }
    }
}

/// `1 replica`, `2 replicas`
fn replicas(count: &Value) -> String {
    let plural = if count.as_i64() == Some(1) { "" } else { "s" };
    format!("{count} replica{plural}")
}

fn head(out: &mut String, object: &Value, now_ms: i64) {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let _ = writeln!(
        out,
        "{}/{} scales {}/{} between {} and {} replicas.",
        text(&metadata["namespace"]),
        text(&metadata["name"]),
        text(&target["kind"]),
        text(&target["name"]),
        spec["minReplicas"],
        spec["maxReplicas"]
    );
    if status["decidedAt"].is_string() {
        let who =
            if status["acting"] == true { "which scales it" } else { "which does not write this autoscaler" };
        let _ = writeln!(
            out,
            "Decided {} by {} (mode {}), {who}.",
            ago(&status["decidedAt"], now_ms),
            text(&status["decidedBy"]),
            text(&status["mode"])
        );
        let _ = writeln!(out, "\nDecision:   {}", verdict(status));
    }
    if !status["held"].is_null() {
        let _ = writeln!(out, "Held:       {}", text(&status["held"]["message"]));
    }
    if !status["error"].is_null() {
        let _ = writeln!(out, "Error:      {}", text(&status["error"]));
    }
}

fn verdict(status: &Value) -> String {
    let (current, desired) = (&status["currentReplicas"], &status["desiredReplicas"]);
    let why = text(&status["why"]);
    if current == desired {
        return format!("stays at {} ({why})", replicas(current));
    }
    let end = match status["rescale"].as_str() {
        Some("Done") => "written",
        Some("Failed") => "writing failed",
        _ => "not written",
    };
    format!("{current} -> {}: {} ({why}; {end})", replicas(desired), text(&status["reason"]))
}

fn metrics(out: &mut String, object: &Value) {
    let metrics = list(&object["status"]["metrics"]);
    if metrics.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nMetrics:");
    for (metric, trace) in metrics.iter().zip(list(&object["trace"]["metrics"])) {
        let _ = writeln!(out, "  {}", text(&metric["metric"]));
        if !metric["error"].is_null() {
            let _ = writeln!(out, "    failed:     {}", text(&metric["error"]));
            continue;
        }
        let unit = Unit::of(&metric["metric"]);
        let _ = writeln!(out, "    value:      {}", value(metric, unit));
        numbers(out, trace, unit);
        let _ = writeln!(out, "    asks for:   {}", replicas(&metric["proposal"]));
    }
}

fn value(metric: &Value, unit: Unit) -> String {
    let number = unit.quantity(metric["valueMilli"].as_i64().unwrap_or(0));
    let target = &metric["target"];
    match (target["Utilization"].as_i64(), target["AverageValue"].as_i64(), target["Value"].as_i64()) {
        (Some(percent), ..) => {
            format!("{}% of the request, target {percent}% ({number} per pod)", metric["utilization"])
        }
        (_, Some(milli), _) => format!("{number} per pod, target {}", unit.quantity(milli)),
        (.., Some(milli)) => format!("{number}, target {}", unit.quantity(milli)),
        _ => number,
    }
}

/// Sums, ratio and who was left out, of one metric's trace.
fn numbers(out: &mut String, trace: &Value, unit: Unit) {
    let ratio = |value: &Value| value.as_f64().map_or_else(|| "none".into(), |ratio| format!("{ratio:.3}"));
    let edges = &trace["toleranceEdges"];
    let unchanged = format!("nothing changes from {} to {}", ratio(&edges[0]), ratio(&edges[1]));
    let (per_pod, whole) = (&trace["numbers"]["perPod"], &trace["numbers"]["whole"]);
    if whole.is_object() {
        let _ = writeln!(out, "    pods:       {} taken into account", whole["whole"]["pods"]);
        let _ = writeln!(out, "    ratio:      {}; {unchanged}", ratio(&whole["ratio"]));
    }
    if !per_pod.is_object() {
        return;
    }
    let tally = &per_pod["tally"];
    let _ = writeln!(
        out,
        "    pods:       {} counted, {} starting, {} without a sample",
        tally["ready"]["count"], tally["unready"]["count"], tally["missing"]["count"]
    );
    let sums = tally["ready"]["usageMilli"].as_i64().map(|milli| unit.quantity(milli)).unwrap_or_default();
    let requests = tally["ready"]["requestsMilli"].as_i64().filter(|milli| *milli != 0);
    let of = requests.map(|milli| format!(" of {} requested", unit.quantity(milli))).unwrap_or_default();
    let _ = writeln!(out, "    sum:        {sums}{of}");
    let filled = match per_pod["filledRatio"] == per_pod["ratio"] {
        true => String::new(),
        false => format!(", {} with the rest filled in", ratio(&per_pod["filledRatio"])),
    };
    let _ = writeln!(out, "    ratio:      {}{filled}; {unchanged}", ratio(&per_pod["ratio"]));
    let excluded = list(&per_pod["excluded"]);
    for pod in excluded.iter().take(MAX_EXCLUDED) {
        let _ = writeln!(
            out,
            "    left out:   {} ({}: {})",
            text(&pod["pod"]),
            text(&pod["class"]),
            text(&pod["reason"])
        );
    }
    if excluded.len() > MAX_EXCLUDED {
        let _ = writeln!(out, "    left out:   and {} more", excluded.len() - MAX_EXCLUDED);
    }
}

fn normalisation(out: &mut String, object: &Value) {
    let (stabilize, limit) = (&object["trace"]["stabilize"], &object["trace"]["limit"]);
    if stabilize.is_object() {
        let seconds = |field: &str| stabilize[field].as_i64().unwrap_or(0) / 1000;
        let age = |deciding: &Value| {
            let at_ms = deciding["t"].as_i64().zip(object["trace"]["atMs"].as_i64());
            at_ms.map_or_else(String::new, |(then, now)| {
                format!(", of {} before", short_age(((now - then) / 1000).max(0)))
            })
        };
        let down = format!(
            "highest of the last {} s: {}{}",
            seconds("downWindowMs"),
            stabilize["downFloor"],
            age(&stabilize["deciding"])
        );
        let up = match seconds("upWindowMs") {
            0 => String::new(),
            up => {
                let (lowest, age) = (&stabilize["upCeiling"], age(&stabilize["decidingUp"]));
                format!("; lowest of the last {up} s: {lowest}{age}")
            }
        };
        let _ = writeln!(
            out,
            "\nWindow:     {} wanted, {} after stabilisation ({down}{up})",
            stabilize["raw"], stabilize["result"]
        );
    }
    if limit.is_object() {
        let rate = &limit["rateLimit"];
        let rate = if rate.is_null() { "none applies".into() } else { replicas(rate) };
        let _ = writeln!(
            out,
            "Limits:     {} after them ({}); limit of speed: {rate}",
            limit["result"],
            text(&limit["limit"])
        );
    }
}

fn changes(out: &mut String, object: &Value, now_ms: i64) {
    let changes = list(&object["changes"]);
    let _ = writeln!(out, "\nLast changes:");
    if changes.is_empty() {
        let _ = writeln!(out, "  none since this replica leads");
    }
    for change in changes.iter().rev().take(MAX_CHANGES) {
        let end = match change["rescale"].as_str() {
            Some("Done") => "",
            Some("Failed") => " (writing failed)",
            _ => " (not written)",
        };
        let _ = writeln!(
            out,
            "  {}: {} -> {}: {}{end}",
            ago(&change["at"], now_ms),
            change["from"],
            change["to"],
            text(&change["reason"])
        );
    }
}

fn would_change(out: &mut String, object: &Value, now_ms: i64) {
    let all = &object["counterfactuals"];
    if !all.is_object() {
        return;
    }
    let mut lines = String::new();
    edges_in_words(&mut lines, object);
    moments_in_words(&mut lines, all, now_ms);
    policies_in_words(&mut lines, all, now_ms);
    if !lines.is_empty() {
        let held = match object["status"]["held"]["allows"].as_str() {
            Some("none") => " nothing, while it is held; without that",
            Some("up") => " only what asks for more, while it is held",
            Some("down") => " only what asks for fewer, while it is held",
            _ => "",
        };
        let _ = write!(out, "\nWhat would change it:{held}\n{lines}");
    }
}

fn edges_in_words(out: &mut String, object: &Value) {
    let all = list(&object["counterfactuals"]["metrics"]);
    let (spec, current) = (&object["spec"], object["status"]["currentReplicas"].as_i64());
    let at_bound = |bound: &str| current.is_some() && current == spec[bound].as_i64();
    for edges in all {
        let per = if edges["perPod"] == true { " per pod" } else { "" };
        let unit = Unit::of(&edges["metric"]);
        let bound = |value: &Value| value.as_i64().map(|milli| unit.quantity(milli));
        let up = match bound(&edges["scaleUpFromMilli"]) {
            Some(from) => format!("more from {from}{per}"),
            None if at_bound("maxReplicas") => "none for more, it is at its maximum".into(),
            None => "no value asks for more".into(),
        };
        let down = match bound(&edges["scaleDownToMilli"]) {
            Some(to) => format!("fewer at {to}{per} or less"),
            None if at_bound("minReplicas") => "none for fewer, it is at its minimum".into(),
            None => "none for fewer".into(),
        };
        let _ = writeln!(out, "  {}: {up}, {down}", text(&edges["metric"]));
        let mut also = |range: &Value, what: &str, why: &str| {
            if let (Some(from), Some(to)) = (bound(&range[0]), bound(&range[1])) {
                let _ = writeln!(
                    out,
                    "    also {what} from {from} to {to}{per}: {why} pods count than it has replicas"
                );
            }
        };
        also(&edges["alsoUpMilli"], "more", "more");
        also(&edges["alsoDownMilli"], "fewer", "fewer");
    }
    if all.len() > 1 {
        let _ = writeln!(out, "  (the largest wish counts, so fewer needs all of them)");
    }
}

fn moments_in_words(out: &mut String, all: &Value, now_ms: i64) {
    let later = |value: &Value| Some((value["atMs"].as_i64()?, replicas(&value["replicas"])));
    if let Some((at_ms, then)) = later(&all["stabilizerLetsGo"]) {
        let _ = writeln!(
            out,
            "  the stabilisation window lets go {}: {then}, if usage stays",
            until(at_ms, now_ms)
        );
    }
    if let Some((at_ms, then)) = later(&all["next"]) {
        let _ = writeln!(out, "  time alone changes it {}: {then}, if usage stays", until(at_ms, now_ms));
    }
}

fn policies_in_words(out: &mut String, all: &Value, now_ms: i64) {
    for policy in list(&all["policies"]) {
        let direction = if policy["up"] == true { "up" } else { "down" };
        let (value, kind) = (&policy["value"], text(&policy["kind"]));
        let seconds = &policy["periodSeconds"];
        if policy["select"] == "Disabled" {
            let _ = writeln!(
                out,
                "  policy {direction} {value} {kind} in {seconds} s: allows nothing, selectPolicy is Disabled"
            );
            continue;
        }
        let frees = policy["freesAtMs"]
            .as_i64()
            .map(|at| format!(", more {}", until(at, now_ms)))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "  policy {direction} {value} {kind} in {seconds} s: allows {} now{frees}",
            policy["allows"]
        );
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
