//! Which metrics exist, for which resources.
//!
//! As upstream: the key is resource, scope and name; a later rule, and within a rule a later series (in order of names),
//! takes the place of an earlier one. Unlike upstream that is not silent: [`Catalogue::shadowed`] tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flyball_model::selector::LabelSelector;

use super::compiled::Rule;
use super::plan::{self, CustomRequest, ExternalPlan, PlanError, QueryPlan};
use crate::kinds::{GroupResource, Kinds};

/// Most metrics of one catalogue; further ones are dropped, and [`Catalogue::dropped`] counts them.
pub const MAX_METRICS: usize = 100_000;
/// Most shadowed metrics that are remembered.
const MAX_SHADOWED: usize = 100;
/// Most series without a metric that are remembered.
const MAX_SKIPPED: usize = 10_000;

/// What is known of the series of one name: the label names, for it is by them that objects are found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesShape {
    /// Name of the metric.
    pub name: String,
    /// Names of labels, without `__name__`.
    pub labels: BTreeSet<String>,
}

impl SeriesShape {
    /// From names.
    pub fn new<'a>(name: &str, labels: impl IntoIterator<Item = &'a str>) -> SeriesShape {
        SeriesShape { name: name.into(), labels: labels.into_iter().map(str::to_owned).collect() }
    }
}

/// One metric of discovery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomMetric {
    /// Of what.
    pub resource: GroupResource,
    /// Whether asked for in a namespace.
    pub namespaced: bool,
    /// Name in the API.
    pub metric: String,
}

/// Which quantile of a histogram a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// The one of its name.
    Fixed(f64),
    /// The one that the metric selector says.
    Asked,
}

/// Where a metric comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// From which rule.
    pub rule: Arc<Rule>,
    /// From which series.
    pub series: String,
    /// Labels of the series.
    pub labels: BTreeSet<String>,
    /// For a histogram.
    pub quantile: Option<Quantile>,
}

/// Two sources of one metric: the first never shows.
#[derive(Debug, Clone)]
pub struct Shadowed {
    /// Resource and name.
    pub metric: String,
    /// Series and line of the rule that lost.
    pub lost: (String, u64),
    /// Series and line of the rule that won.
    pub won: (String, u64),
}

/// A series that gives no metric, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Name of the series.
    pub series: String,
    /// Why, in a sentence.
    pub why: &'static str,
}

/// What exists in one source.
#[derive(Debug, Clone)]
pub struct Catalogue {
    custom: BTreeMap<CustomMetric, Source>,
    external: BTreeMap<String, Source>,
    shadowed: Vec<Shadowed>,
    dropped: usize,
    skipped: Vec<Skipped>,
    kinds: Arc<Kinds>,
}

impl Catalogue {
    /// Without any metric.
    pub fn empty(kinds: &Arc<Kinds>) -> Catalogue {
        Catalogue {
            custom: BTreeMap::new(),
            external: BTreeMap::new(),
            shadowed: Vec::new(),
            dropped: 0,
            skipped: Vec::new(),
            kinds: kinds.clone(),
        }
    }

    /// From rules and the series that the backend has for each (in the order of the rules; later ones win, as upstream).
    pub fn of(
        custom: &[(Arc<Rule>, Vec<SeriesShape>)],
        external: &[(Arc<Rule>, Vec<SeriesShape>)],
        kinds: &Arc<Kinds>,
    ) -> Catalogue {
        let mut catalogue = Catalogue::empty(kinds);
        for (rule, shapes) in custom {
            for (shape, metric) in named(rule, shapes) {
                catalogue.add_series(rule, shape, &metric);
            }
        }
        for (rule, shapes) in external {
            for (shape, metric) in named(rule, shapes) {
                if catalogue.has_room(catalogue.external.contains_key(&metric)) {
                    let source = source(rule, shape);
                    let lost = catalogue.external.insert(metric.clone(), source.clone());
                    catalogue.note(&metric, lost.as_ref(), &source);
                }
            }
        }
        catalogue
    }

    fn add_series(&mut self, rule: &Arc<Rule>, shape: &SeriesShape, metric: &str) {
        let (resources, namespaced) = rule.labels.resources(&shape.labels);
        for resource in resources {
            let namespaced = namespaced && !rule.labels.is_root(&resource);
            let key = CustomMetric { resource, namespaced, metric: metric.to_owned() };
            self.insert(key, source(rule, shape));
        }
    }

    /// Puts a metric in, in place of one with the same key.
    pub(crate) fn insert(&mut self, key: CustomMetric, mut source: Source) {
        if !self.has_room(self.custom.contains_key(&key)) {
            return;
        }
        let known = self.custom.get(&key);
        // Several shapes of one series are one source.
        if let Some(known) =
            known.filter(|known| Arc::ptr_eq(&known.rule, &source.rule) && known.series == source.series)
        {
            source.labels.extend(known.labels.iter().cloned());
        }
        let name = format!("{}/{}", key.resource, key.metric);
        let lost = self.custom.insert(key, source.clone());
        self.note(&name, lost.as_ref(), &source);
    }

