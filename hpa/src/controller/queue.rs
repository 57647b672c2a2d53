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
    metrics_key: Option<MetricsKey>,
}

struct Polled {
    pace: Pace,
    in_flight: bool,
    users: HashSet<Key>,
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
        }
    }

    /// A new HPA, or a changed spec: evaluated at once.
    pub(super) fn want(&mut self, key: &Key, now_ms: i64) {
        if !self.tracked.contains_key(key) {
            let tracked =
                Tracked { due_ms: now_ms, queued: false, running: false, again: false, metrics_key: None };
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

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(tracked) = self.tracked.remove(key) else { return };
        if let Some(keys) = self.namespaces.get_mut(&key.0) {
            keys.remove(key);
            if keys.is_empty() {
                self.namespaces.remove(&key.0);
            }
        }
        self.waiting.retain(|waiting| waiting != key);
        self.leave(key, tracked.metrics_key);
    }

    /// Stops following metrics for one HPA; gives the key if nobody else follows them.
    fn leave(&mut self, key: &Key, metrics_key: Option<MetricsKey>) -> Option<MetricsKey> {
        let metrics_key = metrics_key?;
        let polled = self.polled.get_mut(&metrics_key)?;
        polled.users.remove(key);
        if !polled.users.is_empty() {
            return None;
        }
        self.polled.remove(&metrics_key);
        Some(metrics_key)
    }

    /// Pods of a namespace changed.
    pub(super) fn pods_changed(&mut self, namespace: &str) {
        if self.compat_upstream {
            return;
        }
        let keys: Vec<Key> = self.namespaces.get(namespace).into_iter().flatten().cloned().collect();
        for key in keys {
            self.enqueue(&key);
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

    /// The next HPA to evaluate.
    pub(super) fn next(&mut self) -> Option<Key> {
        let key = self.waiting.pop_front()?;
        if let Some(tracked) = self.tracked.get_mut(&key) {
            tracked.queued = false;
            tracked.running = true;
        }
        Some(key)
    }

    /// An evaluation ended; gives metrics that nobody follows any more.
    pub(super) fn evaluated(
        &mut self,
        key: &Key,
        metrics_key: Option<MetricsKey>,
        now_ms: i64,
    ) -> Option<MetricsKey> {
        let tracked = self.tracked.get_mut(key)?;
        tracked.running = false;
        tracked.due_ms = now_ms + self.sync_period_ms;
        let again = std::mem::take(&mut tracked.again);
        let before = std::mem::replace(&mut tracked.metrics_key, metrics_key.clone());
        let unused = if before != metrics_key { self.leave(key, before) } else { None };
        if let Some(metrics_key) = metrics_key.filter(|_| !self.compat_upstream) {
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
    pub(super) fn polls(&mut self, now_ms: i64, limit: usize) -> Vec<MetricsKey> {
        let due =
            self.polled.iter_mut().filter(|(_, polled)| !polled.in_flight && polled.pace.next_ms <= now_ms);
        due.take(limit)
            .map(|(key, polled)| {
                polled.in_flight = true;
                key.clone()
            })
            .collect()
    }

    /// An answer arrived; its followers are evaluated if it is news.
    pub(super) fn polled(&mut self, key: &MetricsKey, newest_ms: Option<i64>, pods: usize, now_ms: i64) {
        let Some(polled) = self.polled.get_mut(key) else { return };
        polled.in_flight = false;
        if !polled.pace.answered(newest_ms, pods, now_ms, self.sync_period_ms) {
            return;
        }
        let users: Vec<Key> = polled.users.iter().cloned().collect();
        for user in users {
            self.enqueue(&user);
        }
    }
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
        queue.evaluated(&key("a"), None, 10);
        assert_eq!(queue.next(), Some(key("a")), "and was wanted again");
        queue.evaluated(&key("a"), None, 20);
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
            queue.evaluated(&next, Some(metrics.clone()), 0);
        }
        assert!(queue.polls(999, 9).is_empty());
        assert_eq!(queue.polls(1_000, 9), std::slice::from_ref(&metrics), "one question for both");
        queue.polled(&metrics, Some(1_000), 2, 1_000);
        assert!(queue.next().is_some() && queue.next().is_some() && queue.next().is_none());
        queue.evaluated(&key("a"), None, 1_000);
        queue.evaluated(&key("b"), Some(metrics.clone()), 1_000);
        assert_eq!(queue.polls(2_000, 9), std::slice::from_ref(&metrics));
        queue.polled(&metrics, Some(1_000), 2, 2_000);
        assert_eq!(queue.next(), None, "the same samples are no news");
        queue.remove(&key("b"));
        assert!(queue.polls(99_000, 9).is_empty(), "nobody follows");
    }

    #[test]
    fn upstream_timing_ignores_samples_and_pods() {
        let mut queue = Queue::new(15_000, true);
        queue.want(&key("a"), 0);
        queue.next();
        queue.evaluated(&key("a"), Some(("ns".into(), "app=web".into())), 0);
        queue.pods_changed("ns");
        assert!(queue.next().is_none() && queue.polls(99_000, 9).is_empty());
    }
}
