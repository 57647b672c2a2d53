//! Which HPA is to be evaluated, and which metrics are to be asked for. Pure bookkeeping.

use super::answers::MetricsKey;
use crate::cluster::Question;
use crate::schedule::{Pace, ValuePace};
use crate::watch::Key;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Where the values of an HPA come from: news there causes an evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Follows {
    /// Samples of the pods behind its target's selector.
    pub(super) pods: Option<MetricsKey>,
    /// Custom and external metrics.
    pub(super) values: Vec<Arc<Question>>,
}

impl Follows {
    /// What is not among the others.
    fn without(self, others: &Follows) -> Follows {
        Follows {
            pods: self.pods.filter(|metrics_key| Some(metrics_key) != others.pods.as_ref()),
            values: self.values.into_iter().filter(|question| !others.values.contains(question)).collect(),
        }
    }
}

struct Tracked {
    /// Evaluated at the latest then.
    due_ms: i64,
    queued: bool,
    /// When it was queued last.
    queued_ms: i64,
    running: bool,
    /// Wanted again while running.
    again: bool,
    /// Its phase within the sync period was chosen.
    spread: bool,
    /// Has a period of its own: neither samples nor pods cause an evaluation.
    paced: bool,
    follows: Follows,
}

/// What is asked for again and again.
struct Polled<P> {
    pace: P,
    in_flight: bool,
    users: HashSet<Key>,
}

/// From this many selectors on, one question about all pods takes the place of one for each.
const SWEEP_FROM: usize = 32;

/// Pause after a question about all pods that is not allowed, or whose answer cannot be read.
const SWEEP_PAUSE_MS: i64 = 600_000;

/// Questions about custom and external metrics in flight, and most of them a second: with more metrics each is asked for
/// more rarely, and beyond the sync period evaluations ask for themselves, as upstream's do.
const MAX_VALUE_POLLS: usize = 16;
const VALUE_POLLS_A_SECOND: i64 = 50;

/// A question about metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Poll {
    /// About the pods behind one selector.
    One(MetricsKey),
    /// About all pods.
    All,
}

/// The schedule of all HPAs.
pub(super) struct Queue {
    sync_period_ms: i64,
    /// Upstream's timing: nothing but the sync period and changed specs causes an evaluation, and nothing is polled.
    compat_upstream: bool,
    tracked: HashMap<Key, Tracked>,
    namespaces: HashMap<String, HashSet<Key>>,
    waiting: VecDeque<Key>,
    /// How often something was queued.
    added: u64,
    polled: HashMap<MetricsKey, Polled<Pace>>,
    values: HashMap<Arc<Question>, Polled<ValuePace>>,
    /// The next question about one of these may be sent then, as far as their number goes.
    next_value_ms: i64,
    /// Pace of questions about all pods.
    sweep: Pace,
    /// Until then each selector is asked for by itself.
    apart_until_ms: i64,
    sweeping: bool,
}

impl Queue {
    pub(super) fn new(sync_period_ms: i64, compat_upstream: bool) -> Self {
        Queue {
            sync_period_ms,
            compat_upstream,
            tracked: HashMap::new(),
            namespaces: HashMap::new(),
            waiting: VecDeque::new(),
            added: 0,
            polled: HashMap::new(),
            values: HashMap::new(),
            next_value_ms: i64::MIN,
            sweep: Pace::new(0),
            apart_until_ms: i64::MIN,
            sweeping: false,
        }
    }

    /// A new HPA, or a changed spec: evaluated at once.
    pub(super) fn want(&mut self, key: &Key, now_ms: i64) {
        if !self.tracked.contains_key(key) {
            let tracked = Tracked {
                due_ms: now_ms,
                queued: false,
                queued_ms: now_ms,
                running: false,
                again: false,
                spread: false,
                paced: false,
                follows: Follows::default(),
            };
            self.tracked.insert(key.clone(), tracked);
            self.namespaces.entry(key.0.clone()).or_default().insert(key.clone());
        }
        self.enqueue(key, now_ms);
    }

    fn enqueue(&mut self, key: &Key, now_ms: i64) {
        let Some(tracked) = self.tracked.get_mut(key) else { return };
        if tracked.running {
            tracked.again = true;
        } else if !tracked.queued {
            (tracked.queued, tracked.queued_ms) = (true, now_ms);
            self.added += 1;
            self.waiting.push_back(key.clone());
        }
    }

