//! Random answers of the metrics APIs, most of them near the target.

use std::collections::BTreeMap;

use fastrand::Rng;
use flyball_model::autoscaling::v2::{HorizontalPodAutoscaler, MetricSpec, MetricTarget};
use flyball_model::quantity::Quantity;

use super::{percent, pick};
use crate::wire::{Answer, Pod, Sample};

/// An answer for every metric of the spec; metrics that ask the same share one.
pub fn answers(
    rng: &mut Rng,
    hpa: &HorizontalPodAutoscaler,
    pods: &[Pod],
    storm: Option<i64>,
    (now_ms, replicas): (i64, i32),
) -> BTreeMap<String, Answer> {
    let mut answers = BTreeMap::new();
    for spec in &hpa.spec.metrics {
        let Some((key, target, resource)) = key(spec) else { continue };
        if answers.contains_key(&key) {
            continue;
        }
        let answer = match resource {
            _ if percent(rng, 6) => {
                Answer { error: "no metrics returned from the API".to_owned(), ..Answer::default() }
            }
            Some(resource) => per_pod(rng, target, pods, resource, (storm, now_ms)),
            None if key.starts_with("pods/") => per_pod(rng, target, pods, ("", None), (storm, now_ms)),
            None => whole(rng, target, replicas, storm),
        };
        answers.insert(key, answer);
    }
    answers
}

type Named<'a> = (String, &'a MetricTarget, Option<(&'a str, Option<&'a str>)>);

fn key(spec: &MetricSpec) -> Option<Named<'_>> {
    if let Some(source) = &spec.resource {
        return Some((format!("resource/{}/", source.name), &source.target, Some((&source.name, None))));
    }
    if let Some(source) = &spec.container_resource {
        let key = format!("resource/{}/{}", source.name, source.container);
        return Some((key, &source.target, Some((&source.name, Some(&source.container)))));
    }
    if let Some(source) = &spec.pods {
        return Some((format!("pods/{}", source.metric.name), &source.target, None));
    }
    if let Some(source) = &spec.object {
        return Some((format!("object/{}", source.metric.name), &source.target, None));
    }
    let source = spec.external.as_ref()?;
    Some((format!("external/{}", source.metric.name), &source.target, None))
}

/// Usage in percent of the target.
fn level(rng: &mut Rng) -> i64 {
    match rng.u32(..10) {
        0 => rng.i64(0..400),
        1 => pick(rng, &[0, 1, 5]),
        _ => pick(
            rng,
            &[50, 89, 90, 91, 95, 99, 100, 100, 101, 105, 106, 109, 110, 111, 120, 130, 131, 150, 200, 290],
        ),
    }
}

fn per_pod(
    rng: &mut Rng,
    target: &MetricTarget,
    pods: &[Pod],
    (resource, container): (&str, Option<&str>),
    (storm, now_ms): (Option<i64>, i64),
) -> Answer {
    let (level, spread) = (storm.unwrap_or_else(|| level(rng)), pick(rng, &[0, 0, 1, 10, 60]));
    let silent = pick(rng, &[0, 0, 0, 10, 50]);
    let mut samples = Vec::new();
    for pod in pods {
        if percent(rng, silent) {
            continue;
        }
        let goal = match (target.average_utilization, &target.average_value) {
            (_, Some(value)) => value.milli_value(),
            (Some(share), None) => request(pod, resource, container) * i64::from(share) / 100,
            (None, None) => 100,
        };
        let own = (level + rng.i64(-spread..=spread)).max(0);
        samples.push(sample(rng, &pod.name, goal.saturating_mul(own) / 100, now_ms));
    }
    if percent(rng, 8) {
        let value = rng.i64(0..3_000);
        samples.push(sample(rng, "web-gone", value, now_ms));
    }
    if percent(rng, 1)
        && let Some(first) = samples.first_mut()
    {
        first.value = extreme(rng);
    }
    Answer { pods: samples, ..Answer::default() }
}

fn request(pod: &Pod, resource: &str, container: Option<&str>) -> i64 {
    let wanted = pod.containers.iter().filter(|each| container.is_none_or(|name| name == each.name));
    wanted.map(|each| each.requests.get(resource).copied().unwrap_or(0)).sum()
}

fn sample(rng: &mut Rng, pod: &str, value: i64, now_ms: i64) -> Sample {
    let age_ms = pick(rng, &[0, 500, 1_000, 15_000, 30_000, 60_000, 90_000]);
    let window_ms = pick(rng, &[15_000, 15_000, 30_000, 60_000, 10_000, 0]);
    Sample { pod: pod.to_owned(), value, timestamp_ms: now_ms - age_ms, window_ms }
}

fn extreme(rng: &mut Rng) -> i64 {
    pick(
        rng,
        &[
            i64::MAX,
            i64::MAX / 2 + 1,
            i64::MAX / 100,
            i64::MIN,
            -1,
            -1_000,
            -500_000,
            1 << 53,
            (1 << 53) + 1,
            1 << 40,
        ],
    )
}

fn whole(rng: &mut Rng, target: &MetricTarget, replicas: i32, storm: Option<i64>) -> Answer {
    let level = storm.unwrap_or_else(|| level(rng));
    let milli = |quantity: &Option<Quantity>| quantity.as_ref().map(Quantity::milli_value);
    let goal = milli(&target.average_value)
        .map(|goal| goal.saturating_mul(i64::from(replicas.max(1))))
        .or_else(|| milli(&target.value))
        .unwrap_or(1_000);
    let mut values = vec![(i128::from(goal) * i128::from(level) / 100).clamp(0, i64::MAX.into()) as i64];
    if percent(rng, 20) {
        let (half, rest) = (values[0] / 2, values[0] - values[0] / 2);
        values = vec![half, rest];
    }
    if percent(rng, 4) {
        let value = extreme(rng);
        values.insert(rng.usize(..=values.len()), value);
    }
    Answer { values, ..Answer::default() }
}
