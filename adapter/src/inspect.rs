//! What exists, what rules match, and why a metric is or is not there: asked of the sources as requests ask them.

use std::sync::Arc;

use flyball_apiserver::Response;
use flyball_model::selector::LabelSelector;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::api;
use crate::backends::Answer;
use crate::cluster::ObjectsError;
use crate::explain::{
    self, Explanation, Listed, Question, RuleCheck, UsageCheck, check, explain_custom, explain_external,
    explain_proxied, explain_scheduled,
};
use crate::kinds::{GroupResource, Kind};
use crate::rules::{CustomRequest, Rule, Sample, SeriesShape};
use crate::schedule::Scheduled;
use crate::server::Adapter;
use crate::sources::{Group, Proxied, Queried, Sender, Source};

/// What the calendar is called among the sources.
const SCHEDULES: &str = "schedules";

/// Something that one source says.
#[derive(Debug, Clone)]
pub struct Said<T> {
    /// Name of the source.
    pub source: String,
    /// What.
    pub what: T,
}

/// Which metric of which objects is to be explained.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Name in the API.
    pub metric: String,
    /// Of what; `None`: an external metric.
    pub resource: Option<GroupResource>,
    /// Where.
    pub namespace: String,
    /// Of this object alone.
    pub name: Option<String>,
    /// Of these objects.
    pub selector: LabelSelector,
    /// Conditions on the series.
    pub metric_selector: LabelSelector,
}

impl Adapter {
    /// Everything that exists, source by source.
    pub fn list(&self) -> Vec<Said<Listed>> {
        let mut all = Vec::new();
        let state = self.state();
        for source in &state.sources {
            match source {
                Source::Queried(source) => {
                    let listed = explain::list(&source.listing().catalogue);
                    let listed = listed.into_iter().filter(|one| source.may_have(&one.metric));
                    all.extend(listed.map(|what| Said { source: source.name().to_owned(), what }));
                }
                Source::Proxied(source) => {
                    for (group, name, namespaced) in &source.listed().metrics {
                        let (resource, metric) = match (name.split_once('/'), group) {
                            (Some((resource, metric)), crate::sources::Group::Custom) => {
                                (Some(GroupResource::parse(resource)), metric)
                            }
                            _ => (None, name.as_str()),
                        };
                        let what = Listed {
                            metric: metric.to_owned(),
                            resource,
                            namespaced: *namespaced,
                            series: String::new(),
                            rule: "another server".to_owned(),
                            query: Err("asked of the other server".to_owned()),
                        };
                        all.push(Said { source: source.name().to_owned(), what });
                    }
                }
            }
        }
        for metric in state.schedules.metrics() {
            let what = Listed {
                metric: metric.to_owned(),
                resource: None,
                namespaced: true,
                series: String::new(),
                rule: "schedule".to_owned(),
                query: Err("by the calendar".to_owned()),
            };
            all.push(Said { source: SCHEDULES.to_owned(), what });
        }
        all
    }

    /// What each rule of the configuration matches now.
    pub fn check(&self) -> Vec<Said<RuleCheck>> {
        let kinds = self.cluster.kinds();
        let mut all = Vec::new();
        for source in &self.state().sources {
            let Source::Queried(source) = source else { continue };
            let shapes = source.shapes();
            let rules = source.rules();
            let custom = rules.custom.iter().map(|rule| (rule, false));
            for (rule, external) in custom.chain(rules.external.iter().map(|rule| (rule, true))) {
                let found = shapes.get(rule.series_query()).map(Vec::as_slice).unwrap_or_default();
                let what = check(rule, found, external, &kinds);
                all.push(Said { source: source.name().to_owned(), what });
            }
        }
        all.sort_by_key(|said| said.what.line);
        all
    }

    /// What each query of `resourceRules` matches now.
    pub async fn check_usage(&self) -> Vec<UsageCheck> {
        let state = self.state();
        let Some((rules, source)) = &state.usage else { return Vec::new() };
        let mut all = Vec::new();
        for probe in rules.probes() {
            let answer = match &probe.query {
                Ok(query) => samples(source, query).await,
                Err(reason) => Err(reason.clone()),
            };
            all.push(UsageCheck::of(&probe, answer.as_deref().map_err(Clone::clone)));
        }
        all
    }

