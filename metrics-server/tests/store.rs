//! The store over whole batches: what is served, what is missing, and why.
#![allow(clippy::unwrap_used, reason = "a test")]

use flyball_metrics_server::store::Counts;
use flyball_metrics_server::{Store, StoreSettings};
use flyball_model::batch::{Batch, Outcome, Sink as _};
use flyball_model::labels::Labels;
use flyball_model::sample::Sample;

const T0: i64 = 1_700_000_000_000;

fn sample(name: &str, labels: &[(&str, &str)], value: f64, timestamp_ms: i64) -> Sample {
    let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
    Sample { name: name.to_owned(), labels, value, timestamp_ms: Some(timestamp_ms) }
}

/// A node's answer under construction.
struct Answer {
    node: &'static str,
    at_ms: i64,
    samples: Vec<Sample>,
}

impl Answer {
    fn new(node: &'static str, at_ms: i64, cpu_s: f64) -> Answer {
        let samples = vec![
            sample("node_cpu_usage_seconds_total", &[], cpu_s, at_ms),
            sample("node_memory_working_set_bytes", &[], 4096.0, at_ms),
        ];
        Answer { node, at_ms, samples }
    }

    fn container(
        mut self,
        pod: &str,
        container: &str,
        cpu_s: f64,
        memory: f64,
        start_s: Option<f64>,
    ) -> Answer {
        let labels = [("namespace", "ns"), ("pod", pod), ("container", container)];
        self.samples.push(sample("container_cpu_usage_seconds_total", &labels, cpu_s, self.at_ms));
        self.samples.push(sample("container_memory_working_set_bytes", &labels, memory, self.at_ms));
        if let Some(start_s) = start_s {
            self.samples.push(sample("container_start_time_seconds", &labels, start_s, self.at_ms));
        }
        self
    }

    fn send(self, store: &Store, collector: bool) {
        let sweep_interval_ms = collector.then_some(1000);
        let outcome = Outcome::Scraped { samples: self.samples.into(), sweep_interval_ms };
        let batch =
            Batch { node: self.node.to_owned(), started_ms: self.at_ms, finished_ms: self.at_ms, outcome };
        store.accept(&batch);
    }
}

fn fail(store: &Store, node: &str, at_ms: i64, reason: &str) {
    let outcome = Outcome::Failed { reason: reason.to_owned() };
    store.accept(&Batch { node: node.to_owned(), started_ms: at_ms, finished_ms: at_ms, outcome });
}

fn store() -> Store {
    Store::new(StoreSettings::default())
}

fn why(store: &Store, pod: &str, now_ms: i64) -> String {
    store.pod("ns", pod, now_ms).unwrap_err().to_string()
}

#[test]
fn a_pod_needs_all_its_containers() {
    let store = store();
    assert_eq!(why(&store, "p", T0), "no node has reported the pod yet");
    assert_eq!(store.node("n1", T0).unwrap_err().to_string(), "node n1 has not been scraped yet");

    Answer::new("n1", T0, 100.0).container("p", "a", 1.0, 1024.0, None).send(&store, false);
    assert_eq!(why(&store, "p", T0), "usage needs two samples, and there is one so far of container a");

    let second = Answer::new("n1", T0 + 15_000, 103.0);
    second.container("p", "a", 1.5, 1024.0, None).container("p", "b", 1.0, 1024.0, None).send(&store, false);
    assert_eq!(
        why(&store, "p", T0 + 15_000),
        "usage needs two samples, and there is one so far of container b"
    );

    let third = Answer::new("n1", T0 + 30_000, 106.0);
    third.container("p", "a", 3.0, 1024.0, None).container("p", "b", 4.0, 2048.0, None).send(&store, false);
    let usage = store.pod("ns", "p", T0 + 30_000).unwrap();
    let cpu: Vec<(&str, u64)> =
        usage.containers.iter().map(|(name, usage)| (name.as_str(), usage.cpu_nanocores)).collect();
    assert_eq!(cpu, [("a", 100_000_000), ("b", 200_000_000)]);
    assert_eq!(store.node("n1", T0 + 30_000).unwrap().cpu_nanocores, 200_000_000);
    assert_eq!(store.counts(T0 + 30_000), Counts { nodes: 1, pods: 1, containers: 2 });

    Answer::new("n1", T0 + 45_000, 109.0).container("p", "a", 4.5, 1024.0, None).send(&store, false);
    assert_eq!(
        store.pod("ns", "p", T0 + 45_000).unwrap().containers.len(),
        1,
        "a container that ended is left out"
    );
}

