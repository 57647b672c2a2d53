//! A backend with rules: what it has is looked up again and again, and requests become queries.
#![allow(clippy::disallowed_methods, reason = "an edge: looks again and again, and waits")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyball_apiserver::{Advice, Live};
use flyball_model::exposition::MetricType;
use flyball_model::selector::LabelSelector;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::listing::{Listing, RuleState};
use super::unwritten::Unwritten;
use super::{Names, SourceSettings};
use crate::automatic::{self, TypedShape};
use crate::backends::{Answer, Backend, BackendError, Found, Types};
use crate::cache::{Answers, Choice, Question, SharedAnswers, Weighed};
use crate::kinds::{GroupResource, Kinds};
use crate::rules::{
    Catalogue, CustomRequest, ExternalPlan, Grouped, NonFinite, PlanError, QueryPlan, Rule, RuleSet,
    SeriesShape, ValueError, Values,
};
use crate::server::Clock;

/// Discoveries of one source at a time.
const DISCOVERIES_AT_ONCE: usize = 4;
/// Questions that serve many, of one source at a time, that nobody waits for.
const SHARED_AT_ONCE: usize = 8;
/// How long a request for an unknown metric waits for a new look.
const MISS_PATIENCE: Duration = Duration::from_secs(2);
/// Metrics are made from everything that is scraped: many labels can name an object.
const AUTOMATIC_SELECTOR: &str = "{__name__!=\"\"}";

/// Why a source has no values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// There is no query for the request.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The backend has no answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The answer gives no values.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The answer is a number where objects are needed.
    #[error("the query of the rule of line {line} yields a scalar; it has to yield a value for each object")]
    Scalar {
        /// Line of the rule.
        line: u64,
    },
}

/// An answer ordered by objects; one that is a number has none.
struct ByObject {
    grouped: Option<Grouped>,
    samples: usize,
}

impl Weighed for ByObject {
    fn weight(&self) -> usize {
        self.samples
    }
}

impl Weighed for Answer {
    fn weight(&self) -> usize {
        match self {
            Answer::Vector { samples, .. } => samples.len(),
            Answer::Scalar { .. } => 1,
        }
    }
}

/// How a source looks at its backend.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// Between two looks (`--metrics-relist-interval`).
    pub interval: Duration,
    /// Least time between two looks when somebody asks for an unknown metric.
    pub at_miss: Duration,
    /// How old a series' last sample may be (`--metrics-max-age`).
    pub max_age: Duration,
}

/// A backend with rules.
pub struct Queried {
    name: String,
    backend: Arc<dyn Backend>,
    metrics: Names,
    rules: RuleSet,
    automatic: Option<automatic::Options>,
    unwritten: Option<Unwritten>,
    kinds: Arc<Kinds>,
    looks: Looks,
    non_finite: NonFinite,
    clock: Clock,
    listing: Arc<Live<Listing>>,
    last_shapes: Mutex<BTreeMap<String, Vec<SeriesShape>>>,
    looked: watch::Sender<u64>,
    look_soon: Notify,
    /// When the next look may begin, or began; `None` while that is not known.
    next_look: Mutex<Option<Instant>>,
    advice: Advice,
    by_object: Answers<ByObject, BackendError>,
    plain: Answers<Answer, BackendError>,
    shared: SharedAnswers<ByObject, BackendError>,
}

/// What a [`Queried`] is made of.
pub struct QueriedParts {
    /// Asked.
    pub backend: Arc<dyn Backend>,
    /// How often it has new values.
    pub interval: Duration,
    /// Rules of this source alone.
    pub rules: RuleSet,
    /// Whether metrics are made from what is scraped, and how.
    pub automatic: Option<automatic::Options>,
    /// Kinds that the rules were compiled with.
    pub kinds: Arc<Kinds>,
    /// How it is looked at.
    pub looks: Looks,
    /// What becomes of values that are no numbers.
    pub non_finite: NonFinite,
    /// The time.
    pub clock: Clock,
    /// Is told what fails.
    pub advice: Advice,
}