    /// How many wait, and how many were queued since this was last asked.
    pub(super) fn counts(&mut self) -> (usize, u64) {
        (self.waiting.len(), std::mem::take(&mut self.added))
    }

    /// How long one that runs has waited before.
    pub(super) fn waited_ms(&self, key: &Key, now_ms: i64) -> i64 {
        self.tracked.get(key).map_or(0, |tracked| (now_ms - tracked.queued_ms).max(0))
    }

    /// Forgets an HPA; gives what nobody follows any more.
    pub(super) fn remove(&mut self, key: &Key) -> Follows {
        let Some(tracked) = self.tracked.remove(key) else { return Follows::default() };
        if let Some(keys) = self.namespaces.get_mut(&key.0) {
            keys.remove(key);
            if keys.is_empty() {
                self.namespaces.remove(&key.0);
            }
        }
        self.waiting.retain(|waiting| waiting != key);
        self.leave(key, tracked.follows)
    }

    /// Stops following for one HPA; gives what nobody else follows.
    fn leave(&mut self, key: &Key, follows: Follows) -> Follows {
        Follows {
            pods: follows.pods.filter(|metrics_key| left(&mut self.polled, metrics_key, key)),
            values: follows
                .values
                .into_iter()
                .filter(|question| left(&mut self.values, question, key))
                .collect(),
        }
    }

    /// Pods of a namespace changed.
    pub(super) fn pods_changed(&mut self, namespace: &str, now_ms: i64) {
        if self.compat_upstream {
            return;
        }
        let keys: Vec<Key> = self.namespaces.get(namespace).into_iter().flatten().cloned().collect();
        for key in keys {
            self.wake(&key, now_ms);
        }
    }

    /// Something that an HPA follows changed.
    fn wake(&mut self, key: &Key, now_ms: i64) {
        if self.tracked.get(key).is_some_and(|tracked| !tracked.paced) {
            self.enqueue(key, now_ms);
        }
    }

    /// Queues what is due by time.
    pub(super) fn due(&mut self, now_ms: i64) {
        let is_due = |tracked: &Tracked| tracked.due_ms <= now_ms && !tracked.queued && !tracked.running;
        let keys: Vec<Key> =
            self.tracked.iter().filter(|(_, t)| is_due(t)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.enqueue(&key, now_ms);
        }
    }

    /// Whether there is a next HPA to evaluate.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next HPA to evaluate.
    pub(super) fn next(&mut self) -> Option<Key> {
        let key = self.waiting.pop_front()?;
        if let Some(tracked) = self.tracked.get_mut(&key) {
            tracked.queued = false;
            tracked.running = true;
        }
        Some(key)
    }

    /// An evaluation ended; gives what nobody follows any more. `period_ms`: the HPA's own, if it has one.
    pub(super) fn evaluated(
        &mut self,
        key: &Key,
        follows: Follows,
        period_ms: Option<i64>,
        now_ms: i64,
    ) -> Follows {
        // Forgotten meanwhile: what it asked for is of use to others at most.
        let Some(tracked) = self.tracked.get_mut(key) else { return self.leave(key, follows) };
        tracked.running = false;
        // All that are found at start are evaluated at once; by their names they part for the periods that follow.
        let keeps_phase = std::mem::replace(&mut tracked.spread, true) || self.compat_upstream;
        let next_ms = match period_ms {
            None if !keeps_phase => 1 + phase(key) % self.sync_period_ms,
            period_ms => period_ms.unwrap_or(self.sync_period_ms),
        };
        tracked.due_ms = now_ms + next_ms;
        let paced = period_ms.is_some();
        let is_same = std::mem::replace(&mut tracked.paced, paced) == paced && tracked.follows == follows;
        let again = std::mem::take(&mut tracked.again);
        let mut unused = Follows::default();
        if !is_same {
            let before = std::mem::replace(&mut tracked.follows, follows.clone());
            unused = self.leave(key, if paced { before } else { before.without(&follows) });
            if !paced && !self.compat_upstream {
                self.follow(key, follows, now_ms);
            }
        }
        if again {
            self.enqueue(key, now_ms);
        }
        unused
    }