    /// What each schedule says now.
    pub fn check_schedules(&self) -> Vec<Scheduled> {
        self.state().schedules.now((self.clock)())
    }

    /// Why sources have not looked, or not at everything.
    pub fn failures(&self) -> Vec<Said<String>> {
        let failure = |source: &Source| {
            let what = self.settings.advice.of(&format!("source-{}", source.name()))?;
            Some(Said { source: source.name().to_owned(), what })
        };
        self.state().sources.iter().filter_map(failure).collect()
    }

    /// The resource that a metric is asked for, when nobody says: pods where they have it, else the first that has; `None`
    /// when it is an external metric.
    pub fn resource_of(&self, metric: &str) -> Option<GroupResource> {
        let listed = self.list();
        let of = |said: &&Said<Listed>| said.what.metric == metric;
        let mut resources = listed.iter().filter(of).filter_map(|said| said.what.resource.clone());
        let pods = GroupResource::new("", "pods");
        let first = resources.next();
        let external = listed.iter().any(|said| said.what.metric == metric && said.what.resource.is_none());
        match (first, external) {
            (Some(first), _) => {
                Some(if first == pods || resources.any(|one| one == pods) { pods } else { first })
            }
            (None, true) => None,
            (None, false) => Some(pods),
        }
    }

    /// The way of one metric through each source that may have it.
    ///
    /// # Errors
    /// The objects that a selector picks are not known.
    pub async fn explain(&self, explained: &Explained) -> Result<Vec<Said<Explanation>>, ObjectsError> {
        let mut all = Vec::new();
        let (state, metric) = (self.state(), &explained.metric);
        let mut scheduled = self.check_schedules();
        scheduled.retain(|one| one.name == *metric);
        if explained.resource.is_none() && !scheduled.is_empty() {
            let what = explain_scheduled(&scheduled, &explained.namespace, &explained.metric_selector);
            all.push(Said { source: SCHEDULES.to_owned(), what });
        }
        for source in &state.sources {
            let what = match (source, &explained.resource) {
                (Source::Queried(source), _) if !source.may_have(metric) => continue,
                (Source::Queried(source), Some(resource)) => {
                    self.explain_object_metric(source, explained, resource).await?
                }
                (Source::Queried(source), None) => explain_external_metric(source, explained).await,
                (Source::Proxied(source), _) => match self.explain_elsewhere(source, explained).await {
                    Some(what) => what,
                    None => continue,
                },
            };
            all.push(Said { source: source.name().to_owned(), what });
        }
        Ok(all)
    }

