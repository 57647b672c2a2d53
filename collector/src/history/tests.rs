use super::answer::{EventsQuery, HistoryQuery};
use super::store::{Store, Whose};
use super::*;
use crate::details::Details;
use crate::layout::Qos;
use crate::names::{ContainerFacts, ContainerName, NameTable, OomKilledFacts, PodFacts, PodName};
use crate::parse::Limit;
use crate::sample::{ContainerReading, Memory, PodReading, Reading};
use flyball_apiserver::Query;
use serde_json::Value;

/// A machine with pods of one container each, whose sweeps are a second apart.
struct Machine {
    store: Store,
    at_ms: i64,
    pods: Vec<PodReading>,
    containers: Vec<ContainerReading>,
}

fn pod_name(pod: usize) -> Arc<PodName> {
    Arc::new(PodName { namespace: "shop".to_owned(), pod: format!("web-{pod}") })
}

fn reading(nanocores: u64, bytes: u64) -> Reading {
    let memory = Memory {
        usage_bytes: Some(bytes),
        working_set_bytes: Some(bytes),
        rss_bytes: Some(bytes / 2),
        unix_ms: 0,
    };
    Reading { cpu_rate_nanocores: Some(nanocores), memory: Some(memory), ..Reading::default() }
}

impl Machine {
    fn new(limit_bytes: usize) -> Machine {
        let store = Store::with_limit(limit_bytes);
        Machine { store, at_ms: 1_700_000_000_000, pods: Vec::new(), containers: Vec::new() }
    }

    fn add(&mut self, pod: usize, container: &str) {
        if !self.pods.iter().any(|known| *known.uid == *format!("uid{pod}")) {
            self.pods.push(PodReading {
                uid: format!("uid{pod}").into(),
                qos: Qos::Burstable,
                name: Some(pod_name(pod)),
                reading: reading(1_000_000, 4_096),
                path: "/".into(),
                details: Arc::default(),
            });
        }
        let name = ContainerName {
            container: "app".to_owned(),
            pod: pod_name(pod),
            image: String::new(),
            started_unix_ms: None,
        };
        self.containers.push(ContainerReading {
            id: container.into(),
            pod_uid: format!("uid{pod}").into(),
            name: Some(Arc::new(name)),
            pod_name: Some(pod_name(pod)),
            looks_like_sandbox: false,
            reading: reading(1_000_000, 4_096),
            path: "/".into(),
            details: Arc::default(),
        });
    }

    fn remove(&mut self, container: &str) {
        self.containers.retain(|known| *known.id != *container);
    }

    /// A pass of the slower tier over a group.
    fn pass(&mut self, key: &str, change: impl Fn(&mut Details)) {
        let at_ms = self.at_ms + 1_000;
        let pods = self.pods.iter_mut().map(|pod| (&pod.uid, &mut pod.details));
        let containers = self.containers.iter_mut().map(|one| (&one.id, &mut one.details));
        let (_, details) = pods.chain(containers).find(|(known, _)| &***known == key).unwrap();
        let mut new = Details::clone(details);
        new.unix_ms = at_ms;
        change(&mut new);
        *details = Arc::new(new);
    }

    fn oom_kills(&mut self, key: &str, kills: u64) {
        self.pass(key, |details| {
            details.memory.oom_kills = Some(kills);
            details.memory.limit = Some(Limit::Bytes(1 << 20));
        });
    }

    fn sweep(&mut self) {
        self.at_ms += 1_000;
        self.store.record(&Sweep {
            sequence: 1,
            finished_unix_ms: self.at_ms,
            node: reading(5_000_000_000, 1 << 30),
            pods: self.pods.clone(),
            containers: self.containers.clone(),
            ..Sweep::default()
        });
    }

    fn sweeps(&mut self, count: usize) {
        (0..count).for_each(|_| self.sweep());
    }

    fn history(&self, query: &str) -> Result<Value, String> {
        let query = HistoryQuery::parse(&Query::parse(query)).map_err(|refusal| refusal.message)?;
        let (times, copied) = query.copy(&self.store);
        query.answer("node1", &times, &copied).map_err(|refusal| refusal.message)
    }

    fn events(&self, query: &str) -> Vec<Value> {
        let query = EventsQuery::parse(&Query::parse(query)).unwrap();
        let answer = EventsQuery::answer("node1", &query.copy(&self.store));
        answer["events"].as_array().unwrap().clone()
    }
}