    /// Asks for these again and again. The evaluation has just asked; it is asked again in a second.
    fn follow(&mut self, key: &Key, follows: Follows, now_ms: i64) {
        if let Some(metrics_key) = follows.pods {
            let polled = self.polled.entry(metrics_key).or_insert_with(|| {
                let mut pace = Pace::new(now_ms);
                pace.next_ms = now_ms + crate::schedule::MIN_POLL_MS;
                Polled { pace, in_flight: false, users: HashSet::new() }
            });
            polled.users.insert(key.clone());
        }
        for question in follows.values {
            let new = || Polled { pace: ValuePace::new(now_ms), in_flight: false, users: HashSet::new() };
            self.values.entry(question).or_insert_with(new).users.insert(key.clone());
        }
    }

    /// Metrics to ask for now, at most `limit`.
    pub(super) fn polls(&mut self, now_ms: i64, limit: usize) -> Vec<Poll> {
        if self.sweeping {
            return Vec::new();
        }
        if !self.follows_few() && now_ms >= self.apart_until_ms {
            self.sweeping = self.sweep.next_ms <= now_ms;
            return self.sweeping.then_some(Poll::All).into_iter().collect();
        }
        let due =
            self.polled.iter_mut().filter(|(_, polled)| !polled.in_flight && polled.pace.next_ms <= now_ms);
        due.take(limit)
            .map(|(key, polled)| {
                polled.in_flight = true;
                Poll::One(key.clone())
            })
            .collect()
    }

    /// Custom and external metrics to ask for now; those that have waited longest come first.
    pub(super) fn value_polls(&mut self, now_ms: i64) -> Vec<Arc<Question>> {
        const PAUSE_MS: i64 = 1_000 / VALUE_POLLS_A_SECOND;
        let in_flight = self.values.values().filter(|polled| polled.in_flight).count();
        let mut due: Vec<(i64, Arc<Question>)> = self
            .values
            .iter()
            .filter(|(_, polled)| !polled.in_flight && polled.pace.next_ms <= now_ms)
            .map(|(question, polled)| (polled.pace.next_ms, question.clone()))
            .collect();
        due.sort_unstable_by_key(|(due_ms, _)| *due_ms);
        // What was not used of the second before is not saved up.
        self.next_value_ms = self.next_value_ms.max(now_ms - 1_000);
        let allowed = usize::try_from((now_ms - self.next_value_ms) / PAUSE_MS).unwrap_or(0);
        due.truncate(allowed.min(MAX_VALUE_POLLS.saturating_sub(in_flight)));
        self.next_value_ms += PAUSE_MS * due.len() as i64;
        for (_, question) in &due {
            self.values.get_mut(question).into_iter().for_each(|polled| polled.in_flight = true);
        }
        due.into_iter().map(|(_, question)| question).collect()
    }

    /// Such a question was answered: the oldest and the newest time of the values, `None` if it failed; those who follow are
    /// evaluated if there is news. False if nobody follows it any more.
    pub(super) fn told(
        &mut self,
        question: &Arc<Question>,
        times_ms: Option<(i64, i64)>,
        is_news: bool,
        now_ms: i64,
    ) -> bool {
        let Some(polled) = self.values.get_mut(question) else { return false };
        polled.in_flight = false;
        polled.pace.answered(times_ms, now_ms, self.sync_period_ms);
        if is_news {
            let users: Vec<Key> = polled.users.iter().cloned().collect();
            users.iter().for_each(|user| self.wake(user, now_ms));
        }
        true
    }

    /// The task that asked ended without an answer.
    pub(super) fn untold(&mut self, question: &Arc<Question>) {
        self.values.get_mut(question).into_iter().for_each(|polled| polled.in_flight = false);
    }

    /// Whether so few metrics are followed that each can be watched by itself.
    pub(super) fn follows_few(&self) -> bool {
        self.polled.len() < SWEEP_FROM
    }

    /// It is no use to ask about all pods.
    pub(super) fn ask_apart(&mut self, now_ms: i64) {
        self.apart_until_ms = now_ms + SWEEP_PAUSE_MS;
    }

    /// A question about the pods behind a selector, or (`None`) about all, ended: it may be asked again when it is time.
    pub(super) fn answered(&mut self, of: Option<&MetricsKey>) {
        match of {
            None => {
                self.sweeping = false;
                // What was asked about single selectors before was given up.
                self.polled.values_mut().for_each(|polled| polled.in_flight = false);
            }
            Some(key) => self.polled.get_mut(key).into_iter().for_each(|polled| polled.in_flight = false),
        }
    }