#[test]
fn kubelet_pods_with_a_half_read_container_are_withheld() {
    let store = store();
    for round in 0..3 {
        let at_ms = T0 + round * 15_000;
        let cpu_s = 1.0 + round as f64;
        let answer = Answer::new("n1", at_ms, 100.0 + cpu_s).container("p", "a", cpu_s, 1024.0, None);
        let answer = if round == 1 { answer.container("p", "new", 0.0, 1024.0, None) } else { answer };
        answer.send(&store, false);
        if round == 1 {
            let reason = "container new has no CPU time or working set in the answer of node n1";
            assert_eq!(why(&store, "p", at_ms), reason);
        }
    }
    let reason = "usage needs two samples, and there is one so far of container a";
    assert_eq!(why(&store, "p", T0 + 30_000), reason, "upstream starts again");
}

/// Edge case 8: upstream hides the pod for as long as such a container is reported.
#[test]
fn an_ended_container_is_left_out_and_hides_nothing() {
    let store = store();
    for round in 0..3 {
        let at_ms = T0 + round * 15_000;
        let mut answer = Answer::new("n1", at_ms, 100.0 + round as f64)
            .container("p", "a", 1.0 + round as f64, 1024.0, None)
            .container("p", "init", 1.0, 0.0, Some(T0 as f64 / 1e3 - 60.0))
            .container("done", "only", 1.0, 0.0, None);
        let labels = [("namespace", "ns"), ("pod", "p"), ("container", "waits")];
        answer.samples.push(sample("container_start_time_seconds", &labels, 1.7e9, at_ms));
        answer.send(&store, false);
    }
    let usage = store.pod("ns", "p", T0 + 30_000).unwrap();
    let names: Vec<&str> = usage.containers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a"]);
    let reason = "container only has no CPU time or working set in the answer of node n1";
    assert_eq!(why(&store, "done", T0 + 30_000), reason);
    assert_eq!(store.counts(T0 + 30_000), Counts { nodes: 1, pods: 1, containers: 1 });
}

/// A container that ended and came back begins anew.
#[test]
fn a_container_that_comes_back_needs_two_samples() {
    let store = store();
    let round = |round: i64, cpu_s: f64, memory: f64| {
        let at_ms = T0 + round * 15_000;
        Answer::new("n1", at_ms, 100.0 + round as f64)
            .container("p", "a", 1.0 + round as f64, 1024.0, None)
            .container("p", "b", cpu_s, memory, None)
            .send(&store, false);
        store.pod("ns", "p", at_ms).map(|pod| pod.containers.len()).ok()
    };
    let served =
        [round(0, 5.0, 9.0), round(1, 6.0, 9.0), round(2, 6.0, 0.0), round(3, 0.5, 9.0), round(4, 0.7, 9.0)];
    assert_eq!(served, [None, Some(2), Some(1), None, Some(2)]);
}

#[test]
fn a_collectors_zero_is_a_reading_and_a_kubelets_is_none() {
    // Accounted by process, an idle container has used less than a clock tick for hours.
    for (id, collector, expected) in [("collector", true, Some(0)), ("kubelet", false, None)] {
        let store = store();
        for round in 0..3 {
            let at_ms = T0 + round * 15_000;
            Answer::new("n1", at_ms, 100.0 + round as f64)
                .container("p", "idle", 0.0, 1024.0, None)
                .send(&store, collector);
        }
        let usage = store.pod("ns", "p", T0 + 30_000).ok();
        assert_eq!(usage.map(|pod| pod.containers[0].1.cpu_nanocores), expected, "{id}");
    }
    // What the collector could not read it leaves out.
    let store = store();
    let mut answer = Answer::new("n1", T0, 100.0).container("p", "unread", 0.0, 1024.0, None);
    answer.samples.retain(|sample| sample.name != "container_cpu_usage_seconds_total");
    answer.send(&store, true);
    let reason = "container unread has no CPU time or working set in the answer of node n1";
    assert_eq!(why(&store, "p", T0), reason);
}

