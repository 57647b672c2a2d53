//! The points of one node as they are handed to another replica, and taken from one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Store;
use super::state::{PodEntry, State};
use crate::points::Source;
use crate::window::{Point, Policy, Series};

/// Points of one series at most: they span the usual window, and more would only make the handing over longer.
const POINTS_LIMIT: usize = 17;

/// What one node is known by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeHistory {
    pub(crate) node: String,
    /// Who answered for it.
    pub(crate) source: Source,
    /// When the last good scrape ended, Unix milliseconds.
    pub(crate) good_ms: i64,
    /// The node's own points, oldest first.
    pub(crate) points: Vec<Point>,
    pub(crate) pods: Vec<PodHistory>,
}

/// What one pod is known by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodHistory {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Containers with their points, oldest first.
    pub(crate) containers: Vec<(String, Vec<Point>)>,
}

impl Store {
    /// The nodes with data, by name.
    pub(crate) fn measured_nodes(&self) -> Vec<String> {
        self.read(|state| {
            let good = state.nodes().filter(|entry| entry.last_good_ms.is_some());
            good.map(|entry| entry.name.to_string()).collect()
        })
    }

    /// What is known of a node; pods that are withheld are left out.
    pub(crate) fn history(&self, node: &str) -> Option<NodeHistory> {
        self.read(|state| {
            let entry = state.node(node)?;
            let pods = entry.pods.iter().filter_map(|id| {
                let ((namespace, name), pod) = state.pods.named(*id)?;
                let owner = state.node_of(pod.node)?;
                let ours = owner.name == entry.name && pod.incomplete.is_none();
                let containers = pod.containers.iter();
                ours.then(|| PodHistory {
                    namespace: namespace.to_string(),
                    name: name.to_string(),
                    containers: containers.map(|(name, series)| (name.to_string(), last(series))).collect(),
                })
            });
            Some(NodeHistory {
                node: node.to_owned(),
                source: entry.source?,
                good_ms: entry.last_good_ms?,
                points: entry.series.as_ref().map(last).unwrap_or_default(),
                pods: pods.collect(),
            })
        })
    }

    /// Takes what another replica knows of a node, unless this one has usage of it already; what this one has scraped once
    /// follows behind. Ages count from the scrape of the other replica. Whether it was taken.
    pub(crate) fn take_over(&self, history: NodeHistory, now_ms: i64) -> bool {
        let policy = self.settings.policy(history.source);
        self.write(|state| state.take_over(history, policy, now_ms))
    }
}

impl State {
    fn take_over(&mut self, history: NodeHistory, policy: Policy, now_ms: i64) -> bool {
        let node = self.id_of(&history.node);
        let Some(entry) = self.node_mut(node) else { return false };
        if entry.series.as_ref().is_some_and(|series| series.usage().is_ok()) {
            return false;
        }
        let mut ids = std::mem::take(&mut entry.pods);
        for pod in history.pods {
            let id = self
                .pods
                .id(&pod.namespace, &pod.name)
                .unwrap_or_else(|| self.pods.insert(&pod.namespace, &pod.name, PodEntry::empty(node)));
            if !self.is_of(id, node) {
                tracing::debug!(pod = pod.name, "kept where it was scraped");
                continue;
            }
            self.pods.change(id, |known| {
                // Sorted, and each name once, whatever the other replica says.
                let own = std::mem::take(&mut known.containers);
                let mut containers: BTreeMap<Arc<str>, Series> = own.into_iter().collect();
                for (name, points) in pod.containers {
                    let name = self.names.share(&name);
                    let series = replayed(policy, &points, containers.remove(&name));
                    containers.extend(series.map(|series| (name, series)));
                }
                known.containers = containers.into_iter().collect();
            });
            ids.push(id);
        }
        ids.sort_unstable_by_key(|id| self.pods.named(*id).map(|(key, _)| key));
        ids.dedup();
        let Some(entry) = self.node_mut(node) else { return false };
        entry.series = replayed(policy, &history.points, entry.series.take());
        entry.pods = ids;
        // A clock that is ahead must not make values live longer.
        entry.last_good_ms = entry.last_good_ms.max(Some(history.good_ms.min(now_ms)));
        entry.source = Some(history.source);
        self.any_good = true;
        true
    }
}

fn last(series: &Series) -> Vec<Point> {
    let points = series.points();
    points[points.len().saturating_sub(POINTS_LIMIT)..].to_vec()
}