    /// What a list of the same came to: the end of its newest window (`None` if it failed), and its number of pods. Those
    /// who follow what failed are evaluated, once.
    pub(super) fn listed(
        &mut self,
        of: Option<&MetricsKey>,
        newest_ms: Option<i64>,
        pods: usize,
        now_ms: i64,
    ) {
        let period_ms = self.sync_period_ms;
        let pace = match of {
            None => Some(&mut self.sweep),
            Some(key) => self.polled.get_mut(key).map(|polled| &mut polled.pace),
        };
        let is_news = pace.is_some_and(|pace| pace.answered(newest_ms, pods, now_ms, period_ms));
        if is_news && newest_ms.is_none() {
            let keys: Vec<MetricsKey> = match of {
                None => self.polled.keys().cloned().collect(),
                Some(key) => vec![key.clone()],
            };
            keys.iter().for_each(|key| self.changed(key, now_ms));
        }
    }

    /// Something changed behind a selector; those who follow it are evaluated.
    pub(super) fn changed(&mut self, key: &MetricsKey, now_ms: i64) {
        let users: Vec<Key> =
            self.polled.get(key).into_iter().flat_map(|polled| &polled.users).cloned().collect();
        for user in users {
            self.wake(&user, now_ms);
        }
    }
}

/// Takes a user away; true if nobody else follows.
fn left<Q: std::hash::Hash + Eq, P>(polled: &mut HashMap<Q, Polled<P>>, of: &Q, user: &Key) -> bool {
    let Some(found) = polled.get_mut(of) else { return true };
    found.users.remove(user);
    let is_unused = found.users.is_empty();
    if is_unused {
        polled.remove(of);
    }
    is_unused
}

