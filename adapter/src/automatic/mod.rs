//! Metrics without a configuration: rules made from the types and labels of what is scraped.
//!
//! | Series | Metrics | Query |
//! |---|---|---|
//! | counter `X_total` | `X_per_second`, and the name prometheus-adapter's default rules give (`X`; `X_seconds_total` too gives `X`) | sum of rates |
//! | gauge `X` | `X` | sum |
//! | histogram `X` | `X` with the metric selector `quantile=0.99`; `X_p50`, `X_p90`, `X_p95`, `X_p99` and any other `X_pNN`; `X_count_per_second`, `X_sum_per_second` | quantile of the sum of rates |
//! | summary `X` | `X_count_per_second`, `X_sum_per_second`; its quantiles cannot be added up | sum of rates |
//!
//! Metrics of containers (`container_…`) also go by the name without that prefix, as prometheus-adapter's default rules
//! have it. A name that is a series' own wins over a name made from another series. [`labels`] says which labels name objects.

mod classify;
mod labels;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use classify::Class;
use flyball_model::exposition::MetricType;
pub(crate) use labels::{namespace_label, namespace_labels};

use crate::kinds::{GroupResource, Kinds};
use crate::rules::{Catalogue, CustomMetric, LabelMap, Quantile, Rule, SeriesShape, Skipped, Source};
use crate::template::Template;

/// A shape and what its family's `# TYPE` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedShape {
    /// Name and label names.
    pub shape: SeriesShape,
    /// `None` when the backend does not know: then the name decides.
    pub kind: Option<MetricType>,
}

/// What can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Range of every `rate`; at least twice the scrape interval, better four times.
    pub rate_window_ms: u64,
}

/// Quantiles that discovery lists of each histogram.
const LISTED_QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// Histogram and quantile of a name like `X_p99`: one or two digits are percent, more are its decimals (`p999`: 0.999).
pub fn split_quantile(metric: &str) -> Option<(&str, f64)> {
    let (histogram, digits) = metric.rsplit_once("_p")?;
    if histogram.is_empty()
        || digits.is_empty()
        || digits.len() > 9
        || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let quantile = match digits {
        "100" => "1".to_owned(),
        one if one.len() == 1 => format!("0.0{one}"),
        more => format!("0.{more}"),
    };
    Some((histogram, quantile.parse().ok()?))
}

/// Adds the metrics of these series to a catalogue, without replacing what is there; [`Catalogue::skipped`] tells what gives
/// no metric.
pub fn add(catalogue: &mut Catalogue, shapes: &[TypedShape], options: Options, kinds: &Arc<Kinds>) {
    let names: BTreeSet<&str> = shapes.iter().map(|typed| typed.shape.name.as_str()).collect();
    let mut sorted: Vec<&TypedShape> = shapes.iter().collect();
    sorted.sort_by(|a, b| a.shape.cmp(&b.shape));
    let mut maker = Maker { catalogue: &mut *catalogue, kinds, options, rules: HashMap::new() };
    let mut skipped = Vec::new();
    let mut borrowed = Vec::new();
    for typed in sorted {
        let shape = &typed.shape;
        let objects = labels::objects(&shape.labels);
        let found =
            classify::class(shape, typed.kind, &names).and_then(|class| addressable(&objects, kinds, class));
        let class = match found {
            Ok(class) => class,
            Err(why) => {
                skipped.push(Skipped { series: shape.name.clone(), why });
                continue;
            }
        };
        for (name, quantile) in class.own_names(&shape.name) {
            maker.put(shape, &class, &objects, name, quantile);
        }
        borrowed.extend(
            class.borrowed_names(&shape.name).into_iter().map(|name| (name, shape, class, objects.clone())),
        );
    }
    // What is a series' own name, or made by its type, comes first.
    for (name, shape, class, objects) in borrowed {
        maker.put(shape, &class, &objects, name, None);
    }
    catalogue.skip(skipped);
}

/// Whether one of the objects can be asked for: an object in a namespace needs a label that names the namespace.
fn addressable(objects: &Objects, kinds: &Kinds, class: Class) -> Result<Class, &'static str> {
    let root = |resource: &GroupResource| kinds.of(resource).is_some_and(|kind| !kind.namespaced);
    match () {
        () if objects.is_empty() => {
            Err("none of its labels names an object (pod, namespace, service, node, deployment, …)")
        }
        () if !objects.iter().any(|(_, resource)| root(resource)) => {
            Err("its labels name objects, but none names their namespace")
        }
        () => Ok(class),
    }
}

/// Labels that name objects, one for each resource.
type Objects = Vec<(String, GroupResource)>;

struct Maker<'a> {
    catalogue: &'a mut Catalogue,
    kinds: &'a Arc<Kinds>,
    options: Options,
    /// One rule for all series with the same query and the same labels.
    rules: HashMap<(String, Objects), Arc<Rule>>,
}

impl Maker<'_> {
    fn put(
        &mut self,
        shape: &SeriesShape,
        class: &Class,
        objects: &Objects,
        name: String,
        quantile: Option<Quantile>,
    ) {
        let query = class.query(shape, self.options.rate_window_ms);
        let rule = self.rule(query, objects);
        let in_namespace =
            objects.iter().any(|(_, resource)| *resource == GroupResource::new("", "namespaces"));
        for (_, resource) in objects {
            let root = self.kinds.of(resource).is_some_and(|kind| !kind.namespaced);
            if !root && !in_namespace {
                continue;
            }
            let key = CustomMetric { resource: resource.clone(), namespaced: !root, metric: name.clone() };
            // Other shapes of the same series are no rival.
            if self
                .catalogue
                .source(&key)
                .is_some_and(|have| have.series != shape.name || have.rule.line() > 0)
            {
                continue;
            }
            let labels = shape.labels.clone();
            self.catalogue
                .insert(key, Source { rule: rule.clone(), series: shape.name.clone(), labels, quantile });
        }
    }

    fn rule(&mut self, query: String, objects: &Objects) -> Arc<Rule> {
        let kinds = self.kinds;
        let make = || {
            let template = Template::parse(&query).expect("our own templates are templates");
            Arc::new(Rule::automatic(&query, template, LabelMap::of(objects.clone(), kinds)))
        };
        self.rules.entry((query.clone(), objects.clone())).or_insert_with(make).clone()
    }
}

#[cfg(test)]
mod tests;
