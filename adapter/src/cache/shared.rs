//! Whether a request is answered by a query of its own or by one that serves many, and the answers of the latter.
//!
//! One autoscaler alone is answered by the query for its own objects, which costs the backend least. As soon as two of them
//! ask different questions of the same rule, one query takes their place: one per interval, however many they are. It asks
//! for the namespaces that were asked for lately and no others, so that it grows with what is used of the backend and not
//! with what the backend has; beyond [`NAMESPACES_LIMIT`] it asks for all.
//!
//! Promises: while such an answer is in use the next one is asked for when the last one's time is over, before anybody waits
//! for it, and the last one serves until it is there (no longer than another lifetime). A namespace that no answer covers yet is asked for
//! alone once. A failure is everybody's for [`FAILURE_LIFETIME`]. Where the query proves too large or too slow for the
//! backend, the narrow ones are taken again for a while.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;

use super::{FAILURE_LIFETIME, Outcome, WEIGHT_LIMIT, Weighed};
use crate::rules::Shared;

/// Most shared queries that are remembered.
const QUERIES_LIMIT: usize = 4_096;
/// Most namespaces that are named in a query.
pub(crate) const NAMESPACES_LIMIT: usize = 1_000;
/// How much longer an answer serves where somebody asks anew by the clock: he may come a little late.
const GRACE: Duration = Duration::from_secs(1);
/// How long a query that was too large is not tried again.
const TOO_LARGE_FOR: Duration = Duration::from_secs(600);
/// The same of one that took too long: the backend may only have been busy, and one query costs it less than many.
const TOO_SLOW_FOR: Duration = Duration::from_secs(60);

/// How a request is answered.
pub(crate) enum Choice<T, E> {
    /// By its own query.
    Narrow,
    /// By this answer, which is there.
    Kept(Arc<T>),
    /// By the answer to this question, which has to be asked unless somebody does already.
    Ask(Arc<Question<T, E>>),
}

/// One question for many requests.
pub(crate) struct Question<T, E> {
    key: u64,
    /// The query.
    pub(crate) promql: String,
    /// The label that names the object.
    pub(crate) object_label: String,
    /// The label that names the namespace, where the answer has one.
    pub(crate) namespace_label: Option<String>,
    /// What the answer covers; `None`: everything.
    namespaces: Option<BTreeSet<Box<str>>>,
    since: Instant,
    /// The answer, found by whoever comes first.
    pub(crate) outcome: OnceCell<Outcome<T, E>>,
}

impl<T, E> Question<T, E> {
    fn covers(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(namespace))
    }

    fn answer(&self) -> Option<&Arc<T>> {
        self.outcome.get()?.as_ref().ok()
    }
}

/// Who asked what lately, and the answers that serve many.
pub(crate) struct SharedAnswers<T, E> {
    lifetime: Duration,
    /// How long a question counts: autoscalers that ask once per interval must still be seen together.
    memory: Duration,
    hasher: RandomState,
    queries: Mutex<HashMap<u64, Use<T, E>>>,
    begun: Notify,
    /// Whether somebody asks anew by the clock.
    is_kept_up: AtomicBool,
}

/// The use of one shared query.
struct Use<T, E> {
    shared: Shared,
    object_label: String,
    /// The last two different narrow questions, the newer one last.
    narrow: [Option<(u64, Instant)>; 2],
    /// Those that were asked for, and when last; a few more than [`NAMESPACES_LIMIT`] at most.
    namespaces: HashMap<Box<str>, Instant>,
    left_until: Option<Instant>,
    newest: Option<Arc<Question<T, E>>>,
    /// The last answer while the newest question has none.
    before: Option<Arc<Question<T, E>>>,
}

impl<T: Weighed, E> SharedAnswers<T, E> {
    /// Keeps answers for an interval, and sees questions together that are asked within three.
    pub(crate) fn new(interval: Duration) -> SharedAnswers<T, E> {
        SharedAnswers {
            lifetime: interval,
            memory: 3 * interval,
            hasher: RandomState::new(),
            queries: Mutex::default(),
            begun: Notify::new(),
            is_kept_up: AtomicBool::new(false),
        }
    }

