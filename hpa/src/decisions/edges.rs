//! Values of a metric at which it asks for another count. Pure.
//!
//! While a ratio stays on one side of the tolerance, what is asked for never falls as usage grows, so that edges are found by
//! halving on each of the three sides apart. Over all of them it may fall: while more pods count than the target's replicas
//! (a rollout, pods of others), usage below the target asks for more replicas, and while fewer do, usage above it for fewer.

use crate::decide::{History, Input, Numbers, Reading, Rules, Snapshot, Trace, decide};
use serde::Serialize;
use std::cmp::Ordering;

/// Beyond this no edge is looked for: 2^50 milli-units.
const HIGHEST: i64 = 1 << 50;

/// Values of one metric, in milli-units, at which it asks for another count within the bounds of the autoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edges {
    /// Upstream's text for the metric.
    pub metric: String,
    /// Whether the value is one per pod, or of the whole.
    pub per_pod: bool,
    /// From this value on it asks for more.
    pub scale_up_from_milli: Option<i64>,
    /// Up to this value it asks for less.
    pub scale_down_to_milli: Option<i64>,
    /// From and up to these values, below the target, it asks for more all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also_up_milli: Option<[i64; 2]>,
    /// From and up to these values, above the target, it asks for less all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also_down_milli: Option<[i64; 2]>,
}

/// Values, both included, that ask for fewer, as many or more replicas.
type Stretch = (Ordering, i64, i64);

/// The edges of one metric; `None` if it has no value, or none is read.
pub(super) fn edges(
    snapshot: &Snapshot,
    index: usize,
    now_ms: i64,
    history: &History,
    current: i32,
) -> Option<Edges> {
    let (metric, input) = (snapshot.rules.metrics.get(index)?, snapshot.inputs.get(index)?);
    let rules = Rules { metrics: vec![metric.clone()], ..snapshot.rules.clone() };
    let bounded = |raw: i32| raw.min(rules.max).max(rules.min);
    let ask = |value: i64| {
        let inputs = [with_value(input, value)?];
        let alone = Snapshot { rules: &rules, inputs: &inputs, ..*snapshot };
        let mut trace = Trace::on();
        let wish = decide(&alone, now_ms, history, &mut trace).raw.map(|raw| bounded(raw).cmp(&current))?;
        Some((wish, side(&trace)))
    };
    ask(0)?;
    let wish = |value| ask(value).map_or(Ordering::Equal, |(wish, _)| wish);
    let is_past = |value, of: Ordering| ask(value).is_some_and(|(_, side)| side >= of);
    let inside = first(0, HIGHEST, |value| is_past(value, Ordering::Equal));
    let above = first(inside, HIGHEST, |value| is_past(value, Ordering::Greater));
    let mut stretches: Vec<Stretch> = Vec::new();
    for (from, end) in [(0, inside), (inside, above), (above, HIGHEST)] {
        let same = first(from, end, |value| wish(value) != Ordering::Less);
        let more = first(same, end, |value| wish(value) == Ordering::Greater);
        for (wish, from, end) in
            [(Ordering::Less, from, same), (Ordering::Equal, same, more), (Ordering::Greater, more, end)]
        {
            match stretches.last_mut() {
                _ if from >= end => {}
                Some((last, _, to)) if *last == wish => *to = end - 1,
                _ => stretches.push((wish, from, end - 1)),
            }
        }
    }
    let asks =
        |stretch: Option<&Stretch>, for_: Ordering| stretch.copied().filter(|(wish, ..)| *wish == for_);
    let lowest = asks(stretches.first(), Ordering::Less);
    let highest = asks(stretches.last(), Ordering::Greater);
    let others = |wish: Ordering| {
        let main = if wish == Ordering::Less { lowest } else { highest };
        let other = stretches.iter().find(|stretch| stretch.0 == wish && Some(**stretch) != main);
        other.map(|(_, from, to)| [*from, *to])
    };
    Some(Edges {
        metric: metric.text.clone(),
        per_pod: matches!(input, Input::PerPod(_)),
        scale_up_from_milli: highest.map(|(_, from, _)| from),
        scale_down_to_milli: lowest.map(|(.., to)| to),
        also_up_milli: others(Ordering::Greater),
        also_down_milli: others(Ordering::Less),
    })
}

/// On which side of the tolerance the one metric of a trace is. A ratio that is no number is on none, and asks as those
/// above do.
fn side(trace: &Trace) -> Ordering {
    let Some(metric) = trace.metrics.first() else { return Ordering::Equal };
    let ratio = match &metric.numbers {
        Some(Numbers::PerPod(numbers)) => numbers.ratio,
        Some(Numbers::Whole(numbers)) => numbers.ratio,
        None => return Ordering::Equal,
    };
    let [low, high] = metric.tolerance_edges;
    if ratio < low {
        Ordering::Less
    } else if ratio <= high {
        Ordering::Equal
    } else {
        Ordering::Greater
    }
}

/// The input with another value; `None` if it holds none.
fn with_value(input: &Input, value: i64) -> Option<Input> {
    match input {
        Input::PerPod(samples) => {
            let mut samples = samples.clone();
            samples.samples.iter_mut().flatten().for_each(|sample| sample.value_milli = value);
            samples.foreign.iter_mut().for_each(|foreign| foreign.value_milli = value);
            Some(Input::PerPod(samples))
        }
        Input::Object(reading) => Some(Input::Object(Reading { value_milli: value, ..*reading })),
        Input::External(readings) => {
            let first = *readings.first()?;
            Some(Input::External(vec![Reading { value_milli: value, ..first }]))
        }
        Input::Failed(_) | Input::Invalid(_) => None,
    }
}

/// The smallest value from `from` to below `end` that fulfils a rule which stays fulfilled beyond it; `end` if none does.
/// Looked for upward in growing steps, for sums of the highest values overflow.
fn first(from: i64, end: i64, rule: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high, mut step) = (from, from, 1);
    while high < end && !rule(high) {
        low = high + 1;
        high = from + step;
        step *= 2;
    }
    let mut high = high.min(end);
    while low < high {
        let middle = low + (high - low) / 2;
        if rule(middle) { high = middle } else { low = middle + 1 }
    }
    low
}