/// The series that these points make, and behind them the later ones of our own.
fn replayed(policy: Policy, points: &[Point], own: Option<Series>) -> Option<Series> {
    let Some((first, rest)) = points.split_first() else { return own };
    let newest_ns = points.last().map_or(i64::MIN, |point| point.timestamp_ns);
    let own = own.map(|own| own.points()).unwrap_or_default();
    let later = own.iter().filter(|point| point.timestamp_ns > newest_ns);
    let mut series = Series::new(policy, *first);
    rest.iter().chain(later).for_each(|point| series.push(policy, *point));
    Some(series)
}

#[cfg(test)]
mod tests {
    use flyball_model::batch::{Batch, Outcome, Sink as _};
    use flyball_model::labels::Labels;
    use flyball_model::sample::Sample;

    use super::*;
    use crate::store::StoreSettings;

    const NOW_MS: i64 = 1_700_000_100_000;

    /// The answer of a node with one pod, sampled at this time.
    fn batch(at_ms: i64, sweep_interval_ms: Option<u64>) -> Batch {
        let container = [("container", "c"), ("namespace", "ns"), ("pod", "p")];
        let sample = |name: &str, labels: &[(&str, &str)], value: f64| Sample {
            name: name.to_owned(),
            labels: Labels::from_pairs(labels.iter().copied()).unwrap(),
            value,
            timestamp_ms: Some(at_ms),
        };
        let seconds = at_ms as f64 / 1e3 - 1.7e9;
        let samples = vec![
            sample("node_cpu_usage_seconds_total", &[], 10.0 + seconds),
            sample("node_memory_working_set_bytes", &[], 1024.0),
            sample("container_cpu_usage_seconds_total", &container, 5.0 + seconds / 4.0),
            sample("container_memory_working_set_bytes", &container, 2048.0),
            sample("container_start_time_seconds", &container, 1.6e9),
        ];
        Batch {
            node: "n1".to_owned(),
            started_ms: at_ms,
            finished_ms: at_ms,
            outcome: Outcome::Scraped { samples: samples.into(), sweep_interval_ms },
        }
    }

    #[test]
    fn another_store_says_the_same_with_what_it_took() {
        for (sweep, step_ms, rounds) in [(None, 15_000, 5), (Some(1000), 1000, 12)] {
            let (one, other) = (Store::default(), Store::default());
            for round in 0..rounds {
                one.accept(&batch(NOW_MS - 60_000 + round * step_ms, sweep));
            }
            assert_eq!(one.measured_nodes(), ["n1"]);
            assert!(other.take_over(one.history("n1").unwrap(), NOW_MS));
            assert_eq!(other.node("n1", NOW_MS), one.node("n1", NOW_MS));
            assert_eq!(other.pod("ns", "p", NOW_MS), one.pod("ns", "p", NOW_MS));
            assert!(other.pod("ns", "p", NOW_MS).is_ok());
            // Both go on alike.
            let next = batch(NOW_MS - 60_000 + rounds * step_ms, sweep);
            one.accept(&next);
            other.accept(&next);
            assert_eq!(other.pod("ns", "p", NOW_MS), one.pod("ns", "p", NOW_MS));
        }
    }

    #[test]
    fn own_data_is_better_and_nothing_lives_longer() {
        let one = Store::default();
        one.accept(&batch(NOW_MS - 30_000, None));
        one.accept(&batch(NOW_MS - 15_000, None));
        let history = one.history("n1").unwrap();
        let own = Store::default();
        own.accept(&batch(NOW_MS - 1000, None));
        assert!(own.take_over(history.clone(), NOW_MS), "one sample is no usage");
        assert_eq!(own.node("n1", NOW_MS).unwrap().window_ns, 14_000_000_000, "ours follows behind");
        assert!(own.pod("ns", "p", NOW_MS).is_ok());
        assert!(!own.take_over(history.clone(), NOW_MS), "and now it has its own");
        let late = NOW_MS + StoreSettings::default().max_age_ms;
        let other = Store::default();
        assert!(other.take_over(history.clone(), late));
        assert_eq!(other.node("n1", late), one.node("n1", late));
        assert!(other.node("n1", late).is_err(), "too old there is too old here");
        let ahead = NodeHistory { good_ms: i64::MAX, ..history };
        let cautious = Store::default();
        assert!(cautious.take_over(ahead, NOW_MS));
        assert!(cautious.node("n1", NOW_MS + 10 * StoreSettings::default().max_age_ms).is_err());
    }
}