#[test]
fn a_window_is_answered_with_statistics_and_points() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    for millicores in 1..=100_u64 {
        machine.containers[0].reading = reading(millicores * 1_000_000, millicores * 4_096);
        machine.sweep();
    }
    let answer = machine.history("pod=shop/web-1&container=app&window=10s&step=5s").unwrap();
    let expected = serde_json::json!({
        "node": "node1",
        "pod": {"namespace": "shop", "name": "web-1"},
        "container": "app",
        "from": "2023-11-14T22:14:50Z",
        "to": "2023-11-14T22:15:00Z",
        "instances": [{
            "podUid": "uid1", "containerId": "c1", "isRunning": true,
            "firstTime": "2023-11-14T22:14:51Z", "lastTime": "2023-11-14T22:15:00Z",
            "cpu": {"samples": 10, "averageNanoCores": 95_507_200, "maxNanoCores": 100_032_000,
                    "p50NanoCores": 94_976_000, "p95NanoCores": 100_032_000, "p99NanoCores": 100_032_000},
            "memory": {
                "workingSet": {"samples": 10, "averageBytes": 391_168, "maxBytes": 409_600, "p50Bytes": 389_120,
                               "p95Bytes": 409_600, "p99Bytes": 409_600},
                "rss": {"samples": 10, "averageBytes": 196_608, "maxBytes": 204_800, "p50Bytes": 196_608,
                        "p95Bytes": 204_800, "p99Bytes": 204_800},
            },
            "points": [
                {"time": "2023-11-14T22:14:55Z", "cpuAverageNanoCores": 93_004_800, "cpuMaxNanoCores": 94_976_000,
                 "workingSetAverageBytes": 380_928, "workingSetMaxBytes": 389_120,
                 "rssAverageBytes": 191_693, "rssMaxBytes": 196_608},
                {"time": "2023-11-14T22:15:00Z", "cpuAverageNanoCores": 98_009_600, "cpuMaxNanoCores": 100_032_000,
                 "workingSetAverageBytes": 401_408, "workingSetMaxBytes": 409_600,
                 "rssAverageBytes": 201_523, "rssMaxBytes": 204_800},
            ],
        }],
    });
    assert_eq!(answer, expected, "{answer:#}");
    let node = machine.history("window=1m").unwrap();
    assert_eq!(node["instances"][0]["cpu"]["samples"], 60);
    assert_eq!(machine.history("pod=shop/web-1").unwrap()["instances"][0]["podUid"], "uid1");
}

#[test]
fn a_bad_parameter_is_named() {
    let mut machine = Machine::new(LIMIT_BYTES);
    assert!(machine.history("").unwrap_err().contains("first sweep"));
    machine.add(1, "c1");
    machine.sweep();
    for (query, named) in [
        ("pod=web", "parameter pod:"),
        ("pod=/web", "parameter pod:"),
        ("pod=a/b/c", "parameter pod:"),
        ("container=app", "parameter container:"),
        ("pod=shop/web-1&container=", "parameter container:"),
        ("window=5", "parameter window:"),
        ("window=16m", "parameter window:"),
        ("window=0s", "parameter window:"),
        ("step=1us", "parameter step:"),
        ("window=15m&step=500ms", "parameter step:"),
        ("pod=shop/web-2", "no history of pod shop/web-2"),
        ("pod=shop/web-1&container=side", "no history of container side of pod shop/web-1"),
    ] {
        assert!(machine.history(query).unwrap_err().contains(named), "{query}");
    }
    for (query, named) in
        [("kind=x", "parameter kind:"), ("since=now", "parameter since:"), ("pod=", "parameter pod:")]
    {
        let refusal = EventsQuery::parse(&Query::parse(query)).unwrap_err();
        assert!(refusal.message.contains(named) && refusal.status == 400, "{query}");
    }
}

#[test]
fn absent_values_and_missed_sweeps_are_gaps() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    machine.sweeps(3);
    machine.containers[0].reading = Reading::default();
    machine.sweeps(3);
    machine.containers[0].reading = reading(9_000_000, 4_096);
    machine.at_ms += 7_000;
    machine.sweep();
    let answer = machine.history("pod=shop/web-1&container=app&step=1s").unwrap();
    let instance = &answer["instances"][0];
    assert_eq!(instance["cpu"]["samples"], 4);
    // Three seconds of 1 m (the first of all stands for nothing), eight of 9 m.
    let average = instance["cpu"]["averageNanoCores"].as_u64().unwrap();
    assert!((7_390_000..7_410_000).contains(&average), "{average}");
    let points = instance["points"].as_array().unwrap();
    assert_eq!(points.len(), 7);
    assert_eq!(points[4].as_object().unwrap().len(), 1, "a time and no value");
}