    /// Where a metric comes from.
    pub(crate) fn source(&self, key: &CustomMetric) -> Option<&Source> {
        self.custom.get(key)
    }

    /// Whether a metric may be put in; counts those that may not.
    fn has_room(&mut self, known: bool) -> bool {
        let room = known || self.custom.len() + self.external.len() < MAX_METRICS;
        self.dropped += usize::from(!room);
        room
    }

    fn note(&mut self, metric: &str, lost: Option<&Source>, won: &Source) {
        let Some(lost) = lost.filter(|lost| lost.series != won.series || !Arc::ptr_eq(&lost.rule, &won.rule))
        else {
            return;
        };
        if self.shadowed.len() < MAX_SHADOWED {
            self.shadowed.push(Shadowed {
                metric: metric.to_owned(),
                lost: (lost.series.clone(), lost.rule.line()),
                won: (won.series.clone(), won.rule.line()),
            });
        }
    }

    /// For discovery, sorted.
    pub fn custom_metrics(&self) -> impl Iterator<Item = &CustomMetric> {
        self.custom.keys()
    }

    /// For discovery, sorted.
    pub fn external_metrics(&self) -> impl Iterator<Item = &str> {
        self.external.keys().map(String::as_str)
    }

    /// Metrics and where they come from, sorted.
    pub fn custom_sources(&self) -> impl Iterator<Item = (&CustomMetric, &Source)> {
        self.custom.iter()
    }

    /// Metrics and where they come from, sorted.
    pub fn external_sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.external.iter().map(|(metric, source)| (metric.as_str(), source))
    }

    /// Metrics with several sources.
    pub fn shadowed(&self) -> &[Shadowed] {
        &self.shadowed
    }

    /// Remembers series that give no automatic metric.
    pub(crate) fn skip(&mut self, mut skipped: Vec<Skipped>) {
        self.skipped.append(&mut skipped);
        self.skipped.sort();
        self.skipped.dedup();
        self.skipped.truncate(MAX_SKIPPED);
    }

    /// Series that give no automatic metric, sorted.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How many metrics were dropped beyond [`MAX_METRICS`].
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The kinds it was made with.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Where a metric comes from, and which quantile it is.
    pub fn find(
        &self,
        resource: &GroupResource,
        namespaced: bool,
        metric: &str,
    ) -> Option<(&Source, Option<Quantile>)> {
        let resource =
            self.kinds.of(resource).map_or_else(|| resource.clone(), crate::kinds::Kind::group_resource);
        let key =
            |metric: &str| CustomMetric { resource: resource.clone(), namespaced, metric: metric.to_owned() };
        if let Some(source) = self.custom.get(&key(metric)) {
            return Some((source, source.quantile));
        }
        let (histogram, quantile) = crate::automatic::split_quantile(metric)?;
        let source = self.custom.get(&key(histogram)).filter(|source| source.quantile.is_some())?;
        Some((source, Some(Quantile::Fixed(quantile))))
    }

    /// The query for a request.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn plan_custom(&self, request: &CustomRequest<'_>) -> Result<QueryPlan, PlanError> {
        let found = self.find(request.resource, request.namespace.is_some(), request.metric);
        let (source, quantile) = found.ok_or_else(|| PlanError::UnknownMetric {
            metric: request.metric.to_owned(),
            resource: request.resource.to_string(),
        })?;
        let kind = self.kinds.of(request.resource);
        let resource = kind.map_or_else(|| request.resource.clone(), crate::kinds::Kind::group_resource);
        plan::custom(source, quantile, &CustomRequest { resource: &resource, ..*request })
    }

    /// The query for an external metric.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn plan_external(
        &self,
        metric: &str,
        namespace: &str,
        selector: &LabelSelector,
    ) -> Result<ExternalPlan, PlanError> {
        let source = self.external.get(metric).ok_or_else(|| PlanError::UnknownMetric {
            metric: metric.to_owned(),
            resource: "external.metrics.k8s.io".into(),
        })?;
        plan::external(source, namespace, selector)
    }
}

/// Series of a rule that pass its conditions, with their names in the API, in order of the series' names.
fn named<'a>(rule: &Rule, shapes: &'a [SeriesShape]) -> Vec<(&'a SeriesShape, String)> {
    let mut sorted: Vec<&SeriesShape> = shapes.iter().collect();
    sorted.sort();
    let names = sorted.into_iter().filter_map(|shape| Some((shape, rule.metric_name(&shape.name)?)));
    names.filter(|(_, metric)| !metric.is_empty()).collect()
}

fn source(rule: &Arc<Rule>, shape: &SeriesShape) -> Source {
    Source { rule: rule.clone(), series: shape.name.clone(), labels: shape.labels.clone(), quantile: None }
}
