//! Values for a decision: from answers and custom metrics to [`Input`]s.

use super::Shared;
use super::answers::MetricsKey;
use super::queue::Follows;
use super::values::{Told, question_of};
use crate::cluster::{Answer, PodValue, Values};
use crate::decide::{Input, PodSample, PodSamples, Source, Target};
use crate::samples::Sample;
use crate::watch::{HpaEntry, Population};
use std::sync::Arc;

/// What an HPA with a period of its own takes for a custom or external metric is younger than this, and than half its period.
const MAX_AGE_MS: i64 = 5_000;

/// What a decision is made from.
#[derive(Default)]
pub(super) struct Gathered {
    /// Values of all metrics, in the order of the spec.
    pub(super) inputs: Vec<Input>,
    /// Where they come from.
    pub(super) follows: Follows,
    /// When the newest of them was taken, unix milliseconds.
    pub(super) newest_ms: Option<i64>,
}

/// Values of all metrics of an HPA.
pub(super) async fn gather(
    shared: &Shared,
    entry: &HpaEntry,
    key: MetricsKey,
    population: &Population,
) -> Gathered {
    let now_ms = shared.steady_ms();
    let rules = &entry.rules;
    let mut answer = None;
    let mut told_ms = None;
    let mut inputs = Vec::with_capacity(rules.metrics.len());
    let mut values = Vec::new();
    for metric in &rules.metrics {
        let input = match &metric.source {
            Source::Resource { name } => {
                let answer = resource_answer(shared, &key, &mut answer, now_ms).await;
                per_pod(answer, population, name, None, metric.target)
            }
            Source::ContainerResource { name, container } => {
                let answer = resource_answer(shared, &key, &mut answer, now_ms).await;
                per_pod(answer, population, name, Some(container), metric.target)
            }
            source => match question_of(rules, source, &key) {
                Ok(Some(question)) => {
                    let question = Arc::new(question);
                    let max_age_ms = value_max_age_ms(shared, entry);
                    let told = Box::pin(shared.values.current(&question, max_age_ms, now_ms)).await;
                    values.push(question);
                    told_ms = told_ms.max(told.times_ms().map(|(_, newest_ms)| newest_ms));
                    value_input(&told, population)
                }
                Ok(None) => Input::Invalid(String::new()),
                Err(text) => Input::Invalid(text),
            },
        };
        inputs.push(input);
    }
    let newest_ms = answer.as_ref().and_then(Answer::newest_ms).max(told_ms);
    let pods = answer.is_some().then_some(key);
    Gathered { inputs, follows: Follows { pods, values }, newest_ms: newest_ms.filter(|at_ms| *at_ms > 0) }
}

/// How old the value of a custom or external metric may be. What is followed is kept fresh.
fn value_max_age_ms(shared: &Shared, entry: &HpaEntry) -> i64 {
    match entry.controls.period_ms {
        _ if shared.config.compat_upstream => 0,
        Some(period_ms) => MAX_AGE_MS.min(period_ms / 2),
        None => shared.config.sync_period_ms(),
    }
}

async fn resource_answer<'a>(
    shared: &Shared,
    key: &MetricsKey,
    answer: &'a mut Option<Answer>,
    now_ms: i64,
) -> &'a Answer {
    if answer.is_none() {
        // The poller keeps answers fresh; upstream's timing asks for each evaluation, shared by those of one second.
        let max_age_ms = if shared.config.compat_upstream { 999 } else { shared.config.sync_period_ms() };
        *answer = Some(shared.answers.current(key, max_age_ms, now_ms).await);
    }
    answer.get_or_insert_with(|| Answer { fetched_ms: now_ms, samples: Err(String::new()) })
}

fn per_pod(
    answer: &Answer,
    population: &Population,
    resource: &str,
    container: Option<&str>,
    target: Target,
) -> Input {
    let samples = match &answer.samples {
        Ok(samples) => samples,
        Err(text) => return Input::Failed(text.clone()),
    };
    let value = |sample: &Sample| match container {
        Some(container) => sample.container(container, resource),
        None => sample.whole(resource),
    };
    let mut joined = PodSamples {
        samples: vec![None; population.pods.len()],
        foreign: Vec::new(),
        requests: Ok(Vec::new()),
    };
    // Both are sorted by name, and mostly have the same names.
    let mut next = 0;
    for sample in samples.iter() {
        let Some(value_milli) = value(sample) else { continue };
        let value = PodSample { value_milli, timestamp_ms: sample.timestamp_ms, window_ms: sample.window_ms };
        let here = population.pods.get(next).filter(|pod| pod.name == sample.pod);
        let position = here.map(|_| next).or_else(|| population.position(&sample.pod));
        next = position.map_or(next, |position| position + 1);
        place(&mut joined, position, value);
    }
    if let Target::Utilization(_) = target {
        joined.requests = population.requests(resource, container).as_ref().clone();
    }
    Input::PerPod(joined)
}

fn place(joined: &mut PodSamples, position: Option<usize>, value: PodSample) {
    match position {
        Some(position) => joined.samples[position] = Some(value),
        None => joined.foreign.push(value),
    }
}

fn value_input(told: &Told, population: &Population) -> Input {
    match &told.values {
        Ok(Values::Pods(values)) => {
            let mut joined = PodSamples {
                samples: vec![None; population.pods.len()],
                foreign: Vec::new(),
                requests: Ok(Vec::new()),
            };
            for PodValue { pod, value_milli, timestamp_ms, window_ms } in values {
                let sample = PodSample {
                    value_milli: *value_milli,
                    timestamp_ms: *timestamp_ms,
                    window_ms: *window_ms,
                };
                place(&mut joined, population.position(pod), sample);
            }
            Input::PerPod(joined)
        }
        Ok(Values::Object(reading)) => Input::Object(*reading),
        Ok(Values::External(readings)) => Input::External(readings.clone()),
        Err(text) => Input::Failed(text.clone()),
    }
}

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
