//! Requests of many autoscalers at a backend that takes its time, in paused time.
#![allow(clippy::disallowed_methods, reason = "starts what looks again and again, and stops it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyball_apiserver::Advice;
use flyball_model::labels::Labels;
use flyball_model::selector::LabelSelector;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Looks, Names, Queried, QueriedParts, SourceError, SourceKind, SourceSettings};
use crate::backends::{Answer, Backend, BackendError, Found, Types};
use crate::config;
use crate::kinds::{GroupResource, Kinds};
use crate::rules::{CustomRequest, NonFinite, RuleSet, Sample, Values};

const INTERVAL: Duration = Duration::from_secs(15);
const LATENCY: Duration = Duration::from_secs(2);
const CONFIG: &str = "rules:\n- seriesQuery: x\n  resources: {template: <<.Resource>>}\n  \
                      metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'\n";

/// Has pod `p` in every namespace; what a query for several namespaces gets can be chosen.
#[derive(Default)]
struct Slow {
    wide: AtomicUsize,
    narrow: AtomicUsize,
    wide_fails: Mutex<Option<BackendError>>,
    narrow_fails: Mutex<Option<BackendError>>,
}

impl Slow {
    fn counts(&self) -> (usize, usize) {
        (self.wide.load(Ordering::SeqCst), self.narrow.load(Ordering::SeqCst))
    }

    fn answer(&self, query: &str) -> Result<Answer, BackendError> {
        let namespaces = query.split("namespace=~\"").nth(1).and_then(|rest| rest.split('"').next());
        let (count, fails) = match namespaces {
            Some(_) => (&self.wide, &self.wide_fails),
            None => (&self.narrow, &self.narrow_fails),
        };
        count.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = fails.lock().unwrap().clone() {
            return Err(error);
        }
        let sample = |namespace: Option<&str>| {
            let labels = namespace.map(|name| ("namespace", name)).into_iter().chain([("pod", "p")]);
            let labels = Arc::new(Labels::from_pairs(labels).unwrap());
            Sample { labels, timestamp_ms: 1, value: 1.0 }
        };
        let samples = match namespaces {
            Some(names) => names.split('|').map(|name| sample(Some(name))).collect(),
            None => vec![sample(None)],
        };
        Ok(Answer::Vector { samples, warnings: Vec::new() })
    }
}

impl Backend for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn query<'a>(&'a self, query: &'a str, _: i64) -> BoxFuture<'a, Result<Answer, BackendError>> {
        async move {
            tokio::time::sleep(LATENCY).await;
            self.answer(query)
        }
        .boxed()
    }

    fn discover<'a>(&'a self, _: &'a str, _: i64) -> BoxFuture<'a, Result<Found, BackendError>> {
        let labels = ["namespace", "pod"].map(str::to_owned).into();
        std::future::ready(Ok(Found::from([("x".to_owned(), labels)]))).boxed()
    }

    fn types(&self) -> BoxFuture<'_, Result<Types, BackendError>> {
        std::future::ready(Ok(Types::new())).boxed()
    }
}

async fn source(backend: &Arc<Slow>) -> Arc<Queried> {
    let kinds = Arc::new(Kinds::builtin());
    let settings = SourceSettings {
        name: "slow".to_owned(),
        kind: SourceKind::Store { automatic: None },
        metrics: Names::default(),
    };
    let looks = Looks { interval: INTERVAL, at_miss: INTERVAL, max_age: INTERVAL };
    let source = Arc::new(Queried::new(
        &settings,
        QueriedParts {
            backend: backend.clone(),
            interval: INTERVAL,
            rules: RuleSet::compile(&config::parse(CONFIG).unwrap(), &kinds).unwrap(),
            automatic: None,
            kinds,
            looks,
            non_finite: NonFinite::LeaveOut,
            clock: Arc::new(|| 1),
            advice: Advice::new(),
        },
    ));
    source.look().await;
    source
}

