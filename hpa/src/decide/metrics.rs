//! One metric to a proposal, with upstream's nesting of error texts (reference: `computeReplicasForMetric`).

use super::decision::{MetricFailure, Proposal};
use super::replicas::{self, Frame, Outcome};
use super::rules::{Metric, Rules, Source, Target};
use super::snapshot::{Input, Reading};
use super::trace::Trace;
use super::whole;

const NO_RESOURCE_TARGET: &str = "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set";
const NO_OBJECT_TARGET: &str =
    "invalid object metric source: neither a value target nor an average value target was set";
const NO_EXTERNAL_TARGET: &str =
    "invalid external metric source: neither a value target nor an average value target was set";
const WRONG_INPUT: &str = "the snapshot holds values of another metric type";

/// Stands for a value that the snapshot lacks, which is a failure and never zero. Needs no allocation.
static NO_INPUT: Input = Input::Failed(String::new());

/// Evaluates one metric.
pub(super) fn propose(
    rules: &Rules,
    metric: &Metric,
    input: Option<&Input>,
    frame: Frame,
    status_replicas: i32,
    trace: &mut Trace,
) -> Proposal {
    let input = input.unwrap_or(&NO_INPUT);
    let frame = Frame { cpu: metric.source.is_cpu(), ..frame };
    match &metric.source {
        Source::Resource { name } => resource(name, metric.target, input, frame, trace).map_err(|inner| {
            failure(
                "FailedGetResourceMetric",
                format!("failed to get {name} resource metric value: {inner}"),
                inner,
            )
        }),
        Source::ContainerResource { name, container } => resource(name, metric.target, input, frame, trace)
            .map_err(|inner| {
                let full = format!("failed to get {container} container metric value: {inner}");
                failure("FailedGetContainerResourceMetric", full, inner)
            }),
        Source::Pods { name, .. } => pods(name, metric.target, input, frame, trace).map_err(|inner| {
            failure("FailedGetPodsMetric", format!("failed to get pods metric value: {inner}"), inner)
        }),
        Source::Object { name, described, .. } => {
            let prefix = || {
                format!(
                    "unable to get metric {name} on {} {}/{}",
                    described.kind, rules.namespace, described.name
                )
            };
            object(metric.target, input, &frame, status_replicas, prefix, trace).map_err(|inner| {
                let middle = match (metric.target, input) {
                    // Upstream looks at the metric's selector before it looks at the target.
                    (_, Input::Invalid(_)) => inner.clone(),
                    (Target::AverageValue(_), _) => format!("failed to get {name} object metric: {inner}"),
                    _ => inner.clone(),
                };
                failure(
                    "FailedGetObjectMetric",
                    format!("failed to get object metric value: {middle}"),
                    inner,
                )
            })
        }
        Source::External { name, selector_text, .. } => {
            let prefix =
                || format!("unable to get external metric {}/{name}/{selector_text}", rules.namespace);
            external(metric.target, input, &frame, status_replicas, prefix, trace).map_err(|inner| {
                let middle = match metric.target {
                    Target::AverageValue(_) => format!("failed to get {name} external metric: {inner}"),
                    Target::Value(_) => format!("failed to get external metric {name}: {inner}"),
                    _ => inner.clone(),
                };
                let full = format!("failed to get {name} external metric value: {middle}");
                failure("FailedGetExternalMetric", full, inner)
            })
        }
        Source::Unknown { kind } => {
            let text = format!("unknown metric source type {kind:?}");
            let failure = failure("InvalidMetricSourceType", text.clone(), text);
            Err(Box::new(MetricFailure { is_spec_error: true, ..*failure }))
        }
    }
}

fn failure(reason: &'static str, full: String, inner: String) -> Box<MetricFailure> {
    Box::new(MetricFailure { reason, inner, full, is_spec_error: false })
}