#[test]
fn a_history_outlives_its_group_for_as_long_as_it_reaches() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    machine.sweeps(20);
    machine.remove("c1");
    machine.add(1, "c2");
    machine.sweeps(40);
    let answer = machine.history("pod=shop/web-1&container=app").unwrap();
    let of = |at: usize, field: &str| answer["instances"][at][field].clone();
    assert_eq!((of(0, "containerId"), of(0, "isRunning")), ("c2".into(), true.into()));
    assert_eq!((of(1, "containerId"), of(1, "isRunning")), ("c1".into(), false.into()));
    machine.sweeps(DEPTH_SWEEPS as usize + chunk::SAMPLES_LIMIT as usize);
    let answer = machine.history("pod=shop/web-1&container=app").unwrap();
    assert_eq!(answer["instances"].as_array().unwrap().len(), 1);
    assert_eq!(machine.store.recorded().groups, 2);
    let copied = machine.store.copy(Whose::Container(&pod_name(1), "app"), 0);
    let samples: u32 = copied[0].chunks.iter().map(|chunk| chunk.samples).sum();
    assert!(
        samples >= DEPTH_SWEEPS as u32 && samples <= DEPTH_SWEEPS as u32 + 2 * chunk::SAMPLES_LIMIT,
        "{samples}"
    );
}

#[test]
fn the_limit_shortens_the_longest_first_and_then_leaves_out_new_groups() {
    const LIMIT: usize = 200_000;
    let mut machine = Machine::new(LIMIT);
    (0..100).for_each(|pod| machine.add(pod, &format!("c{pod}")));
    for step in 0..400_u64 {
        for (at, container) in machine.containers.iter_mut().enumerate() {
            container.reading =
                reading(step * 7_777_777 + at as u64 * 1_000_003, (step * 97 % 1_000 + 50) << 12);
        }
        machine.sweep();
        let recorded = machine.store.recorded();
        // A chunk of each group may have been opened since the last look.
        assert!(recorded.cost_bytes < LIMIT + 100 * 2 * chunk::BYTES_LIMIT, "{recorded:?}");
    }
    let recorded = machine.store.recorded();
    assert!(recorded.depth_sweeps < DEPTH_SWEEPS && recorded.forgotten_early > 0, "{recorded:?}");
    assert_eq!(recorded.left_out, 0);
    let mut machine = Machine::new(20_000);
    (0..100).for_each(|pod| machine.add(pod, &format!("c{pod}")));
    machine.sweeps(100);
    let recorded = machine.store.recorded();
    assert_eq!(recorded.depth_sweeps, LEAST_DEPTH_SWEEPS);
    assert!(recorded.left_out > 0 && recorded.groups + recorded.left_out == 200, "{recorded:?}");
}

#[test]
fn a_containers_counter_makes_one_event() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    machine.oom_kills("c1", 4);
    machine.sweeps(2);
    assert!(machine.events("").is_empty(), "it was killed before we were there");
    machine.oom_kills("c1", 5);
    machine.oom_kills("uid1", 5);
    machine.sweeps(2);
    machine.oom_kills("c1", 7);
    machine.sweeps(30);
    let expected = serde_json::json!([{
        "kind": "oom_kill", "count": 3, "evidence": "containerCounter", "limitBytes": 1_048_576,
        "pod": {"uid": "uid1", "namespace": "shop", "name": "web-1"}, "container": {"id": "c1", "name": "app"},
        "afterTime": "2023-11-14T22:13:21Z", "firstTime": "2023-11-14T22:13:23Z",
        "lastTime": "2023-11-14T22:13:25Z", "endTime": "2023-11-14T22:13:25Z",
    }]);
    assert_eq!(Value::from(machine.events("pod=shop/web-1&kind=oom_kill")), expected);
    assert!(machine.events("pod=shop/web-2").is_empty() && machine.events("kind=throttling").is_empty());
    assert!(machine.events("since=2023-11-14T22:13:26Z").is_empty());
}

#[test]
fn the_pods_counter_tells_of_a_container_that_went() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    machine.oom_kills("c1", 0);
    machine.oom_kills("uid1", 0);
    machine.sweeps(2);
    machine.remove("c1");
    machine.oom_kills("uid1", 1);
    machine.add(1, "c2");
    machine.oom_kills("c2", 0);
    machine.sweep();
    let events = machine.events("");
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["container"]["id"], &events[0]["evidence"]), (&"c1".into(), &"podCounter".into()));
    // Killed before it was ever read: a new group's first count is news, and the pod's is no second event.
    machine.oom_kills("uid1", 2);
    machine.remove("c2");
    machine.add(1, "c3");
    machine.oom_kills("c3", 1);
    machine.sweeps(100);
    let events = machine.events("");
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(
        (&events[0]["container"]["id"], &events[0]["evidence"]),
        (&"c3".into(), &"containerCounter".into())
    );
}

#[test]
fn a_pods_kills_wait_for_containers_that_were_not_read_since() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    machine.oom_kills("c1", 0);
    machine.oom_kills("uid1", 0);
    machine.sweep();
    machine.oom_kills("uid1", 1);
    machine.sweeps(5);
    assert!(machine.events("").is_empty());
    machine.sweeps(20);
    let events = machine.events("");
    assert_eq!(
        (events.len(), &events[0]["container"]),
        (1, &Value::Null),
        "nobody told of it: the pod's own"
    );
}

