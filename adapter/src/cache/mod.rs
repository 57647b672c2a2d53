//! Answers kept for a scrape interval, each asked for once however many wait for it.
//!
//! Promises: equal questions of one lifetime are one question to the backend; nobody waits for another question than his
//! own; a failure is kept for a moment too, so that a dead backend is not asked by every waiting client in turn. Bounded
//! by [`ENTRIES_LIMIT`] and [`WEIGHT_LIMIT`]; the oldest answers make room.

mod shared;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use shared::{Choice, Question, SharedAnswers};

/// Most answers that are kept of one backend.
pub const ENTRIES_LIMIT: usize = 2_048;
/// Most values that are kept of one backend, of shared answers together and of others together: some 30 MB each.
pub const WEIGHT_LIMIT: usize = 250_000;
/// How long a failure is kept.
pub const FAILURE_LIFETIME: Duration = Duration::from_secs(1);

/// What takes room in a cache.
pub(crate) trait Weighed {
    /// How many values it holds.
    fn weight(&self) -> usize;
}

/// Answers by the text of their question.
pub(crate) struct Answers<T, E> {
    lifetime: Duration,
    state: Mutex<State<T, E>>,
}

type Outcome<T, E> = Result<Arc<T>, E>;

struct State<T, E> {
    entries: HashMap<String, Entry<T, E>>,
}

struct Entry<T, E> {
    asked: Instant,
    cell: Arc<OnceCell<Outcome<T, E>>>,
}

impl<T: Weighed, E> Entry<T, E> {
    fn is_fresh(&self, lifetime: Duration) -> bool {
        match self.cell.get() {
            // Still being asked: whoever asks sees to the time-out.
            None => true,
            Some(Ok(_)) => self.asked.elapsed() < lifetime,
            // A failure counts from its question too, which can have taken longer than it is kept.
            Some(Err(_)) => self.asked.elapsed() < FAILURE_LIFETIME,
        }
    }

    fn weight(&self) -> usize {
        self.cell.get().and_then(|outcome| outcome.as_ref().ok()).map_or(0, |answer| answer.weight())
    }
}

impl<T: Weighed, E: Clone> Answers<T, E> {
    /// Keeps answers for this time, counted from the question.
    pub(crate) fn new(lifetime: Duration) -> Answers<T, E> {
        Answers { lifetime, state: Mutex::new(State { entries: HashMap::new() }) }
    }

    /// The kept answer, else the one that `ask` finds. When the one who asks goes away, one of those who wait goes on.
    pub(crate) async fn get_or<F>(&self, question: &str, ask: impl FnOnce() -> F) -> Outcome<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let cell = self.cell(question);
        let outcome = cell.get_or_init(|| async { ask().await.map(Arc::new) }).await.clone();
        self.make_room();
        outcome
    }

    fn cell(&self, question: &str) -> Arc<OnceCell<Outcome<T, E>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = state.entries.get(question)
            && entry.is_fresh(self.lifetime)
        {
            return entry.cell.clone();
        }
        let cell = Arc::new(OnceCell::new());
        let entry = Entry { asked: Instant::now(), cell: cell.clone() };
        state.entries.retain(|_, entry| entry.is_fresh(self.lifetime));
        state.entries.insert(question.to_owned(), entry);
        cell
    }

    fn make_room(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = |state: &State<T, E>| state.entries.values().map(Entry::weight).sum::<usize>();
        while state.entries.len() > ENTRIES_LIMIT
            || (state.entries.len() > 1 && weight(&state) > WEIGHT_LIMIT)
        {
            let oldest = state.entries.iter().min_by_key(|(_, entry)| entry.asked);
            let Some(question) = oldest.map(|(question, _)| question.clone()) else { break };
            state.entries.remove(&question);
        }
    }

    /// How many answers are kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Number(usize);

    impl Weighed for Number {
        fn weight(&self) -> usize {
            self.0
        }
    }

    const LIFETIME: Duration = Duration::from_secs(15);

    async fn slow(calls: &AtomicUsize, answer: Result<usize, String>) -> Result<Number, String> {
        calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(2)).await;
        answer.map(Number)
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_askers_are_one_question_per_lifetime() {
        let (answers, calls) = (Answers::new(LIFETIME), AtomicUsize::new(0));
        for round in 1..=3 {
            let askers = (0..1000).map(|_| answers.get_or("q", || slow(&calls, Ok(7))));
            let all = futures_util::future::join_all(askers).await;
            assert!(all.iter().all(|answer| answer.as_ref().unwrap().0 == 7));
            assert_eq!(calls.load(Ordering::SeqCst), round);
            tokio::time::advance(LIFETIME).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_kept_for_a_moment_only() {
        let (answers, calls) = (Answers::new(LIFETIME), AtomicUsize::new(0));
        let asked = futures_util::future::join_all(
            (0..10).map(|_| answers.get_or("q", || slow(&calls, Err("down".to_owned())))),
        );
        assert!(asked.await.iter().all(Result::is_err));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert!(answers.get_or("q", || slow(&calls, Ok(1))).await.is_ok());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_goes_away_takes_nobody_along() {
        let (answers, calls) = (Answers::new(LIFETIME), AtomicUsize::new(0));
        let first =
            tokio::time::timeout(Duration::from_millis(10), answers.get_or("q", || slow(&calls, Ok(1))));
        let second = answers.get_or("q", || slow(&calls, Ok(2)));
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!(second.unwrap().0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room() {
        let answers: Answers<Number, String> = Answers::new(LIFETIME);
        for question in 0..10 {
            let heavy = WEIGHT_LIMIT / 4;
            answers.get_or(&question.to_string(), || async { Ok(Number(heavy)) }).await.unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(answers.len(), 4);
        let kept = answers.get_or("9", || async { Err("asked again".to_owned()) }).await;
        assert!(kept.is_ok());
    }
}