    /// Takes note of a request, and chooses.
    pub(crate) fn choose(
        &self,
        shared: &Shared,
        object_label: &str,
        narrow: &str,
        namespace: &str,
    ) -> Choice<T, E> {
        let key = self.hasher.hash_one((object_label, &shared.promql));
        let now = Instant::now();
        let mut all = self.lock();
        if all.len() >= QUERIES_LIMIT && !all.contains_key(&key) {
            all.retain(|_, one| one.is_recent(now, self.memory));
            if all.len() >= QUERIES_LIMIT {
                return Choice::Narrow;
            }
        }
        let one = all.entry(key).or_insert_with(|| {
            self.begun.notify_one();
            Use::new(shared, object_label)
        });
        one.note(self.hasher.hash_one(narrow), namespace, now);
        if one.is_left(now) || !one.is_used_by_many(now, self.memory) {
            return Choice::Narrow;
        }
        one.choose(key, namespace, now, self)
    }

    /// The question has its answer, or failed: what it replaces goes. An answer for which there is no room beside the others is not
    /// kept, and not asked for again for a while: the others stay.
    pub(crate) fn settle(&self, question: &Question<T, E>) {
        let mut all = self.lock();
        let Some(one) = all.get_mut(&question.key) else { return };
        if !one.newest.as_ref().is_some_and(|newest| std::ptr::eq(&**newest, question)) {
            return;
        }
        one.before = None;
        let own = one.weight();
        let kept: usize = all.values().map(Use::weight).sum();
        if kept > WEIGHT_LIMIT
            && kept > own
            && let Some(one) = all.get_mut(&question.key)
        {
            one.leave(TOO_LARGE_FOR);
        }
    }

    /// The answer was too large for the backend, or for us.
    pub(crate) fn too_large(&self, question: &Question<T, E>) {
        self.leave(question, TOO_LARGE_FOR);
    }

    /// The backend did not answer in time.
    pub(crate) fn too_slow(&self, question: &Question<T, E>) {
        self.leave(question, TOO_SLOW_FOR);
    }

    fn leave(&self, question: &Question<T, E>, time: Duration) {
        if let Some(one) = self.lock().get_mut(&question.key) {
            one.leave(time);
        }
    }

    /// The caller asks what is [`SharedAnswers::due`] from now on, or no longer.
    pub(crate) fn keep_up(&self, on: bool) {
        self.is_kept_up.store(on, Ordering::Relaxed);
    }

    /// How long an answer serves before a request asks anew by itself.
    fn patience(&self) -> Duration {
        let grace = GRACE.min(self.lifetime);
        if self.is_kept_up.load(Ordering::Relaxed) { self.lifetime + grace } else { self.lifetime }
    }

