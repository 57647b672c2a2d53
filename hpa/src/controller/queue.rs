//! Which HPA is to be evaluated, and which metrics are to be asked for. Pure bookkeeping.

use super::answers::MetricsKey;
use crate::schedule::Pace;
use crate::watch::Key;
use std::collections::{HashMap, HashSet, VecDeque};

struct Tracked {
    /// Evaluated at the latest then.
    due_ms: i64,
    queued: bool,
    running: bool,
    /// Wanted again while running.
    again: bool,
    /// Its phase within the sync period was chosen.
    spread: bool,
    /// Has a period of its own: neither samples nor pods cause an evaluation.
    paced: bool,
    metrics_key: Option<MetricsKey>,
}

struct Polled {
    pace: Pace,
    in_flight: bool,
    users: HashSet<Key>,
}

/// From this many selectors on, one question about all pods takes the place of one for each.
const SWEEP_FROM: usize = 32;

/// Pause after a question about all pods that is not allowed, or whose answer cannot be read.
const SWEEP_PAUSE_MS: i64 = 600_000;

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
    polled: HashMap<MetricsKey, Polled>,
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
            polled: HashMap::new(),
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
                running: false,
                again: false,
                spread: false,
                paced: false,
                metrics_key: None,
            };
            self.tracked.insert(key.clone(), tracked);
            self.namespaces.entry(key.0.clone()).or_default().insert(key.clone());
        }
        self.enqueue(key);
    }

    fn enqueue(&mut self, key: &Key) {
        let Some(tracked) = self.tracked.get_mut(key) else { return };
        if tracked.running {
            tracked.again = true;
        } else if !tracked.queued {
            tracked.queued = true;
            self.waiting.push_back(key.clone());
        }
    }

    /// Forgets an HPA; gives metrics that nobody follows any more.
    pub(super) fn remove(&mut self, key: &Key) -> Option<MetricsKey> {
        let tracked = self.tracked.remove(key)?;
        if let Some(keys) = self.namespaces.get_mut(&key.0) {
            keys.remove(key);
            if keys.is_empty() {
                self.namespaces.remove(&key.0);
            }
        }
        self.waiting.retain(|waiting| waiting != key);
        self.leave(key, tracked.metrics_key)
    }

    /// Stops following metrics for one HPA; gives the key if nobody else follows them.
    fn leave(&mut self, key: &Key, metrics_key: Option<MetricsKey>) -> Option<MetricsKey> {
        let metrics_key = metrics_key?;
        if let Some(polled) = self.polled.get_mut(&metrics_key) {
            polled.users.remove(key);
            if !polled.users.is_empty() {
                return None;
            }
            self.polled.remove(&metrics_key);
        }
        Some(metrics_key)
    }

    /// Pods of a namespace changed.
    pub(super) fn pods_changed(&mut self, namespace: &str) {
        if self.compat_upstream {
            return;
        }
        let keys: Vec<Key> = self.namespaces.get(namespace).into_iter().flatten().cloned().collect();
        for key in keys {
            self.wake(&key);
        }
    }

    /// Something that an HPA follows changed.
    fn wake(&mut self, key: &Key) {
        if self.tracked.get(key).is_some_and(|tracked| !tracked.paced) {
            self.enqueue(key);
        }
    }

    /// Queues what is due by time.
    pub(super) fn due(&mut self, now_ms: i64) {
        let is_due = |tracked: &Tracked| tracked.due_ms <= now_ms && !tracked.queued && !tracked.running;
        let keys: Vec<Key> =
            self.tracked.iter().filter(|(_, t)| is_due(t)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.enqueue(&key);
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

    /// An evaluation ended; gives metrics that nobody follows any more. `period_ms`: the HPA's own, if it has one.
    pub(super) fn evaluated(
        &mut self,
        key: &Key,
        metrics_key: Option<MetricsKey>,
        period_ms: Option<i64>,
        now_ms: i64,
    ) -> Option<MetricsKey> {
        let tracked = self.tracked.get_mut(key)?;
        tracked.running = false;
        // All that are found at start are evaluated at once; by their names they part for the periods that follow.
        let keeps_phase = std::mem::replace(&mut tracked.spread, true) || self.compat_upstream;
        let next_ms = match period_ms {
            None if !keeps_phase => 1 + phase(key) % self.sync_period_ms,
            period_ms => period_ms.unwrap_or(self.sync_period_ms),
        };
        tracked.due_ms = now_ms + next_ms;
        tracked.paced = period_ms.is_some();
        let again = std::mem::take(&mut tracked.again);
        let before = std::mem::replace(&mut tracked.metrics_key, metrics_key.clone());
        let unused = if before != metrics_key { self.leave(key, before) } else { None };
        if let Some(metrics_key) = metrics_key.filter(|_| !self.compat_upstream && period_ms.is_none()) {
            let polled = self.polled.entry(metrics_key).or_insert_with(|| {
                // The evaluation has just asked; ask again in a second.
                let mut pace = Pace::new(now_ms);
                pace.next_ms = now_ms + crate::schedule::MIN_POLL_MS;
                Polled { pace, in_flight: false, users: HashSet::new() }
            });
            polled.users.insert(key.clone());
        }
        if again {
            self.enqueue(key);
        }
        unused
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
            keys.iter().for_each(|key| self.changed(key));
        }
    }

    /// Something changed behind a selector; those who follow it are evaluated.
    pub(super) fn changed(&mut self, key: &MetricsKey) {
        let users: Vec<Key> =
            self.polled.get(key).into_iter().flat_map(|polled| &polled.users).cloned().collect();
        for user in users {
            self.wake(&user);
        }
    }
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

    #[test]
    fn an_hpa_runs_once_at_a_time() {
        let mut queue = Queue::new(15_000, false);
        queue.want(&key("a"), 0);
        queue.want(&key("a"), 0);
        assert_eq!(queue.next(), Some(key("a")));
        queue.want(&key("a"), 0);
        assert_eq!(queue.next(), None, "it is running");
        queue.evaluated(&key("a"), None, None, 10);
        assert_eq!(queue.next(), Some(key("a")), "and was wanted again");
        queue.evaluated(&key("a"), None, None, 20);
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
            queue.evaluated(&next, Some(metrics.clone()), None, 0);
        }
        assert!(queue.polls(999, 9).is_empty());
        assert_eq!(queue.polls(1_000, 9), [Poll::One(metrics.clone())], "one question for both");
        queue.listed(Some(&metrics), Some(1_000), 2, 1_000);
        queue.changed(&metrics);
        queue.answered(Some(&metrics));
        assert!(queue.next().is_some() && queue.next().is_some() && queue.next().is_none());
        queue.evaluated(&key("a"), None, None, 1_000);
        queue.evaluated(&key("b"), Some(metrics.clone()), None, 1_000);
        assert_eq!(queue.polls(2_000, 9), [Poll::One(metrics.clone())]);
        assert!(queue.polls(9_000, 9).is_empty(), "one question at a time");
        queue.listed(Some(&metrics), Some(1_000), 2, 2_000);
        queue.answered(Some(&metrics));
        assert_eq!(queue.next(), None, "the same samples are no news");
        for (at_ms, woken) in [(4_000, true), (9_000, false)] {
            queue.listed(Some(&metrics), None, 0, at_ms);
            assert_eq!(queue.next().is_some(), woken, "a failure is told once");
            queue.evaluated(&key("b"), Some(metrics.clone()), None, at_ms);
        }
        assert_eq!(queue.remove(&key("b")), Some(metrics.clone()), "nobody follows");
        assert!(queue.polls(99_000, 9).is_empty());
        queue.want(&key("c"), 0);
        queue.next();
        queue.evaluated(&key("c"), Some(metrics.clone()), Some(60_000), 0);
        assert_eq!(queue.remove(&key("c")), Some(metrics), "what was asked for once is forgotten too");
    }

    /// A queue that follows the metrics of that many selectors.
    fn following(selectors: usize) -> Queue {
        let mut queue = Queue::new(15_000, false);
        for index in 0..selectors {
            let key = key(&index.to_string());
            queue.want(&key, 0);
            queue.next();
            queue.evaluated(&key, Some(("ns".into(), format!("app={index}"))), None, 0);
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
            many.changed(&("ns".into(), format!("app={index}")));
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
                queue.evaluated(&key, None, None, 0);
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
        queue.evaluated(&key("a"), Some(("ns".into(), "app=web".into())), Some(60_000), 0);
        queue.pods_changed("ns");
        queue.due(59_999);
        assert!(
            queue.next().is_none() && queue.polls(59_999, 9).is_empty(),
            "neither pods nor samples wake it"
        );
        queue.due(60_000);
        assert_eq!(queue.next(), Some(key("a")));
    }

    #[test]
    fn upstream_timing_ignores_samples_and_pods() {
        let mut queue = Queue::new(15_000, true);
        queue.want(&key("a"), 0);
        queue.next();
        queue.evaluated(&key("a"), Some(("ns".into(), "app=web".into())), None, 0);
        queue.pods_changed("ns");
        assert!(queue.next().is_none() && queue.polls(99_000, 9).is_empty());
    }
}