/// FNV-1a over namespace and name, never negative.
fn phase(key: &Key) -> i64 {
    let bytes = key.0.bytes().chain(*b"/").chain(key.1.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("ns".into(), name.into())
    }

    /// Nothing.
    fn nothing() -> Follows {
        Follows::default()
    }

    /// The samples behind a selector.
    fn pods(metrics: &MetricsKey) -> Follows {
        Follows { pods: Some(metrics.clone()), ..nothing() }
    }

    /// An external metric.
    fn value(name: &str) -> Follows {
        let (namespace, selector) = ("ns".into(), String::new());
        let question = Question::External { namespace, metric: name.into(), selector };
        Follows { values: vec![Arc::new(question)], ..nothing() }
    }

    #[test]
    fn an_hpa_runs_once_at_a_time() {
        let mut queue = Queue::new(15_000, false);
        queue.want(&key("a"), 0);
        queue.want(&key("a"), 0);
        assert_eq!(queue.next(), Some(key("a")));
        queue.want(&key("a"), 0);
        assert_eq!(queue.next(), None, "it is running");
        queue.evaluated(&key("a"), nothing(), None, 10);
        assert_eq!(queue.next(), Some(key("a")), "and was wanted again");
        queue.evaluated(&key("a"), nothing(), None, 20);
        queue.due(15_019);
        assert_eq!(queue.next(), None);
        queue.due(15_020);
        assert_eq!(queue.next(), Some(key("a")), "the sync period is over");
    }

    #[test]
    fn new_samples_wake_their_followers() {
        let mut queue = Queue::new(15_000, false);
        let metrics: MetricsKey = ("ns".into(), "app=web".into());
        for name in ["a", "b"] {
            queue.want(&key(name), 0);
            let next = queue.next().unwrap();
            queue.evaluated(&next, pods(&metrics), None, 0);
        }
        assert!(queue.polls(999, 9).is_empty());
        assert_eq!(queue.polls(1_000, 9), [Poll::One(metrics.clone())], "one question for both");
        queue.listed(Some(&metrics), Some(1_000), 2, 1_000);
        queue.changed(&metrics, 1_000);
        queue.answered(Some(&metrics));
        assert!(queue.next().is_some() && queue.next().is_some() && queue.next().is_none());
        queue.evaluated(&key("a"), nothing(), None, 1_000);
        queue.evaluated(&key("b"), pods(&metrics), None, 1_000);
        assert_eq!(queue.polls(2_000, 9), [Poll::One(metrics.clone())]);
        assert!(queue.polls(9_000, 9).is_empty(), "one question at a time");
        queue.listed(Some(&metrics), Some(1_000), 2, 2_000);
        queue.answered(Some(&metrics));
        assert_eq!(queue.next(), None, "the same samples are no news");
        for (at_ms, woken) in [(4_000, true), (9_000, false)] {
            queue.listed(Some(&metrics), None, 0, at_ms);
            assert_eq!(queue.next().is_some(), woken, "a failure is told once");
            queue.evaluated(&key("b"), pods(&metrics), None, at_ms);
        }
        assert_eq!(queue.remove(&key("b")), pods(&metrics), "nobody follows");
        assert!(queue.polls(99_000, 9).is_empty());
        queue.want(&key("c"), 0);
        queue.next();
        queue.evaluated(&key("c"), pods(&metrics), Some(60_000), 0);
        assert_eq!(queue.remove(&key("c")), pods(&metrics), "what was asked for once is forgotten too");
    }

    /// A queue that follows the metrics of that many selectors.
    fn following(selectors: usize) -> Queue {
        let mut queue = Queue::new(15_000, false);
        for index in 0..selectors {
            let key = key(&index.to_string());
            queue.want(&key, 0);
            queue.next();
            queue.evaluated(&key, pods(&("ns".into(), format!("app={index}"))), None, 0);
        }
        queue
    }

    #[test]
    fn many_selectors_are_one_question() {
        let mut few = following(SWEEP_FROM - 1);
        assert_eq!(few.polls(1_000, 99).len(), SWEEP_FROM - 1);
        let mut many = following(SWEEP_FROM);
        assert_eq!(many.polls(1_000, 99), [Poll::All]);
        assert!(many.polls(60_000, 99).is_empty(), "one at a time");
        many.listed(None, Some(1_000), SWEEP_FROM, 1_000);
        for index in 0..SWEEP_FROM {
            many.changed(&("ns".into(), format!("app={index}")), 1_000);
        }
        many.answered(None);
        assert_eq!(std::iter::from_fn(|| many.next()).count(), SWEEP_FROM, "all are woken");
        assert!(many.polls(1_500, 99).is_empty(), "at the pace of the source");
        assert_eq!(many.polls(2_000, 99), [Poll::All]);
        many.ask_apart(2_000);
        many.answered(None);
        assert_eq!(many.polls(9_000, 99).len(), SWEEP_FROM, "not allowed: each by itself");
        let again = many.polls(2_000 + SWEEP_PAUSE_MS, 99);
        assert_eq!(again, [Poll::All], "though what each asked has no end");
    }

    #[test]
    fn phases_spread_over_the_period() {
        let due_within = |compat_upstream| {
            let mut queue = Queue::new(15_000, compat_upstream);
            for index in 0..150 {
                let key = key(&format!("web-{index}"));
                queue.want(&key, 0);
                queue.next();
                queue.evaluated(&key, nothing(), None, 0);
            }
            let seconds = (1..=15).map(|second| {
                queue.due(second * 1_000);
                std::iter::from_fn(|| queue.next()).count()
            });
            seconds.collect::<Vec<_>>()
        };
        let spread = due_within(false);
        assert_eq!(spread.iter().sum::<usize>(), 150);
        assert!(spread.iter().all(|count| (1..=30).contains(count)), "{spread:?}");
        assert_eq!(due_within(true)[14], 150, "upstream's stay in phase");
    }

    #[test]
    fn a_period_of_its_own_is_kept() {
        let mut queue = Queue::new(15_000, false);
        queue.want(&key("a"), 0);
        queue.next();
        queue.evaluated(&key("a"), pods(&("ns".into(), "app=web".into())), Some(60_000), 0);
        queue.pods_changed("ns", 0);
        queue.due(59_999);
        assert!(
            queue.next().is_none() && queue.polls(59_999, 9).is_empty(),
            "neither pods nor samples wake it"
        );
        queue.due(60_000);
        assert_eq!(queue.next(), Some(key("a")));
    }

    #[test]
    fn one_that_gets_a_period_is_followed_no_more_until_it_is_taken_back() {
        let mut queue = Queue::new(15_000, false);
        let metrics: MetricsKey = ("ns".into(), "app=web".into());
        let follows = Follows { values: value("queue").values, ..pods(&metrics) };
        let asks = |queue: &mut Queue, at_ms| (queue.polls(at_ms, 9).len(), queue.value_polls(at_ms).len());
        for (period_ms, at_ms, asked) in
            [(None, 0, (1, 1)), (Some(60_000), 20_000, (0, 0)), (None, 40_000, (1, 1))]
        {
            queue.want(&key("a"), at_ms);
            queue.next();
            queue.evaluated(&key("a"), follows.clone(), period_ms, at_ms);
            assert_eq!(asks(&mut queue, at_ms + 5_000), asked, "{period_ms:?}");
        }
    }

    #[test]
    fn upstream_timing_ignores_samples_and_pods() {
        let mut queue = Queue::new(15_000, true);
        queue.want(&key("a"), 0);
        queue.next();
        queue.evaluated(&key("a"), pods(&("ns".into(), "app=web".into())), None, 0);
        queue.pods_changed("ns", 0);
        assert!(queue.next().is_none() && queue.polls(99_000, 9).is_empty());
    }

    #[test]
    fn custom_metrics_are_asked_for_and_wake_those_who_follow() {
        let mut queue = Queue::new(15_000, false);
        for name in ["a", "b"] {
            queue.want(&key(name), 0);
            queue.next();
            assert_eq!(queue.evaluated(&key(name), value("queue"), None, 0), nothing());
        }
        let question = value("queue").values.remove(0);
        assert!(queue.value_polls(999).is_empty());
        assert_eq!(queue.value_polls(1_000), std::slice::from_ref(&question), "one question for both");
        assert!(queue.value_polls(1_050).is_empty(), "one at a time");
        assert!(queue.told(&question, Some((1_000, 1_000)), true, 1_100));
        assert!(queue.next().is_some() && queue.next().is_some() && queue.next().is_none());
        for name in ["a", "b"] {
            queue.evaluated(&key(name), value("queue"), None, 1_100);
        }
        assert_eq!(queue.value_polls(2_100), std::slice::from_ref(&question));
        assert!(queue.told(&question, Some((1_000, 1_000)), false, 2_100));
        assert_eq!(queue.next(), None, "the same is no news");
        queue.want(&key("a"), 2_100);
        queue.next();
        assert_eq!(queue.evaluated(&key("a"), value("other"), None, 2_100), nothing(), "b follows it still");
        assert_eq!(queue.remove(&key("b")), value("queue"), "nobody does");
        assert!(!queue.told(&question, None, true, 2_200));
    }

    #[test]
    fn many_custom_metrics_share_what_may_be_asked_in_a_second() {
        let mut queue = Queue::new(15_000, false);
        for index in 0..1_000 {
            let key = key(&index.to_string());
            queue.want(&key, 0);
            queue.next();
            queue.evaluated(&key, value(&index.to_string()), None, 0);
        }
        let (mut asked, mut seen) = (0, HashSet::new());
        for tick in 10..310 {
            let now_ms = tick * 100;
            let polls = queue.value_polls(now_ms);
            assert!(polls.len() <= MAX_VALUE_POLLS);
            for question in polls {
                asked += 1;
                seen.insert(question.clone());
                queue.told(&question, Some((now_ms, now_ms)), false, now_ms);
            }
        }
        assert!((1_400..=1_560).contains(&asked), "{asked} in 30 s");
        assert_eq!(seen.len(), 1_000, "each has its turn");
    }

    #[test]
    fn upstream_timing_and_periods_ask_for_no_custom_metrics() {
        for (compat_upstream, period_ms) in [(true, None), (false, Some(60_000))] {
            let mut queue = Queue::new(15_000, compat_upstream);
            queue.want(&key("a"), 0);
            queue.next();
            queue.evaluated(&key("a"), value("queue"), period_ms, 0);
            assert!(queue.value_polls(99_000).is_empty());
            assert_eq!(queue.remove(&key("a")), value("queue"), "what was asked for is forgotten too");
        }
    }

    #[test]
    fn what_waits_is_counted() {
        let mut queue = Queue::new(15_000, false);
        queue.want(&key("a"), 100);
        queue.want(&key("b"), 100);
        queue.want(&key("b"), 200);
        assert_eq!(queue.counts(), (2, 2));
        let first = queue.next().unwrap();
        assert_eq!((queue.waited_ms(&first, 350), queue.counts()), (250, (1, 0)));
    }
}
