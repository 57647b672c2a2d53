//! Pods as the API server and the kubelet list them.

#![no_main]

use flyball_collector::kubelet_pods::names_in;
use flyball_collector::names::NameTable;
use flyball_collector::watch::facts;
use k8s_openapi::api::core::v1::Pod;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pods: Vec<Pod> = match serde_json::from_slice(bytes) {
        Ok(pods) => pods,
        Err(_) => serde_json::from_slice(bytes).map_or(Vec::new(), |pod| vec![pod]),
    };
    let _ = names_in(bytes);
    let mut table = NameTable::default();
    for facts in pods.iter().filter_map(facts) {
        table.apply(&facts);
        assert!(table.pod(&facts.cgroup_uid).is_some());
    }
    for uid in pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()) {
        table.remove(uid);
    }
    assert!(table.is_empty(), "what was taken is given back");
});