#[test]
fn a_status_tells_of_what_no_counter_did() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    machine.oom_kills("uid1", 0);
    machine.sweep();
    let began_ms = machine.at_ms;
    machine.remove("c1");
    let table = |ids: &[(&str, i64)]| {
        let mut table = NameTable::default();
        let containers = ids.iter().map(|(id, unix_ms)| ContainerFacts {
            name: "app".to_owned(),
            id: format!("containerd://new-{id}"),
            oom_killed: Some(OomKilledFacts { id: format!("containerd://{id}"), unix_ms: *unix_ms }),
            ..ContainerFacts::default()
        });
        table.apply(&PodFacts {
            uid: "uid1".to_owned(),
            cgroup_uid: "uid1".to_owned(),
            name: (*pod_name(1)).clone(),
            containers: containers.collect(),
            sandboxes: Vec::new(),
            volumes: None,
        });
        table
    };
    let statuses = table(&[("c1", began_ms + 2_000), ("c0", began_ms - 3_600_000)]);
    for _ in 0..3 {
        machine.sweep();
        oom::take_statuses(&mut machine.store, &statuses);
    }
    let events = machine.events("");
    assert_eq!(events.len(), 1, "once, and not the one of an hour ago: {events:?}");
    assert_eq!((&events[0]["container"]["id"], &events[0]["evidence"]), (&"c1".into(), &"podStatus".into()));
    // The pod's counter comes later and is about the same kill.
    machine.oom_kills("uid1", 1);
    machine.sweeps(2);
    let events = machine.events("");
    assert_eq!(
        (events.len(), &events[0]["count"], &events[0]["evidence"]),
        (1, &1.into(), &"podCounter".into())
    );
    assert_eq!(machine.store.recorded().events, [1, 0]);
}

#[test]
fn throttling_is_one_event_from_beginning_to_end() {
    let mut machine = Machine::new(LIMIT_BYTES);
    machine.add(1, "c1");
    for pass in 0..20_u64 {
        let heavy = pass.min(8);
        machine.pass("c1", |details| {
            details.cpu.periods = Some(pass * 100);
            details.cpu.throttled_periods = Some(heavy * 50);
            details.cpu.throttled_ns = Some(heavy * 1_500_000_000);
            details.cpu.quota_us = Some(Limit::Bytes(50_000));
            details.cpu.period_us = Some(100_000);
        });
        machine.sweeps(10);
    }
    let expected = serde_json::json!([{
        "kind": "throttling", "count": 1, "periods": 800, "throttledPeriods": 400, "throttledPercent": 50,
        "throttledSeconds": 12.0, "quotaMicroseconds": 50_000, "periodMicroseconds": 100_000,
        "pod": {"uid": "uid1", "namespace": "shop", "name": "web-1"}, "container": {"id": "c1", "name": "app"},
        "firstTime": "2023-11-14T22:13:21Z", "lastTime": "2023-11-14T22:14:41Z", "endTime": "2023-11-14T22:14:41Z",
    }]);
    assert_eq!(Value::from(machine.events("")), expected);
}

/// Prints what recording costs; run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "measures time")]
fn cost_of_recording() {
    for busy in [false, true] {
        let mut machine = Machine::new(LIMIT_BYTES);
        (0..1_000).for_each(|pod| machine.add(pod, &format!("{pod:064}")));
        let mut sweep =
            Sweep { pods: machine.pods.clone(), containers: machine.containers.clone(), ..Sweep::default() };
        let mut worst = std::time::Duration::ZERO;
        let mut all = std::time::Duration::ZERO;
        for step in 0..1_000_u64 {
            for (at, container) in sweep.containers.iter_mut().enumerate().filter(|_| busy) {
                let noise = (step * 2_654_435_761 + at as u64 * 40_503) >> 4;
                container.reading = reading(noise % 800_000_000, (noise % 5_000 + 20_000) << 12);
                sweep.pods[at].reading = container.reading;
            }
            sweep.finished_unix_ms += 1_000;
            let started = std::time::Instant::now();
            machine.store.record(&sweep);
            let took = started.elapsed();
            (all, worst) = (all + took, worst.max(took));
        }
        let recorded = machine.store.recorded();
        println!(
            "busy {busy}: {} ns per group and sweep, worst sweep {worst:?}, {} bytes, {:.1} per container and sweep",
            all.as_nanos() / 1_000 / 2_000,
            recorded.cost_bytes,
            recorded.cost_bytes as f64 / 1_000.0 / 900.0
        );
    }
}
