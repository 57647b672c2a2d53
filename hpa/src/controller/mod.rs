//! The running autoscaler: watches feed it, the schedule wakes it, workers evaluate.

mod answers;
mod inputs;
mod overwritten;
mod publish;
mod queue;
mod reconcile;
mod shared;
mod state;
mod values;

#[cfg(test)]
mod tests;

use crate::cluster::Question;
use crate::config::Mode;
use crate::elector::Term;
use crate::error::ApiError;
use crate::kind::ApiKind;
use crate::ownership::Standing;
use crate::sentinel::Written;
use crate::watch::{Change, HpaEntry, Key, TargetWatches, Watched, hpa_events, pod_events};
use answers::{Listed, MetricsKey, News, Tell};
use futures_util::StreamExt;
use kube::Client;
use queue::{Follows, Queue};
pub(crate) use shared::Shared;
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Resolution of the schedule.
const TICK: Duration = Duration::from_millis(100);
/// Questions about metrics in flight.
const MAX_POLLS: usize = 32;
/// Evaluations that end at once, between two looks at everything else.
const PORTION: usize = 32;
/// News about samples that wait.
const MAX_NEWS: usize = 16;
/// Time for evaluations in progress to end after the order to stop.
const DRAIN: Duration = Duration::from_secs(15);
/// Pause before history is asked for again when the API server does not answer at start.
const LOAD_RETRY: Duration = Duration::from_secs(2);

/// How long another controller's write that was seen while another replica led counts when the lease is gained: two of
/// the usual periods of an HPA loop, with room.
const MARK_MEMORY: Duration = Duration::from_secs(60);

/// What a task did.
enum Finished {
    /// Histories were read in the term of this number.
    Loaded {
        term: u64,
        entries: HashMap<String, String>,
    },
    /// Something was written or told that nobody waits for.
    Done,
    Evaluated {
        key: Key,
        follows: Follows,
    },
    /// A question about metrics ended, with a list or (`None`) with a watch that was told of before.
    Asked(Option<News>),
    /// Metrics may not be asked for all pods at once.
    Apart,
    /// A custom or external metric was asked for.
    Told {
        question: Arc<Question>,
        times_ms: Option<(i64, i64)>,
        is_news: bool,
    },
}

/// A question about samples of pods.
struct PodsQuestion {
    /// About one selector or (`None`) about all pods.
    of: Option<MetricsKey>,
    task: AbortHandle,
    /// Its list was answered, a watch goes on from it.
    watches: bool,
}

type Evaluation = Pin<Box<dyn Future<Output = Follows> + Send>>;

/// What comes of an evaluation at once.
enum Begun {
    Ended(Follows),
    Waits(Evaluation),
    Panicked(String),
}

/// Evaluates as far as that goes without waiting.
fn begin(mut evaluation: Evaluation) -> Begun {
    // Locks that are free are no reason to wait, however many are taken in a row.
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let first = pin!(tokio::task::unconstrained(evaluation.as_mut()));
        first.poll(&mut Context::from_waker(Waker::noop()))
    }));
    match polled {
        Ok(Poll::Ready(follows)) => Begun::Ended(follows),
        // Whoever polls it next is woken.
        Ok(Poll::Pending) => Begun::Waits(evaluation),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Begun::Panicked(text.unwrap_or("without a text").to_owned())
        }
    }
}

/// The loop and its bookkeeping.
pub(crate) struct Controller {
    shared: Arc<Shared>,
    queue: Queue,
    tasks: JoinSet<Finished>,
    evaluating: HashMap<Id, (Key, Instant)>,
    /// Questions about metrics in flight.
    asking: HashMap<Id, PodsQuestion>,
    /// Questions about custom and external metrics in flight.
    asking_values: HashMap<Id, (Arc<Question>, AbortHandle)>,
    news: mpsc::Receiver<News>,
    tell: Tell,
    /// Namespaces with changed pods since the last tick.
    changed_pods: HashSet<String>,
    /// The lease is held and histories are read: evaluations may run.
    is_ready: bool,
    /// UIDs of stored histories that were not yet compared with the HPAs there are.
    unpruned: Option<HashSet<String>>,
    /// Other controllers' writes that were seen while another replica led: by UID, the field manager and when.
    marked_before: HashMap<String, (String, Duration)>,
}