#[test]
fn the_pods_time_is_its_earliest_containers() {
    let store = store();
    for (round, skew_ms) in [(0, 0), (1, 0), (2, 0)] {
        let at_ms = T0 + round * 15_000 + skew_ms;
        let mut answer =
            Answer::new("n1", at_ms, 100.0 + round as f64).container("p", "a", 1.0 + round as f64, 1.0, None);
        answer.at_ms -= 4_000 + round * 10;
        answer.container("p", "b", 1.0 + round as f64, 1.0, None).send(&store, false);
    }
    let usage = store.pod("ns", "p", T0 + 30_000).unwrap();
    assert_eq!(usage.timestamp_ns, Some((T0 + 30_000 - 4_020) * 1_000_000));
    assert_eq!(usage.window_ns, 14_990_000_000);
}

#[test]
fn a_failed_scrape_takes_nothing_away_for_a_minute() {
    let store = store();
    for round in 0..2 {
        let at_ms = T0 + round * 15_000;
        Answer::new("n1", at_ms, 100.0 + round as f64)
            .container("p", "a", 1.0 + round as f64, 1.0, None)
            .send(&store, false);
    }
    let good = T0 + 15_000;
    let before = store.pod("ns", "p", good).unwrap();
    fail(&store, "n1", good + 15_000, "time-out after 10 s while connecting (10.0.0.1:10250)");
    assert_eq!(store.pod("ns", "p", good + 59_000).unwrap(), before, "true timestamps");
    assert!(store.node("n1", good + 60_000).is_ok());
    assert_eq!(store.why_nothing(good + 60_000), None);

    let gone =
        "the last good scrape of node n1 is 61 s ago: time-out after 10 s while connecting (10.0.0.1:10250)";
    assert_eq!(why(&store, "p", good + 61_000), gone);
    assert_eq!(store.node("n1", good + 61_000).unwrap_err().to_string(), gone);
    assert_eq!(store.counts(good + 61_000), Counts::default());
    let nothing = store.why_nothing(good + 61_000).unwrap();
    assert!(
        nothing.starts_with("no node has been measured in the last 60 s; node n1: time-out"),
        "{nothing}"
    );

    Answer::new("n1", good + 75_000, 106.0).container("p", "a", 7.0, 1.0, None).send(&store, false);
    let back = store.pod("ns", "p", good + 75_000).unwrap();
    assert_eq!(back.window_ns, 75_000_000_000, "one good scrape is enough: the window spans the gap");
}

#[test]
fn a_node_that_never_answered_says_so() {
    let store = store();
    assert_eq!(store.why_nothing(T0).unwrap(), "no node has been scraped yet");
    fail(&store, "n1", T0, "cannot connect to 10.0.0.1:10250: refused");
    let reason = "node n1 has never been scraped with success: cannot connect to 10.0.0.1:10250: refused";
    assert_eq!(store.node("n1", T0).unwrap_err().to_string(), reason);
    assert!(store.why_nothing(T0).unwrap().contains("refused"));
}

#[test]
fn pods_and_nodes_disappear() {
    let store = store();
    for round in 0..2 {
        let at_ms = T0 + round * 1000;
        let cpu_s = 1.0 + round as f64;
        Answer::new("n1", at_ms, cpu_s)
            .container("p", "a", cpu_s, 1.0, None)
            .container("q", "a", cpu_s, 1.0, None)
            .send(&store, true);
    }
    Answer::new("n1", T0 + 2000, 3.0).container("q", "a", 3.0, 1.0, None).send(&store, true);
    assert_eq!(why(&store, "p", T0 + 2000), "no node has reported the pod yet");
    assert!(store.pod("ns", "q", T0 + 2000).is_ok());
    store.retain_nodes(|_| false);
    assert_eq!(why(&store, "q", T0 + 2000), "no node has reported the pod yet");
    assert_eq!(store.node("n1", T0 + 2000).unwrap_err().to_string(), "node n1 has not been scraped yet");
}