/// Resource and ContainerResource.
fn resource(
    name: &str,
    target: Target,
    input: &Input,
    frame: Frame,
    trace: &mut Trace,
) -> Result<Outcome, String> {
    let noun = match target {
        Target::Utilization(_) => "utilization",
        Target::AverageValue(_) => "usage",
        _ => return Err(NO_RESOURCE_TARGET.into()),
    };
    let result = match (target, input) {
        (_, Input::Failed(text)) => Err(format!("unable to get metrics for resource {name}: {text}")),
        (Target::Utilization(percent), Input::PerPod(samples)) => {
            replicas::utilization(frame, samples, percent, trace)
        }
        (Target::AverageValue(milli), Input::PerPod(samples)) => {
            replicas::plain(frame, samples, milli, trace)
        }
        _ => Err(WRONG_INPUT.into()),
    };
    result.map_err(|text| format!("failed to get {name} {noun}: {text}"))
}

fn pods(
    name: &str,
    target: Target,
    input: &Input,
    frame: Frame,
    trace: &mut Trace,
) -> Result<Outcome, String> {
    match (target, input) {
        (_, Input::Invalid(text)) => Err(text.clone()),
        (_, Input::Failed(text)) => Err(format!("unable to get metric {name}: {text}")),
        (Target::AverageValue(milli), Input::PerPod(samples)) => {
            replicas::plain(frame, samples, milli, trace)
        }
        _ => Err(WRONG_INPUT.into()),
    }
}

fn object(
    target: Target,
    input: &Input,
    frame: &Frame,
    status_replicas: i32,
    prefix: impl Fn() -> String,
    trace: &mut Trace,
) -> Result<Outcome, String> {
    if let Input::Object(reading) = input
        && let Some(text) = stale(frame, reading)
    {
        return Err(format!("{}: {text}", prefix()));
    }
    match (target, input) {
        (_, Input::Invalid(text)) => Err(text.clone()),
        (Target::Absent | Target::Utilization(_), _) => Err(NO_OBJECT_TARGET.into()),
        (_, Input::Failed(text)) => Err(format!("{}: {text}", prefix())),
        (Target::Value(target), Input::Object(usage)) => {
            whole::value(frame, usage.value_milli, target, trace)
        }
        (Target::AverageValue(target), Input::Object(usage)) => {
            Ok(whole::average_value(frame, status_replicas, usage.value_milli, target, trace))
        }
        _ => Err(WRONG_INPUT.into()),
    }
}

fn external(
    target: Target,
    input: &Input,
    frame: &Frame,
    status_replicas: i32,
    prefix: impl Fn() -> String,
    trace: &mut Trace,
) -> Result<Outcome, String> {
    // A sum without some of its parts would be too small.
    if let Input::External(readings) = input
        && let Some(text) = readings.iter().find_map(|reading| stale(frame, reading))
    {
        return Err(format!("{}: {text}", prefix()));
    }
    match (target, input) {
        (Target::Absent | Target::Utilization(_), _) => Err(NO_EXTERNAL_TARGET.into()),
        (_, Input::Invalid(text)) => Err(text.clone()),
        (_, Input::Failed(text)) => Err(format!("{}: {text}", prefix())),
        (Target::Value(target), Input::External(readings)) => {
            let sum = whole::external_sum(readings.iter().map(|r| r.value_milli));
            whole::value(frame, sum, target, trace)
        }
        (Target::AverageValue(target), Input::External(readings)) => {
            let sum = whole::external_sum_per_pod(readings.iter().map(|r| r.value_milli));
            Ok(whole::average_value(frame, status_replicas, sum, target, trace))
        }
        _ => Err(WRONG_INPUT.into()),
    }
}

/// Text about a reading that is older than the limit.
fn stale(frame: &Frame, reading: &Reading) -> Option<String> {
    let limit_ms = frame.settings.switches.max_sample_age_ms?;
    let age_ms = frame.now_ms.saturating_sub(reading.timestamp_ms);
    (!frame.settings.switches.is_fresh(reading.timestamp_ms, frame.now_ms))
        .then(|| format!("the value is {age_ms} ms old, the limit is {limit_ms} ms"))
}