impl Controller {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (tell, news) = mpsc::channel(MAX_NEWS);
        Controller {
            queue: Queue::new(shared.config.sync_period_ms(), shared.config.compat_upstream),
            shared,
            tasks: JoinSet::new(),
            evaluating: HashMap::new(),
            asking: HashMap::new(),
            asking_values: HashMap::new(),
            news,
            tell,
            changed_pods: HashSet::new(),
            is_ready: false,
            unpruned: None,
            marked_before: HashMap::new(),
        }
    }

    /// Runs until shutdown, then stores all histories. A replica that does not lead watches and does nothing else.
    pub(crate) async fn run(mut self, client: Client, shutdown: CancellationToken) {
        let mut hpas = std::pin::pin!(hpa_events(client.clone(), self.shared.config.kind()));
        let mut pods = std::pin::pin!(pod_events(client.clone()));
        // The built-in kind is looked at only to see whose targets are taken.
        let mut owners = match self.shared.config.mode {
            Mode::OwnKind => hpa_events(client.clone(), ApiKind::BUILT_IN).boxed(),
            _ => futures_util::stream::pending().boxed(),
        };
        let mut targets = TargetWatches::new(client);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shared = self.shared.clone();
        let mut term = shared.term.clone();
        // The end of the election is the end of the process, so that a closed channel says nothing.
        term.mark_changed();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = term.changed() => {
                    let term = *term.borrow_and_update();
                    if term.leads { self.gain(term) } else { self.lose() }
                }
                () = shared.wake.notified() => self.wake_all(),
                Some(event) = hpas.next() => {
                    let changes = self.shared.hpas.apply(event);
                    for change in changes {
                        if let Change::Spec(entry) = &change {
                            watched_kind(entry).into_iter().for_each(|kind| targets.follow(kind));
                        }
                        self.apply(change).await;
                    }
                }
                Some(event) = owners.next() => {
                    if self.shared.owned.apply(event) {
                        self.wake_all();
                    }
                }
                (kind, event) = targets.next() => {
                    let changed = self.shared.targets.apply(kind, event);
                    self.shared.metrics.watches(kind.plural(), self.shared.targets.is_current(kind));
                    self.changed_pods.extend(changed.into_iter().map(|(namespace, _)| namespace));
                }
                Some(event) = pods.next() => {
                    // The first list changes nothing: nobody was evaluated before it.
                    let is_first = !self.shared.pods.is_synced();
                    let changed = self.shared.pods.apply(event);
                    self.changed_pods.extend(changed.into_iter().filter(|_| !is_first));
                }
                Some(news) = self.news.recv() => self.learn(news),
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.finished(done),
                // What waits is evaluated in portions, between which everything else has its turn.
                () = std::future::ready(()), if self.may_start() => self.start_evaluations(),
                _ = tick.tick() => self.turn(),
            }
            self.start_evaluations();
        }
        self.stop().await;
    }

    /// A term begins: what is remembered of an earlier one is worth nothing, the stored histories are read again.
    fn gain(&mut self, term: Term) {
        self.shared.states.clear();
        self.shared.book.clear();
        let uptime_ms = u64::try_from(self.shared.uptime().as_millis()).unwrap_or(u64::MAX);
        self.shared.term_began_ms.store(uptime_ms, Ordering::Release);
        self.shared.ownership(|ownership| ownership.begin(term.inherits, self.shared.uptime()));
        for (uid, (manager, at)) in std::mem::take(&mut self.marked_before) {
            if self.shared.uptime().saturating_sub(at) <= MARK_MEMORY {
                self.marked(&uid, &manager);
            }
        }
        if !self.shared.config.keeps_history() {
            self.is_ready = true;
            return self.wake_all();
        }
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            Finished::Loaded { term: term.number, entries: load_histories(&shared).await }
        });
    }

    /// The lease is lost: evaluations are broken off. The fence has stopped their writes already.
    fn lose(&mut self) {
        self.is_ready = false;
        self.unpruned = None;
        self.tasks.abort_all();
    }

    fn wake_all(&mut self) {
        let now_ms = self.shared.steady_ms();
        for entry in self.shared.hpas.all() {
            self.queue.want(&entry.key, now_ms);
        }
    }

    /// Forgets the histories of HPAs that were deleted while nobody looked.
    fn prune(&mut self) {
        if self.shared.ownership(|ownership| ownership.standing()) != Standing::Acting {
            return;
        }
        let Some(stored) = self.unpruned.take() else { return };
        let known = self.shared.hpas.uids();
        let stale: Vec<String> = stored.difference(&known).cloned().collect();
        if stale.is_empty() {
            return;
        }
        tracing::info!(entries = stale.len(), "histories of HPAs that are gone are removed");
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            for uid in stale {
                shared.checkpoints.queue(&uid, None).await;
            }
            if let Err(error) = shared.checkpoints.flush_all().await {
                tracing::warn!(%error, "histories of HPAs that are gone are removed later");
            }
            Finished::Done
        });
    }

    async fn apply(&mut self, change: Change) {
        let shared = self.shared.clone();
        let now_ms = shared.steady_ms();
        match change {
            Change::Spec(entry) => {
                shared.selectors.register(&entry.key);
                self.queue.want(&entry.key, now_ms);
            }
            Change::Status => {}
            Change::Marked { uid, manager } => self.marked(&uid, &manager),
            Change::ProbeAnswered { manager } => {
                shared.ownership(|ownership| ownership.probe_answered(&manager, shared.uptime()));
            }
            Change::Deleted(entry) => {
                let unused = self.queue.remove(&entry.key);
                self.forget(&unused);
                shared.selectors.remove(&entry.key);
                shared.metrics.forget(&entry.key);
                shared.book.forget(&entry);
                shared.states.remove(&entry, &shared.config);
                shared.ownership(|ownership| ownership.forget(&entry.uid));
                if shared.config.keeps_history() && self.is_ready {
                    shared.checkpoints.queue(&entry.uid, None).await;
                }
            }
        }
        shared.metrics.autoscalers(shared.hpas.len());
    }

    /// Another controller wrote an HPA's status.
    fn marked(&mut self, uid: &str, manager: &str) {
        let Some(entry) = self.shared.hpas.all().into_iter().find(|entry| entry.uid == uid) else { return };
        if !self.shared.term().leads {
            // The writer may not write again: a status that is right stays as it is.
            let now = self.shared.uptime();
            self.marked_before.retain(|_, (_, at)| now.saturating_sub(*at) <= MARK_MEMORY);
            self.marked_before.insert(uid.to_owned(), (manager.to_owned(), now));
            return;
        }
        let (shared, manager) = (self.shared.clone(), manager.to_owned());
        self.tasks.spawn(async move {
            shared.leave_alone(&entry, &manager, Written::Status).await;
            Finished::Done
        });
    }

    /// One turn of the schedule: what is due by time or by changed pods, and questions about metrics.
    fn turn(&mut self) {
        let now_ms = self.shared.steady_ms();
        self.shared.turned_ms.store(now_ms, Ordering::Release);
        self.tell_queue();
        if !self.may_evaluate() {
            self.changed_pods.clear();
            return;
        }
        self.prune();
        for namespace in std::mem::take(&mut self.changed_pods) {
            self.queue.pods_changed(&namespace, now_ms);
        }
        self.queue.due(now_ms);
        for question in self.queue.value_polls(now_ms) {
            self.ask_value(question);
        }
        let lists = self.asking.values().filter(|question| !question.watches).count();
        for poll in self.queue.polls(now_ms, MAX_POLLS.saturating_sub(lists)) {
            match poll {
                queue::Poll::One(key) => self.ask(Some(key), self.queue.follows_few()),
                queue::Poll::All => {
                    // It takes the place of those about single selectors, which may be watches without an end.
                    self.asking.drain().for_each(|(_, question)| question.task.abort());
                    self.ask(None, true);
                }
            }
        }
    }

    /// What upstream's work queue tells about itself.
    fn tell_queue(&mut self) {
        let (depth, added) = self.queue.counts();
        let running = self.evaluating.values().map(|(_, began)| began.elapsed());
        self.shared.metrics.queue(depth, added, running);
    }

    /// Asks about the pods behind one selector, or about all; goes on with a watch where that is offered.
    fn ask(&mut self, of: Option<MetricsKey>, may_watch: bool) {
        let (shared, tell, about) = (self.shared.clone(), self.tell.clone(), of.clone());
        let task = self.tasks.spawn(async move {
            let (answers, of) = (&shared.answers, about.as_ref());
            let asked = answers.list(of, may_watch, &shared.pods, shared.steady_ms()).await;
            let Some((listed, version)) = asked else { return Finished::Apart };
            let news = News { listed: Some((about.clone(), listed)), changed: answers.news() };
            let Some(version) = version else { return Finished::Asked(Some(news)) };
            // Nobody listens only at the end of the process.
            let _ = tell.send(news).await;
            answers.watch(of, &version, &shared.pods, || shared.steady_ms(), &tell).await;
            Finished::Asked(None)
        });
        self.asking.insert(task.id(), PodsQuestion { of, task, watches: false });
    }

    fn learn(&mut self, news: News) {
        if let Some((of, Listed { newest_ms, pods })) = &news.listed {
            let questions = self.asking.values_mut().filter(|question| question.of == *of);
            questions.for_each(|question| question.watches = true);
            self.queue.listed(of.as_ref(), *newest_ms, *pods, self.shared.steady_ms());
        }
        for key in &news.changed {
            self.queue.changed(key, self.shared.steady_ms());
        }
    }

    /// Nobody follows these any more.
    fn forget(&mut self, unused: &Follows) {
        unused.values.iter().for_each(|question| self.shared.values.forget(question));
        let Some(pods) = &unused.pods else { return };
        let questions = self.asking.values().filter(|question| question.of.as_ref() == Some(pods));
        questions.for_each(|question| question.task.abort());
        self.shared.answers.forget(pods);
    }

    /// Asks for a custom or external metric.
    fn ask_value(&mut self, question: Arc<Question>) {
        let (shared, about) = (self.shared.clone(), question.clone());
        let task = self.tasks.spawn(async move {
            let (told, is_news) = shared.values.refresh(&about, shared.steady_ms()).await;
            Finished::Told { question: about, times_ms: told.times_ms(), is_news }
        });
        self.asking_values.insert(task.id(), (question, task));
    }

    /// The period that an HPA's annotation asks for.
    fn period_ms(&self, key: &Key) -> Option<i64> {
        self.shared.hpas.get(key)?.controls.period_ms
    }

    fn may_evaluate(&self) -> bool {
        let owners_known = self.shared.config.mode != Mode::OwnKind || self.shared.owned.is_synced();
        self.is_ready && owners_known && self.shared.hpas.is_synced() && self.shared.pods.is_synced()
    }

    /// Whether an evaluation waits and may begin.
    fn may_start(&self) -> bool {
        self.may_evaluate()
            && self.queue.has_waiting()
            && self.evaluating.len() < self.shared.config.concurrent_syncs
    }

    /// Evaluates a portion of what waits. Most evaluations have all they need in memory and end here; one that waits for an
    /// answer goes on as a task.
    fn start_evaluations(&mut self) {
        for _ in 0..PORTION {
            if !self.may_start() {
                return;
            }
            let Some(key) = self.queue.next() else { return };
            self.shared.metrics.waited(self.queue.waited_ms(&key, self.shared.steady_ms()));
            let Some(entry) = self.shared.hpas.get(&key) else {
                self.queue.remove(&key);
                continue;
            };
            let shared = self.shared.clone();
            let evaluation = Box::pin(async move { reconcile::reconcile(&shared, &entry).await });
            match begin(evaluation) {
                Begun::Ended(follows) => self.evaluated(&key, follows),
                Begun::Waits(evaluation) => {
                    let of = key.clone();
                    let task = async move { Finished::Evaluated { key: of, follows: evaluation.await } };
                    self.evaluating.insert(self.tasks.spawn(task).id(), (key, Instant::now()));
                }
                Begun::Panicked(why) => self.panicked(&key, &why),
            }
        }
    }

    fn evaluated(&mut self, key: &Key, follows: Follows) {
        let (period_ms, now_ms) = (self.period_ms(key), self.shared.steady_ms());
        let unused = self.queue.evaluated(key, follows, period_ms, now_ms);
        self.forget(&unused);
    }

    /// A panic is one HPA's evaluation; the others go on.
    fn panicked(&mut self, key: &Key, why: &str) {
        self.shared.metrics.panicked();
        tracing::error!(namespace = key.0, name = key.1, why, "an evaluation panicked");
        self.evaluated(key, Follows::default());
    }

    fn finished(&mut self, done: Result<(Id, Finished), tokio::task::JoinError>) {
        let now_ms = self.shared.steady_ms();
        match done {
            Ok((id, Finished::Evaluated { key, follows })) => {
                self.evaluating.remove(&id);
                self.evaluated(&key, follows);
            }
            Ok((id, Finished::Told { question, times_ms, is_news })) => {
                self.asking_values.remove(&id);
                if !self.queue.told(&question, times_ms, is_news, now_ms) {
                    self.shared.values.forget(&question);
                }
            }
            Ok((id, Finished::Asked(news))) => {
                news.into_iter().for_each(|news| self.learn(news));
                self.answered(id);
            }
            Ok((id, Finished::Apart)) => {
                self.queue.ask_apart(now_ms);
                self.answered(id);
            }
            Ok((_, Finished::Loaded { term, entries })) => {
                if self.shared.term().number == term && self.shared.term().leads {
                    self.unpruned = Some(entries.keys().cloned().collect());
                    self.shared.states.restore(entries);
                    self.is_ready = true;
                    self.wake_all();
                }
            }
            Ok((_, Finished::Done)) => {}
            // At the end of a term all are cancelled.
            Err(error) => {
                let evaluated = self.evaluating.remove(&error.id());
                match evaluated {
                    Some((key, _)) if error.is_panic() => self.panicked(&key, &error.to_string()),
                    Some((key, _)) => self.evaluated(&key, Follows::default()),
                    None if error.is_panic() => self.shared.metrics.panicked(),
                    None => {}
                }
                self.answered(error.id());
                if let Some((question, _)) = self.asking_values.remove(&error.id()) {
                    self.queue.untold(&question);
                }
            }
        }
    }

    /// A question ended; those that were given up are not asked any more.
    fn answered(&mut self, id: Id) {
        if let Some(question) = self.asking.remove(&id) {
            self.queue.answered(question.of.as_ref());
        }
    }

    async fn stop(mut self) {
        // A watch of samples would go on, and nobody waits for values any more.
        self.asking.values().for_each(|question| question.task.abort());
        self.asking_values.values().for_each(|(_, task)| task.abort());
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("evaluations in progress are broken off");
            self.tasks.shutdown().await;
        }
        if !self.shared.config.keeps_history() || !self.is_ready {
            return;
        }
        for (uid, entry) in self.shared.states.exact_entries(|uid| self.shared.acts(uid)) {
            self.shared.checkpoints.queue(&uid, Some(entry)).await;
        }
        if let Err(error) = self.shared.checkpoints.flush_all().await {
            self.shared.metrics.checkpoint_failed();
            tracing::warn!(%error, "history was not stored on shutdown; the last checkpoint holds");
        }
    }
}

/// The kind of an HPA's target, if such targets are watched. Upstream's timing reads the scale each time.
fn watched_kind(entry: &HpaEntry) -> Option<Watched> {
    let target = &entry.hpa.spec.scale_target_ref;
    Watched::of(target.api_version.split_once('/')?.0, &target.kind)
}

/// Reads histories; waits for an API server that does not answer, goes on without if it refuses.
async fn load_histories(shared: &Shared) -> HashMap<String, String> {
    let mut told: Option<ApiError> = None;
    loop {
        match shared.checkpoints.load().await {
            Ok(entries) => {
                tracing::info!(entries = entries.len(), "history read");
                return entries;
            }
            Err(error) if matches!(error.code, 401 | 403) => {
                tracing::warn!(%error, "history cannot be read and starts empty");
                return HashMap::new();
            }
            Err(error) if told.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "history cannot be read yet");
                told = Some(error);
            }
        }
        tokio::time::sleep(LOAD_RETRY).await;
    }
}
