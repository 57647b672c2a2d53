//! Answers of slow questions, remembered for a short time and asked once at a time.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

type Question<V> = Shared<BoxFuture<'static, Result<V, String>>>;

/// Which answers live longer or shorter than the others, and how long.
pub type OtherLifetime<V> = Option<(fn(&V) -> bool, Duration)>;

/// A bounded cache with a lifetime. Concurrent questions for the same key share one call; failures are not kept.
/// When it is full the oldest answer makes room: with one lifetime for all that is nearly the least recently
/// useful one.
#[derive(Debug)]
pub struct Cache<K, V> {
    state: Arc<Mutex<State<K, V>>>,
}

#[derive(Debug)]
struct State<K, V> {
    entries_limit: usize,
    lifetime: Duration,
    /// Answers that the function picks out live so long instead.
    other: OtherLifetime<V>,
    answers: HashMap<K, (Instant, V)>,
    by_age: VecDeque<(Instant, K)>,
    open: HashMap<K, Question<V>>,
}

impl<K, V> State<K, V>
where
    K: Clone + Eq + Hash,
    V: Clone,
{
    fn fresh(&self, key: &K, now: Instant) -> Option<V> {
        let (until, answer) = self.answers.get(key)?;
        (now < *until).then(|| answer.clone())
    }

    fn keep(&mut self, key: K, answer: V, now: Instant) {
        let other = self.other.filter(|(picks, _)| picks(&answer));
        let until = now + other.map_or(self.lifetime, |(_, lifetime)| lifetime);
        self.answers.insert(key.clone(), (until, answer));
        self.by_age.push_back((until, key));
        while let Some((until, _)) = self.by_age.front() {
            if *until > now && self.answers.len() <= self.entries_limit {
                break;
            }
            let Some((until, key)) = self.by_age.pop_front() else { break };
            // A key that was answered again is in the queue twice; only its newest place counts.
            if self.answers.get(&key).is_some_and(|(current, _)| *current == until) {
                self.answers.remove(&key);
            }
        }
    }
}

impl<K, V> Cache<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keeps at most `entries_limit` answers, each for `lifetime`.
    pub fn new(entries_limit: usize, lifetime: Duration) -> Self {
        Self::with_other_lifetime(entries_limit, lifetime, None)
    }

    /// As [`new`](Self::new), with another lifetime for the answers that a function picks out.
    pub fn with_other_lifetime(entries_limit: usize, lifetime: Duration, other: OtherLifetime<V>) -> Self {
        let state = State {
            entries_limit,
            lifetime,
            other,
            answers: HashMap::new(),
            by_age: VecDeque::new(),
            open: HashMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// An empty cache with the same limits.
    pub fn emptied(&self) -> Self {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Self::with_other_lifetime(state.entries_limit, state.lifetime, state.other)
    }

    /// The remembered answer, or the one that `ask` finds.
    ///
    /// # Errors
    /// What `ask` failed with; the next call asks again.
    pub async fn get_or<F>(&self, key: K, ask: impl FnOnce() -> F) -> Result<V, String>
    where
        F: Future<Output = Result<V, String>> + Send + 'static,
    {
        let question = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = state.fresh(&key, Instant::now()) {
                return Ok(answer);
            }
            // A question whose askers have all gone away is dropped with its call; asking goes on in whoever
            // still waits.
            match state.open.get(&key) {
                Some(question) => question.clone(),
                None => {
                    let question = remember(self.state.clone(), key.clone(), ask()).boxed().shared();
                    state.open.insert(key.clone(), question.clone());
                    question
                }
            }
        };
        let closing = Closing { state: &self.state, key: &key, question: Some(question.clone()) };
        let answer = question.await;
        drop(closing);
        answer
    }

    /// How many answers are held, expired ones included.
    pub fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answers.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

async fn remember<K, V, F>(state: Arc<Mutex<State<K, V>>>, key: K, asking: F) -> Result<V, String>
where
    K: Clone + Eq + Hash,
    V: Clone,
    F: Future<Output = Result<V, String>>,
{
    let answer = asking.await;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(answer) = &answer {
        state.keep(key, answer.clone(), Instant::now());
    }
    answer
}

/// Takes a question off the list when its answer came, or when its last asker was cancelled.
struct Closing<'a, K: Eq + Hash, V: Clone> {
    state: &'a Mutex<State<K, V>>,
    key: &'a K,
    question: Option<Question<V>>,
}