    /// Asks another server as an autoscaler would be handed on to it; `None` where it is not asked for such a metric.
    async fn explain_elsewhere(&self, source: &Proxied, explained: &Explained) -> Option<Explanation> {
        let group = if explained.resource.is_some() { Group::Custom } else { Group::External };
        if !source.may_have(group, &explained.metric) {
            return None;
        }
        let kind = explained.resource.as_ref().map(|resource| (resource, self.cluster.kind(resource)));
        let (path, listed_as) = match &kind {
            None => (api::external_path(&explained.namespace, &explained.metric), explained.metric.clone()),
            Some((resource, kind)) => {
                let namespaced = kind.as_ref().is_none_or(|kind| kind.namespaced);
                let namespace = namespaced.then_some(explained.namespace.as_str());
                let name = explained.name.as_deref().unwrap_or("*");
                let path = api::custom_path(namespace, resource, name, &explained.metric);
                (path, format!("{resource}/{}", explained.metric))
            }
        };
        let (objects, metrics) = (explained.selector.to_string(), explained.metric_selector.to_string());
        let parameters = match kind {
            Some(_) => vec![("labelSelector", objects.as_str()), ("metricLabelSelector", metrics.as_str())],
            None => vec![("labelSelector", metrics.as_str())],
        };
        let answer = source.answer(&path, &Sender::ourselves(&parameters)).await;
        let answer = match answer {
            Ok(Some(response)) => read_list(response).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        Some(explain_proxied(&path, source.lists(group, &listed_as), &answer))
    }

    async fn explain_object_metric(
        &self,
        source: &Queried,
        explained: &Explained,
        resource: &GroupResource,
    ) -> Result<Explanation, ObjectsError> {
        let kind = self.cluster.kind(resource);
        let namespaced = kind.as_ref().is_none_or(|kind| kind.namespaced);
        let namespace = namespaced.then_some(explained.namespace.as_str());
        let names = self.explained_names(explained, kind.as_ref(), namespace).await?;
        let (listing, rules) = (source.listing(), rules_with_shapes(source, false));
        let question = Question {
            metric: &explained.metric,
            resource,
            namespace,
            names: &names,
            metric_selector: &explained.metric_selector,
        };
        let request = CustomRequest {
            metric: question.metric,
            resource,
            namespace,
            names: &names,
            metric_selector: question.metric_selector,
        };
        let answered = match listing.catalogue.plan_custom(&request) {
            Ok(plan) => samples(source, &plan.promql).await,
            // The explanation says it itself.
            Err(error) => Err(error.to_string()),
        };
        Ok(explain_custom(&listing.catalogue, &rules, &question, source.non_finite(), |_| {
            borrowed(&answered)
        }))
    }

    async fn explained_names(
        &self,
        explained: &Explained,
        kind: Option<&Kind>,
        namespace: Option<&str>,
    ) -> Result<Arc<Vec<String>>, ObjectsError> {
        match (&explained.name, kind) {
            (Some(name), _) => Ok(Arc::new(vec![name.clone()])),
            // A metric of the namespace itself is of the one that was named.
            (None, Some(kind)) if kind.plural == "namespaces" && kind.group.is_empty() => {
                Ok(Arc::new(vec![explained.namespace.clone()]))
            }
            (None, Some(kind)) => self.cluster.names(kind, namespace, &explained.selector).await,
            (None, None) => Ok(Arc::default()),
        }
    }
}

/// A list of values, or what was answered in its place.
async fn read_list(response: Response) -> Result<Value, String> {
    let code = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match code.is_success() {
        true => Ok(body),
        false => Err(format!("{code}: {}", body["message"].as_str().unwrap_or("nothing more was said"))),
    }
}

async fn explain_external_metric(source: &Queried, explained: &Explained) -> Explanation {
    let (listing, rules) = (source.listing(), rules_with_shapes(source, true));
    let (metric, namespace) = (&explained.metric, &explained.namespace);
    let answered = match listing.catalogue.plan_external(metric, namespace, &explained.metric_selector) {
        Ok(plan) => samples(source, &plan.promql).await,
        Err(error) => Err(error.to_string()),
    };
    explain_external(
        &listing.catalogue,
        &rules,
        metric,
        namespace,
        &explained.metric_selector,
        source.non_finite(),
        |_| borrowed(&answered),
    )
}

fn borrowed(answered: &Result<Vec<Sample>, String>) -> explain::Answered<'_> {
    answered.as_deref().map_err(String::as_str)
}

async fn samples(source: &Queried, promql: &str) -> Result<Vec<Sample>, String> {
    let answer = source.answer(promql).await.map_err(|error| error.to_string())?;
    Ok(match &*answer {
        Answer::Vector { samples, .. } => samples.clone(),
        Answer::Scalar { value, timestamp_ms } => {
            vec![Sample { labels: Arc::default(), timestamp_ms: *timestamp_ms, value: *value }]
        }
    })
}

fn rules_with_shapes(source: &Queried, external: bool) -> Vec<(Arc<Rule>, Vec<SeriesShape>)> {
    let shapes = source.shapes();
    let rules = if external { &source.rules().external } else { &source.rules().custom };
    let with =
        |rule: &Arc<Rule>| (rule.clone(), shapes.get(rule.series_query()).cloned().unwrap_or_default());
    rules.iter().map(with).collect()
}
