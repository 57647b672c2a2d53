use super::*;
use crate::kubelets::demand::Amount;
use crate::kubelets::meter::FIRST_NS;

fn pod(name: &str, node: &str, containers: &[&str], takes_load: bool) -> SimulatedPod {
    SimulatedPod {
        namespace: "ns".to_owned(),
        name: name.to_owned(),
        node: node.to_owned(),
        app: "app".to_owned(),
        containers: containers
            .iter()
            .map(|name| Running { name: (*name).to_owned(), started_ms: 1_000 })
            .collect(),
        takes_load,
        own: Demand::default(),
        load: Demand { cpu: Some(Amount::cpu("900m").unwrap()), memory: None },
    }
}

fn population() -> Population {
    Population::new(vec!["n0".to_owned(), "n1".to_owned()], 0)
}

fn nanocores(population: &Population) -> Vec<u64> {
    population.usage("ns").into_values().map(|pod| pod.values().map(|one| one.nanocores).sum()).collect()
}

#[test]
fn ready_pods_of_an_app_share_its_load() {
    let mut all = population();
    all.observe(1_000, pod("a", "n0", &["main"], true));
    assert_eq!(nanocores(&all), [900_000_000]);
    all.observe(2_000, pod("b", "n1", &["main"], false));
    assert_eq!(nanocores(&all), [900_000_000, DEFAULT.nanocores], "an unready pod takes nothing of it");
    all.observe(3_000, pod("b", "n1", &["main"], true));
    all.observe(3_000, pod("c", "n1", &["main", "side"], true));
    assert_eq!(nanocores(&all), [300_000_000; 3]);
    all.forget(4_000, &("ns".to_owned(), "a".to_owned()));
    assert_eq!(nanocores(&all), [450_000_000; 2]);
    assert_eq!(all.changed_ms(), 4_000);
}

#[test]
fn what_the_handle_says_has_precedence() {
    let mut all = population();
    all.observe(1_000, pod("a", "n0", &["main", "side"], true));
    let group = ("ns".to_owned(), "app".to_owned());
    let demand = Demand { cpu: Some(Amount::cpu("main=1,side=100m").unwrap()), memory: None };
    all.set_load(2_000, group.clone(), &demand);
    let memory = Demand { cpu: None, memory: Some(Amount::memory("64Mi").unwrap()) };
    all.set_load(3_000, group, &memory);
    let usage = &all.usage("ns")["a"];
    assert_eq!(usage["main"], Usage { nanocores: 1_000_000_000, bytes: 32 << 20 });
    assert_eq!(usage["side"], Usage { nanocores: 100_000_000, bytes: 32 << 20 });
}

#[test]
fn a_change_counts_from_its_moment_on_and_the_node_sums_up() {
    let mut all = population();
    all.observe(1_000, pod("a", "n0", &["main"], true));
    all.observe(11_000, pod("b", "n0", &["main"], true));
    let row = &all.node(0).rows(21_000)[0];
    // 10 s at 900m, then 10 s at 450m.
    assert_eq!((row.pod.1.as_str(), row.reading.cpu_ns), ("a", 13_500_000_000 + FIRST_NS));
    let used: u64 = all.node(0).rows(21_000).iter().map(|row| row.reading.cpu_ns).sum();
    let system = 21 * 100_000_000;
    let node = all.node(0).reading(21_000).unwrap().cpu_ns;
    // The second pod used its default for the ten seconds before it was seen; the node did not know.
    assert_eq!(node, used + system - 10 * DEFAULT.nanocores - FIRST_NS);
}

#[test]
fn a_reset_counter_starts_anew_and_a_seen_pod_keeps_it() {
    let mut all = population();
    all.observe(1_000, pod("a", "n0", &["main"], true));
    let key = ("ns".to_owned(), "a".to_owned());
    assert!(all.reset(5_000, &key, "main"));
    assert!(!all.reset(5_000, &key, "other"));
    all.observe(6_000, pod("a", "n0", &["main"], false));
    let rows = all.node(0).rows(5_000);
    assert_eq!((rows[0].started_ms, rows[0].reading.cpu_ns), (5_000, FIRST_NS));
}

#[test]
fn a_pod_of_another_cluster_part_is_none_of_ours() {
    let mut all = population();
    all.observe(1_000, pod("a", "elsewhere", &["main"], true));
    assert!(all.usage("ns").is_empty());
    all.observe(1_000, pod("a", "n0", &["main"], true));
    all.observe(2_000, pod("a", "elsewhere", &["main"], true));
    assert!(all.usage("ns").is_empty());
    assert_eq!(all.node(0).usage(), crate::kubelets::node::SYSTEM);
}
