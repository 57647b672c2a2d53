//! Values for a decision: from answers and custom metrics to [`Input`]s.

use super::Shared;
use super::answers::MetricsKey;
use super::state::HpaState;
use crate::cluster::Answer;
use crate::decide::{Input, PodSample, PodSamples, Rules, Source, Target};
use crate::samples::Sample;
use crate::watch::Population;
use flyball_model::selector::LabelSelector;
use serde_json::Value;

/// Custom and external metrics are asked for at most this often per HPA, though samples may wake it every second.
const CUSTOM_MAX_AGE_MS: i64 = 5_000;

/// Values of all metrics of an HPA, in the order of its spec.
pub(super) async fn gather(
    shared: &Shared,
    rules: &Rules,
    state: &mut HpaState,
    key: &MetricsKey,
    population: &Population,
) -> (Vec<Input>, Option<Answer>) {
    let now_ms = shared.steady_ms();
    let mut answer = None;
    let mut inputs = Vec::with_capacity(rules.metrics.len());
    for (index, metric) in rules.metrics.iter().enumerate() {
        let input = match &metric.source {
            Source::Resource { name } => {
                let answer = resource_answer(shared, key, &mut answer, now_ms).await;
                per_pod(answer, population, name, None, metric.target)
            }
            Source::ContainerResource { name, container } => {
                let answer = resource_answer(shared, key, &mut answer, now_ms).await;
                per_pod(answer, population, name, Some(container), metric.target)
            }
            Source::Unknown { .. } => Input::Invalid(String::new()),
            custom => {
                let max_age_ms = if shared.config.compat_upstream { 0 } else { CUSTOM_MAX_AGE_MS };
                match state.custom.get(&index).filter(|(at_ms, _)| now_ms - at_ms < max_age_ms) {
                    Some((_, input)) if fits(input, population) => input.clone(),
                    _ => {
                        let input = Box::pin(custom_input(shared, rules, custom, key, population)).await;
                        state.custom.insert(index, (now_ms, input.clone()));
                        input
                    }
                }
            }
        };
        inputs.push(input);
    }
    (inputs, answer)
}

/// Values per pod are joined by position, so a kept one is of use only while the pods are as many.
fn fits(input: &Input, population: &Population) -> bool {
    match input {
        Input::PerPod(samples) => samples.samples.len() == population.pods.len(),
        _ => true,
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

async fn custom_input(
    shared: &Shared,
    rules: &Rules,
    source: &Source,
    key: &MetricsKey,
    population: &Population,
) -> Input {
    let namespace = &rules.namespace;
    let answer = match source {
        Source::Pods { name, selector } => match selector_text(selector) {
            Ok(selector) => shared.custom.pods(namespace, name, &key.1, &selector).await.map(|values| {
                let mut joined = PodSamples {
                    samples: vec![None; population.pods.len()],
                    foreign: Vec::new(),
                    requests: Ok(Vec::new()),
                };
                for value in values {
                    let sample = PodSample {
                        value_milli: value.value_milli,
                        timestamp_ms: value.timestamp_ms,
                        window_ms: value.window_ms,
                    };
                    place(&mut joined, population.position(&value.pod), sample);
                }
                Input::PerPod(joined)
            }),
            Err(text) => return Input::Invalid(text),
        },
        Source::Object { name, selector, described } => match selector_text(selector) {
            Ok(selector) => {
                shared.custom.object(namespace, name, described, &selector).await.map(Input::Object)
            }
            Err(text) => return Input::Invalid(text),
        },
        Source::External { name, selector, .. } => match selector_text(selector) {
            Ok(selector) => shared.custom.external(namespace, name, &selector).await.map(Input::External),
            Err(text) => return Input::Invalid(text),
        },
        _ => return Input::Invalid(String::new()),
    };
    answer.unwrap_or_else(Input::Failed)
}

/// A metric's selector as a query; empty for none.
fn selector_text(selector: &Value) -> Result<String, String> {
    if selector.is_null() {
        return Ok(String::new());
    }
    LabelSelector::from_json(selector).map(|selector| selector.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