impl Queried {
    /// A source that has not looked yet.
    pub fn new(settings: &SourceSettings, parts: QueriedParts) -> Queried {
        let catalogue = Catalogue::empty(&parts.kinds);
        Queried {
            name: settings.name.clone(),
            metrics: settings.metrics.clone(),
            backend: parts.backend,
            rules: parts.rules,
            automatic: parts.automatic,
            unwritten: parts.automatic.and_then(|options| match Unwritten::new(options, &parts.kinds) {
                Ok(unwritten) => Some(unwritten),
                Err(errors) => {
                    tracing::error!(?errors, "no external metrics are made from what is scraped");
                    None
                }
            }),
            kinds: parts.kinds,
            looks: parts.looks,
            non_finite: parts.non_finite,
            clock: parts.clock,
            listing: Live::new(Listing { catalogue, rules: Vec::new(), at_ms: 0 }),
            last_shapes: Mutex::default(),
            looked: watch::channel(0).0,
            look_soon: Notify::new(),
            next_look: Mutex::default(),
            advice: parts.advice,
            by_object: Answers::new(parts.interval),
            plain: Answers::new(parts.interval),
            shared: SharedAnswers::new(parts.interval),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Its rules.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// What the last look found.
    pub fn listing(&self) -> Arc<Listing> {
        self.listing.get()
    }

    /// What the last look found for each selector of a rule.
    pub fn shapes(&self) -> BTreeMap<String, Vec<SeriesShape>> {
        self.last_shapes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Range of the rates that it makes without a rule.
    pub(crate) fn rate_window_ms(&self) -> Option<u64> {
        self.automatic.map(|options| options.rate_window_ms)
    }

    /// Whether it may be asked for this metric.
    pub fn may_have(&self, metric: &str) -> bool {
        self.metrics.hold(metric)
    }

    /// Whether it has looked at least once.
    pub fn has_looked(&self) -> bool {
        self.listing.get().at_ms != 0
    }

    /// What becomes of values that are no numbers.
    pub fn non_finite(&self) -> NonFinite {
        self.non_finite
    }

    /// Whether a metric is known.
    pub(crate) fn has_custom(&self, resource: &GroupResource, namespaced: bool, metric: &str) -> bool {
        self.listing().catalogue.find(resource, namespaced, metric).is_some()
    }

    /// The query for a request.
    pub(crate) fn plan_custom(&self, request: &CustomRequest<'_>) -> Result<QueryPlan, PlanError> {
        self.listing().catalogue.plan_custom(request)
    }

    /// The query for a request of an external metric.
    pub(crate) fn plan_external(
        &self,
        metric: &str,
        namespace: &str,
        selector: &LabelSelector,
    ) -> Result<ExternalPlan, PlanError> {
        self.listing().catalogue.plan_external(metric, namespace, selector)
    }

    /// Why a metric that is not known may be there all the same: nothing at all was found yet, because of this.
    pub(crate) fn blind(&self) -> Option<String> {
        let listing = self.listing();
        let knows = listing.catalogue.custom_metrics().next().is_some()
            || listing.catalogue.external_metrics().next().is_some();
        listing.failure().filter(|_| !knows)
    }

    /// Values of these objects by a plan: out of the answer for many where that is wanted.
    pub(crate) async fn values(
        &self,
        plan: &QueryPlan,
        namespace: Option<&str>,
        names: &[String],
    ) -> Result<Values, SourceError> {
        let line = plan.rule.line();
        let mut failed = None;
        match self.choose(plan, namespace) {
            Choice::Narrow => {}
            Choice::Kept(answer) => return answer.values(line, namespace, names, self.non_finite),
            Choice::Ask(question) => match self.answer_to(&question).await {
                Ok(answer) => return answer.values(line, namespace, names, self.non_finite),
                // This request's time is over; the next one goes the other way.
                Err(error @ BackendError::Timeout { .. }) => {
                    self.leave(&error, || self.shared.too_slow(&question));
                    return Err(error.into());
                }
                Err(error) if !error.may_be_about_the_query() => return Err(error.into()),
                Err(error) => failed = Some((question, error)),
            },
        }
        let answer = self.by_object(&plan.promql, &plan.object_label).await?;
        if let Some((question, error)) = failed {
            // The backend is well, so it was the query for many.
            self.leave(&error, || self.shared.too_large(&question));
        }
        answer.values(line, namespace, names, self.non_finite)
    }

    fn choose(&self, plan: &QueryPlan, namespace: Option<&str>) -> Choice<ByObject, BackendError> {
        match &plan.shared {
            None => Choice::Narrow,
            Some(shared) => {
                let namespace = namespace.unwrap_or_default();
                self.shared.choose(shared, &plan.object_label, &plan.promql, namespace)
            }
        }
    }

    fn leave(&self, error: &BackendError, leave: impl FnOnce()) {
        tracing::info!(source = self.name, %error, "asked for each request alone for a while");
        leave();
    }

    /// The answer that serves many. When the one who asks goes away, one of those who wait goes on.
    async fn answer_to(
        &self,
        question: &Question<ByObject, BackendError>,
    ) -> Result<Arc<ByObject>, BackendError> {
        let (object, namespace) = (&question.object_label, question.namespace_label.as_deref());
        let ask = || async { self.ask_by_object(&question.promql, object, namespace).await.map(Arc::new) };
        let outcome = question.outcome.get_or_init(ask).await.clone();
        self.shared.settle(question);
        outcome
    }

    async fn by_object(&self, promql: &str, object_label: &str) -> Result<Arc<ByObject>, BackendError> {
        let question = format!("{object_label}\n{promql}");
        self.by_object.get_or(&question, || self.ask_by_object(promql, object_label, None)).await
    }

    async fn ask_by_object(
        &self,
        promql: &str,
        object_label: &str,
        namespace_label: Option<&str>,
    ) -> Result<ByObject, BackendError> {
        Ok(match self.ask(promql).await? {
            Answer::Vector { samples, .. } => ByObject {
                grouped: Some(Grouped::of(&samples, object_label, namespace_label)),
                samples: samples.len(),
            },
            Answer::Scalar { .. } => ByObject { grouped: None, samples: 0 },
        })
    }

    /// Asks anew what serves many, whenever its time is over.
    async fn keep_shared(&self) {
        let mut asked = FuturesUnordered::new();
        loop {
            let (due, next) = self.shared.due(SHARED_AT_ONCE - asked.len());
            // A failure is told to whoever asks next.
            asked
                .extend(due.into_iter().map(|question| async move { drop(self.answer_to(&question).await) }));
            let later = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => self.shared.begun().await,
                }
            };
            tokio::select! {
                Some(()) = asked.next(), if !asked.is_empty() => {}
                () = later => {}
            }
        }
    }

    /// The answer to a query, kept for an interval.
    pub(crate) async fn answer(&self, promql: &str) -> Result<Arc<Answer>, BackendError> {
        self.plain.get_or(promql, || self.ask(promql)).await
    }

    async fn ask(&self, promql: &str) -> Result<Answer, BackendError> {
        let answer = self.backend.query(promql, (self.clock)()).await;
        if let Ok(Answer::Vector { warnings, .. }) = &answer
            && let Some(warning) = warnings.first()
        {
            tracing::debug!(source = self.name, warning, "the backend warns about its answer");
        }
        answer
    }

    /// Looks at the backend until `stop`, and tells `changed` of every look.
    pub async fn follow(self: Arc<Self>, changed: Arc<Notify>, stop: CancellationToken) {
        let rounds = async {
            loop {
                let began = Instant::now();
                self.expect_look(Some(began));
                self.look().await;
                changed.notify_one();
                self.expect_look(Some(began + self.looks.at_miss));
                sleep_until(began + self.looks.at_miss).await;
                tokio::select! {
                    () = self.look_soon.notified() => {}
                    () = sleep_until(began + self.looks.interval) => {}
                }
            }
        };
        let shared = self.keep_shared();
        self.shared.keep_up(true);
        stop.run_until_cancelled(async { tokio::join!(rounds, shared) }).await;
        self.shared.keep_up(false);
        self.expect_look(None);
    }

    fn expect_look(&self, at: Option<Instant>) {
        *self.next_look.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Waits for the next look, for a moment, and makes it come as soon as it may. `false` when none came, and at once when
    /// none is allowed so soon.
    pub(crate) async fn look_again(&self) -> bool {
        let mut looked = self.looked.subscribe();
        looked.mark_unchanged();
        self.look_soon.notify_one();
        let next = *self.next_look.lock().unwrap_or_else(PoisonError::into_inner);
        let comes = next.is_none_or(|at| at.saturating_duration_since(Instant::now()) < MISS_PATIENCE);
        comes && matches!(timeout(MISS_PATIENCE, looked.changed()).await, Ok(Ok(())))
    }

    /// Looks once. What cannot be asked keeps what it had.
    pub async fn look(&self) {
        let now_ms = (self.clock)();
        let since_ms =
            now_ms.saturating_sub(i64::try_from(self.looks.max_age.as_millis()).unwrap_or(i64::MAX));
        let rules: Vec<&Arc<Rule>> = self.rules.custom.iter().chain(&self.rules.external).collect();
        let mut selectors: BTreeSet<&str> = rules.iter().map(|rule| rule.series_query()).collect();
        selectors.extend(self.automatic.map(|_| AUTOMATIC_SELECTOR));
        let found = self.discover(selectors, since_ms).await;
        let shapes = self.remember(&found);
        let of =
            |rule: &Arc<Rule>| (rule.clone(), shapes.get(rule.series_query()).cloned().unwrap_or_default());
        let custom: Vec<_> = self.rules.custom.iter().map(of).collect();
        let mut external: Vec<_> = self.rules.external.iter().map(of).collect();
        let typed = match self.automatic {
            Some(_) => self.typed(&shapes).await,
            None => Vec::new(),
        };
        if let Some(unwritten) = &self.unwritten {
            // A rule that was written takes the place of one that was not.
            external.splice(0..0, unwritten.of(&typed));
        }
        let mut catalogue = Catalogue::of(&custom, &external, &self.kinds);
        let mut states: Vec<RuleState> = rules
            .iter()
            .map(|rule| RuleState {
                line: rule.line(),
                series_query: rule.series_query().to_owned(),
                found: state(&found, rule.series_query()),
            })
            .collect();
        if let Some(options) = self.automatic {
            automatic::add(&mut catalogue, &typed, options, &self.kinds);
            states.push(RuleState {
                line: 0,
                series_query: AUTOMATIC_SELECTOR.to_owned(),
                found: state(&found, AUTOMATIC_SELECTOR),
            });
        }
        let listing = Listing { catalogue, rules: states, at_ms: now_ms.max(1) };
        self.advice.set(&format!("source-{}", self.name), listing.failure());
        self.listing.set(listing);
        self.looked.send_modify(|looks| *looks += 1);
    }

    async fn discover(
        &self,
        selectors: BTreeSet<&str>,
        since_ms: i64,
    ) -> BTreeMap<String, Result<Found, BackendError>> {
        // Boxed, for the compiler cannot tell that a stream of futures that borrow is Send.
        let questions: Vec<_> = selectors
            .into_iter()
            .map(|selector| {
                let asked = self.backend.discover(selector, since_ms);
                async move { (selector.to_owned(), asked.await) }.boxed()
            })
            .collect();
        futures_util::stream::iter(questions).buffer_unordered(DISCOVERIES_AT_ONCE).collect().await
    }

    /// Shapes by selector: those found now, else those found before.
    fn remember(
        &self,
        found: &BTreeMap<String, Result<Found, BackendError>>,
    ) -> BTreeMap<String, Vec<SeriesShape>> {
        let mut last = self.last_shapes.lock().unwrap_or_else(PoisonError::into_inner);
        for (selector, found) in found {
            let Ok(found) = found else { continue };
            let shapes = found
                .iter()
                .map(|(name, labels)| SeriesShape { name: name.clone(), labels: labels.clone() })
                .collect();
            last.insert(selector.clone(), shapes);
        }
        last.clone()
    }

    /// What automatic metrics are made from.
    async fn typed(&self, shapes: &BTreeMap<String, Vec<SeriesShape>>) -> Vec<TypedShape> {
        let types = match self.backend.types().await {
            Ok(types) => types,
            Err(error) => {
                tracing::debug!(source = self.name, %error, "types of metrics are guessed from names");
                Default::default()
            }
        };
        let shapes = shapes.get(AUTOMATIC_SELECTOR).into_iter().flatten();
        let typed =
            shapes.map(|shape| TypedShape { kind: kind_of(&types, &shape.name), shape: shape.clone() });
        typed.collect()
    }
}

impl ByObject {
    fn values(
        &self,
        line: u64,
        namespace: Option<&str>,
        names: &[String],
        non_finite: NonFinite,
    ) -> Result<Values, SourceError> {
        let grouped = self.grouped.as_ref().ok_or(SourceError::Scalar { line })?;
        Ok(grouped.values(namespace, names, non_finite)?)
    }
}

impl std::fmt::Debug for Queried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queried").field("name", &self.name).finish_non_exhaustive()
    }
}

fn state(found: &BTreeMap<String, Result<Found, BackendError>>, selector: &str) -> Result<usize, String> {
    match found.get(selector) {
        Some(Ok(found)) => Ok(found.len()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("not asked yet".to_owned()),
    }
}

/// The type of a series: what was said about its family, whose name lacks the suffix of a part.
fn kind_of(types: &Types, series: &str) -> Option<MetricType> {
    let family =
        || ["_bucket", "_count", "_sum", "_total"].into_iter().find_map(|suffix| series.strip_suffix(suffix));
    types.get(series).or_else(|| types.get(family()?)).copied()
}