#[test]
fn a_pod_on_two_nodes_belongs_to_the_newer_start() {
    let store = store();
    let start_s = T0 as f64 / 1000.0;
    let send = |node, at_ms: i64, cpu_s: f64, start_s: f64| {
        Answer::new(node, at_ms, 100.0 + at_ms as f64 / 1e9)
            .container("p", "a", cpu_s, 1.0, Some(start_s))
            .send(&store, true);
    };
    send("n1", T0, 50.0, start_s - 500.0);
    send("n1", T0 + 1000, 51.0, start_s - 500.0);
    send("n2", T0 + 3000, 0.4, start_s + 1.0);
    assert_eq!(store.pod("ns", "p", T0 + 3000).unwrap().containers[0].1.cpu_nanocores, 200_000_000);
    send("n1", T0 + 3500, 53.0, start_s - 500.0);
    assert_eq!(
        store.pod("ns", "p", T0 + 3500).unwrap().containers[0].1.cpu_nanocores,
        200_000_000,
        "the old node is late"
    );
    Answer::new("n1", T0 + 4500, 200.0).send(&store, true);
    assert!(store.pod("ns", "p", T0 + 4500).is_ok(), "the old node's word that it is gone changes nothing");
    fail(&store, "n2", T0 + 5000, "gone");
    assert!(store.pod("ns", "p", T0 + 5000).is_ok());
}

#[test]
fn restart_within_a_second_keeps_a_collectors_pod_served() {
    let store = store();
    let start_s = T0 as f64 / 1000.0;
    for second in 0..5 {
        let at_ms = T0 + second * 1000;
        Answer::new("n1", at_ms, 10.0 + second as f64)
            .container("p", "a", 1.0 + second as f64, 1.0, Some(start_s - 50.0))
            .send(&store, true);
    }
    Answer::new("n1", T0 + 6000, 16.0).container("p", "a", 0.15, 1.0, Some(start_s + 4.5)).send(&store, true);
    let usage = store.pod("ns", "p", T0 + 6000).unwrap();
    assert_eq!((usage.containers[0].1.cpu_nanocores, usage.window_ns), (100_000_000, 1_500_000_000));
}

/// Edge case 14: what is not a measurement is absent.
#[test]
fn odd_values_are_absent() {
    for (id, value) in [("NaN", f64::NAN), ("infinite", f64::INFINITY), ("negative", -1.0), ("zero", 0.0)] {
        let store = store();
        for round in 0..2 {
            let at_ms = T0 + round * 15_000;
            Answer::new("n1", at_ms, 100.0 + round as f64)
                .container("p", "a", value, 1024.0, None)
                .send(&store, false);
        }
        assert!(why(&store, "p", T0 + 15_000).starts_with("container a has no CPU time"), "{id}");
    }
}

#[test]
fn missing_labels_and_timestamps() {
    let store = store();
    for round in 0..2 {
        let at_ms = T0 + round * 15_000;
        let mut answer =
            Answer::new("n1", at_ms, 100.0 + round as f64).container("p", "a", 1.0 + round as f64, 1.0, None);
        answer.samples.push(sample("container_cpu_usage_seconds_total", &[("pod", "p")], 1.0, at_ms));
        answer.samples.push(sample(
            "pod_cpu_usage_seconds_total",
            &[("pod", "p"), ("namespace", "ns")],
            1.0,
            at_ms,
        ));
        answer.samples.iter_mut().for_each(|sample| sample.timestamp_ms = None);
        answer.send(&store, false);
    }
    assert_eq!(
        store.pod("ns", "p", T0 + 15_000).unwrap().window_ns,
        15_000_000_000,
        "the request's time stands in"
    );
}