impl<K: Eq + Hash, V: Clone> Drop for Closing<'_, K, V> {
    fn drop(&mut self) {
        let Some(question) = self.question.take() else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(listed) = state.open.get(self.key) else { return };
        let is_ours = listed.ptr_eq(&question);
        // The list and this guard hold one each; every other asker holds at least one more.
        let is_last = question.strong_count().is_none_or(|holders| holders <= 2);
        let removed = if is_ours && (is_last || question.peek().is_some()) {
            state.open.remove(self.key)
        } else {
            None
        };
        drop(state);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LIFETIME: Duration = Duration::from_secs(10);

    fn asking(
        calls: &Arc<AtomicUsize>,
        answer: Result<u32, String>,
    ) -> impl FnOnce() -> BoxFuture<'static, Result<u32, String>> {
        let calls = calls.clone();
        move || {
            async move {
                calls.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_lives_ten_seconds_and_a_failure_not_at_all() {
        let (cache, calls) = (Cache::new(8, LIFETIME), Arc::new(AtomicUsize::new(0)));
        assert_eq!(cache.get_or("a", asking(&calls, Err("down".into()))).await, Err("down".into()));
        assert_eq!(cache.get_or("a", asking(&calls, Ok(1))).await, Ok(1));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(cache.get_or("a", asking(&calls, Ok(2))).await, Ok(1));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(cache.get_or("a", asking(&calls, Ok(3))).await, Ok(3));
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn some_answers_may_live_shorter() {
        let second = Duration::from_secs(1);
        let cache = Cache::with_other_lifetime(8, LIFETIME, Some((|answer: &u32| *answer == 0, second)));
        for (key, answer) in [("a", 0), ("b", 1)] {
            cache.get_or(key, || std::future::ready(Ok(answer))).await.unwrap();
        }
        tokio::time::advance(2 * second).await;
        assert_eq!(cache.get_or("a", || std::future::ready(Ok(7))).await, Ok(7));
        assert_eq!(cache.get_or("b", || std::future::ready(Ok(7))).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_questions_share_one_call_and_survive_a_cancelled_asker() {
        let (cache, calls) = (Cache::new(8, LIFETIME), Arc::new(AtomicUsize::new(0)));
        let first = tokio::time::timeout(Duration::from_millis(10), cache.get_or("a", asking(&calls, Ok(1))));
        let second = cache.get_or("a", asking(&calls, Ok(2)));
        let third = cache.get_or("a", asking(&calls, Ok(3)));
        let (first, second, third) = tokio::join!(first, second, third);
        assert!(first.is_err());
        assert_eq!((second, third, calls.load(Ordering::SeqCst)), (Ok(1), Ok(1), 1));
        let alone = tokio::time::timeout(Duration::from_millis(10), cache.get_or("b", asking(&calls, Ok(1))));
        assert!(alone.await.is_err());
        assert!(cache.state.lock().unwrap().open.is_empty(), "an abandoned question is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answers_make_room() {
        let cache = Cache::new(2, LIFETIME);
        for key in 0..5u32 {
            cache.get_or(key, || std::future::ready(Ok(key))).await.unwrap();
            assert!(cache.len() <= 2);
        }
        let answer = cache.get_or(4, || std::future::ready(Err("asked again".into()))).await;
        assert_eq!(answer, Ok(4));
        assert!(cache.get_or(0, || std::future::ready(Err("asked again".into()))).await.is_err());
    }
}