/// The pod of a namespace, and how long that took.
async fn ask(source: &Queried, namespace: &str) -> (Result<Values, SourceError>, Duration) {
    let names = ["p".to_owned()];
    let request = CustomRequest {
        metric: "x",
        resource: &GroupResource::new("", "pods"),
        namespace: Some(namespace),
        names: &names,
        metric_selector: &LabelSelector::everything(),
    };
    let began = Instant::now();
    let plan = source.plan_custom(&request).unwrap();
    let values = source.values(&plan, Some(namespace), &names).await;
    (values, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slow_backend_that_many_use() {
    let backend = Arc::<Slow>::default();
    let source = source(&backend).await;
    let stop = CancellationToken::new();
    let following = tokio::spawn(source.clone().follow(Arc::new(Notify::new()), stop.clone()));
    let namespaces: Vec<String> = (0..30).map(|number| format!("n{number}")).collect();
    for _ in 0..2 {
        let asked = namespaces.iter().map(|namespace| ask(&source, namespace));
        for (values, _) in futures_util::future::join_all(asked).await {
            assert_eq!(values.unwrap().items.len(), 1);
        }
        tokio::time::sleep(INTERVAL).await;
    }
    let before = backend.counts();
    let rounds = 6;
    for _ in 0..rounds {
        for namespace in &namespaces {
            let (values, took) = ask(&source, namespace).await;
            assert_eq!((values.unwrap().items.len(), took), (1, Duration::ZERO), "{namespace}");
            tokio::time::sleep(INTERVAL / 30).await;
        }
    }
    let (wide, narrow) = backend.counts();
    assert_eq!(narrow, before.1, "everybody is in the one answer");
    assert!(wide - before.0 <= rounds + 1, "{} queries in {rounds} intervals", wide - before.0);
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_query_for_many_that_is_refused_gives_way_to_narrow_ones() {
    for code in [400, 413, 414, 422, 500, 503] {
        let backend = Arc::<Slow>::default();
        let source = source(&backend).await;
        ask(&source, "a").await.0.unwrap();
        let refusal = BackendError::Refused {
            backend: "slow".to_owned(),
            code,
            kind: "limit".to_owned(),
            message: "no".to_owned(),
        };
        *backend.wide_fails.lock().unwrap() = Some(refusal);
        for namespace in ["b", "a", "b", "c"] {
            assert_eq!(ask(&source, namespace).await.0.unwrap().items.len(), 1, "{code}: {namespace}");
        }
        assert_eq!(backend.counts(), (1, 3), "{code}: it is not tried again soon");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_answers_nothing_is_asked_for_many_again() {
    let backend = Arc::<Slow>::default();
    let source = source(&backend).await;
    ask(&source, "a").await.0.unwrap();
    let down = BackendError::Refused {
        backend: "slow".to_owned(),
        code: 503,
        kind: "unavailable".to_owned(),
        message: "down".to_owned(),
    };
    *backend.wide_fails.lock().unwrap() = Some(down.clone());
    *backend.narrow_fails.lock().unwrap() = Some(down.clone());
    assert_eq!(ask(&source, "b").await.0, Err(SourceError::Backend(down)));
    *backend.wide_fails.lock().unwrap() = None;
    assert_eq!(ask(&source, "b").await.0.unwrap().items.len(), 1);
    assert_eq!(backend.counts(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_lets_us_not_in_is_not_asked_twice() {
    for error in [
        BackendError::Unreachable { backend: "slow".to_owned(), reason: "nobody is there".to_owned() },
        BackendError::Refused {
            backend: "slow".to_owned(),
            code: 429,
            kind: "Too Many Requests".to_owned(),
            message: "later".to_owned(),
        },
    ] {
        let backend = Arc::<Slow>::default();
        let source = source(&backend).await;
        ask(&source, "a").await.0.unwrap();
        *backend.wide_fails.lock().unwrap() = Some(error.clone());
        assert_eq!(ask(&source, "b").await.0, Err(SourceError::Backend(error)));
        assert_eq!(backend.counts(), (1, 1));
    }
}