    /// Waits until somebody asks.
    pub(crate) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Questions whose last answer's time is over and that are still asked, no more than `most`; and when to look again:
    /// `None` when nobody asks.
    pub(crate) fn due(&self, most: usize) -> (Vec<Arc<Question<T, E>>>, Option<Instant>) {
        let now = Instant::now();
        let mut next = now + self.lifetime / 2;
        let mut due = Vec::new();
        let mut all = self.lock();
        all.retain(|_, one| one.is_recent(now, self.memory));
        if all.is_empty() {
            return (due, None);
        }
        for (key, one) in all.iter_mut() {
            let Some(last) = one.newest.as_ref().filter(|last| last.answer().is_some()) else { continue };
            let at = last.since + self.lifetime;
            if at > now {
                next = next.min(at);
            } else if due.len() < most && !one.is_left(now) && one.is_used_by_many(now, self.memory) {
                due.push(one.ask(*key, now, self.memory));
            }
        }
        (due, Some(next))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Use<T, E>>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Weighed, E> Use<T, E> {
    fn new(shared: &Shared, object_label: &str) -> Use<T, E> {
        Use {
            shared: shared.clone(),
            object_label: object_label.to_owned(),
            narrow: [None; 2],
            namespaces: HashMap::new(),
            left_until: None,
            newest: None,
            before: None,
        }
    }

    fn note(&mut self, question: u64, namespace: &str, now: Instant) {
        match &mut self.narrow {
            [_, Some((last, at))] if *last == question => *at = now,
            [Some((other, _)), last] if *other == question => {
                self.narrow = [*last, Some((question, now))];
            }
            [_, last] => self.narrow = [*last, Some((question, now))],
        }
        // One more than can be named says that all are asked for.
        let has_room = self.namespaces.len() <= NAMESPACES_LIMIT;
        match self.namespaces.get_mut(namespace) {
            Some(at) => *at = now,
            None if has_room => {
                self.namespaces.insert(namespace.into(), now);
            }
            None => {}
        }
    }

    fn choose(&mut self, key: u64, namespace: &str, now: Instant, all: &SharedAnswers<T, E>) -> Choice<T, E> {
        let Some(newest) = &self.newest else { return Choice::Ask(self.ask(key, now, all.memory)) };
        let age = now - newest.since;
        match newest.outcome.get() {
            Some(Ok(answer)) if age < all.patience() => match newest.covers(namespace) {
                true => Choice::Kept(answer.clone()),
                false => Choice::Narrow,
            },
            Some(Err(_)) if age < FAILURE_LIFETIME => match newest.covers(namespace) {
                true => Choice::Ask(newest.clone()),
                false => Choice::Narrow,
            },
            None if age < all.lifetime => {
                let before = self
                    .before
                    .as_ref()
                    .filter(|before| before.covers(namespace) && now - before.since < 2 * all.lifetime);
                match before.and_then(|before| before.answer()) {
                    Some(answer) => Choice::Kept(answer.clone()),
                    None if newest.covers(namespace) => Choice::Ask(newest.clone()),
                    None => Choice::Narrow,
                }
            }
            _ => Choice::Ask(self.ask(key, now, all.memory)),
        }
    }

    /// The next question, for what was asked for lately.
    fn ask(&mut self, key: u64, now: Instant, memory: Duration) -> Arc<Question<T, E>> {
        self.namespaces.retain(|_, at| now - *at <= memory);
        let named = self.shared.namespace_label.is_some() && self.namespaces.len() <= NAMESPACES_LIMIT;
        let names: BTreeSet<Box<str>> = self.namespaces.keys().cloned().collect();
        let confined = named.then(|| self.shared.in_namespaces(names.iter().map(|name| &**name))).flatten();
        let question = Arc::new(Question {
            key,
            namespaces: confined.is_some().then_some(names),
            promql: confined.unwrap_or_else(|| self.shared.promql.clone()),
            object_label: self.object_label.clone(),
            namespace_label: self.shared.namespace_label.clone(),
            since: now,
            outcome: OnceCell::new(),
        });
        let answered = self.newest.take().filter(|last| last.answer().is_some());
        self.before = answered;
        self.newest = Some(question.clone());
        question
    }

    fn leave(&mut self, time: Duration) {
        self.left_until = Some(Instant::now() + time);
        (self.newest, self.before) = (None, None);
    }

    fn is_used_by_many(&self, now: Instant, memory: Duration) -> bool {
        self.narrow.iter().all(|one| one.is_some_and(|(_, at)| now - at <= memory))
    }

    fn is_left(&self, now: Instant) -> bool {
        self.left_until.is_some_and(|until| now < until)
    }

    fn is_recent(&self, now: Instant, memory: Duration) -> bool {
        self.narrow[1].is_some_and(|(_, at)| now - at <= memory) || self.is_left(now)
    }

    fn weight(&self) -> usize {
        let kept = [&self.newest, &self.before].into_iter().flatten();
        kept.filter_map(|question| question.answer()).map(|answer| answer.weight()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    struct Number(usize);

    impl Weighed for Number {
        fn weight(&self) -> usize {
            self.0
        }
    }

    type Answers = SharedAnswers<Number, String>;

    fn shared(name: &str) -> Shared {
        let promql = format!("sum({name}{{namespace=~\".+\",pod=~\".+\"}}) by (pod,namespace)");
        Shared { promql, namespace_label: Some("namespace".to_owned()) }
    }

    /// What is chosen for the autoscaler of a namespace; a question is answered at once by its number of namespaces.
    fn ask(answers: &Answers, namespace: &str) -> String {
        match answers.choose(&shared("x"), "pod", namespace, namespace) {
            Choice::Narrow => "narrow".to_owned(),
            Choice::Kept(answer) => format!("kept {}", answer.0),
            Choice::Ask(question) => {
                let selected = question.promql.split("namespace=~\"").nth(1).unwrap();
                let selected = selected.split('"').next().unwrap().to_owned();
                answer(answers, &question);
                selected
            }
        }
    }

    fn answer(answers: &Answers, question: &Question<Number, String>) {
        let count = question.namespaces.as_ref().map_or(0, BTreeSet::len);
        question.outcome.set(Ok(Arc::new(Number(count)))).ok().unwrap();
        answers.settle(question);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_differently_share_and_newcomers_join() {
        let answers = Answers::new(INTERVAL);
        for _ in 0..5 {
            assert_eq!(ask(&answers, "a"), "narrow", "one alone");
            tokio::time::advance(INTERVAL).await;
        }
        assert_eq!(ask(&answers, "b"), "a|b");
        assert_eq!((ask(&answers, "a"), ask(&answers, "c.d")), ("kept 2".into(), "narrow".into()));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(ask(&answers, "a"), "a|b|c\\\\.d");
        assert_eq!(ask(&answers, "c.d"), "kept 3");
        tokio::time::advance(4 * INTERVAL).await;
        assert_eq!(ask(&answers, "a"), "narrow", "the others have gone");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_answer_is_asked_for_before_anybody_waits() {
        let answers = Answers::new(INTERVAL);
        ask(&answers, "a");
        ask(&answers, "b");
        let (due, next) = answers.due(9);
        assert!(due.is_empty() && next.is_some_and(|next| next <= Instant::now() + INTERVAL));
        tokio::time::advance(INTERVAL).await;
        let (due, _) = answers.due(9);
        assert_eq!(due.len(), 1);
        assert_eq!(ask(&answers, "a"), "kept 2", "the last one serves meanwhile");
        assert_eq!(ask(&answers, "c"), "narrow");
        assert!(answers.due(9).0.is_empty(), "it is being asked");
        tokio::time::advance(INTERVAL).await;
        assert_eq!(ask(&answers, "a"), "a|b|c", "not for longer than that");
        // The late one harms nothing.
        answer(&answers, &due[0]);
        assert_eq!(ask(&answers, "c"), "kept 3");
        tokio::time::advance(4 * INTERVAL).await;
        let (due, next) = answers.due(9);
        assert!(due.is_empty() && next.is_none(), "nobody asks any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_everybodys_for_a_moment() {
        let answers = Answers::new(INTERVAL);
        ask(&answers, "a");
        let asked = |namespace: &str| match answers.choose(&shared("x"), "pod", namespace, namespace) {
            Choice::Ask(question) => question,
            _ => panic!("there is an answer"),
        };
        let first = asked("b");
        assert!(Arc::ptr_eq(&first, &asked("a")), "both wait for the same");
        first.outcome.set(Err("down".to_owned())).ok().unwrap();
        assert!(Arc::ptr_eq(&first, &asked("a")));
        assert!(answers.due(9).0.is_empty(), "nobody asks a dead backend by himself");
        tokio::time::advance(FAILURE_LIFETIME).await;
        assert!(!Arc::ptr_eq(&first, &asked("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_namespaces_are_all() {
        let answers = Answers::new(INTERVAL);
        for number in 0..=NAMESPACES_LIMIT {
            ask(&answers, &format!("n{number}"));
        }
        tokio::time::advance(INTERVAL).await;
        assert_eq!(ask(&answers, "n0"), ".+");
        assert_eq!(ask(&answers, "another"), "kept 0");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_have_room_for_so_many_values() {
        let answers = Answers::new(INTERVAL);
        for name in ["x", "y", "z"] {
            for namespace in ["a", "b"] {
                if let Choice::Ask(question) = answers.choose(&shared(name), "pod", namespace, namespace) {
                    question.outcome.set(Ok(Arc::new(Number(WEIGHT_LIMIT / 2)))).ok().unwrap();
                    answers.settle(&question);
                }
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let chosen = |name: &str| match answers.choose(&shared(name), "pod", "a", "a") {
            Choice::Kept(_) => "kept",
            Choice::Narrow => "narrow",
            Choice::Ask(_) => "ask",
        };
        assert_eq!([chosen("x"), chosen("y"), chosen("z")], ["kept", "kept", "narrow"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_query_that_is_too_large_or_too_slow_is_left_for_a_while() {
        let answers = Answers::new(INTERVAL);
        ask(&answers, "a");
        for (slow, time) in [(false, TOO_LARGE_FOR), (true, TOO_SLOW_FOR)] {
            let Choice::Ask(question) = answers.choose(&shared("x"), "pod", "b", "b") else { panic!() };
            if slow {
                answers.too_slow(&question)
            } else {
                answers.too_large(&question)
            }
            tokio::time::advance(time - Duration::from_secs(1)).await;
            ask(&answers, "a");
            assert_eq!(ask(&answers, "b"), "narrow");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(ask(&answers, "b"), "a|b");
    }
}
