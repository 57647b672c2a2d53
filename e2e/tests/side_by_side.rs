//! Two clusters on one machine, and what is left behind after each way to end.
#![allow(clippy::disallowed_methods, reason = "edge: gives the program a pipe that nobody reads")]

use std::time::Duration;

use flyball_e2e::manifests::{burn_deployment, service};
use flyball_e2e::{Local, MINUTE, SHORT, Signal, eventually, has_kubectl, run_into};

#[test]
fn two_clusters_work_and_leave_nothing_behind() {
    if !has_kubectl() {
        return;
    }
    let mut clusters = [(Local::start(), Signal::INT), (Local::start(), Signal::TERM)];
    // The same names and the same port in both.
    for (local, _) in &clusters {
        local.kubectl().apply(&burn_deployment("web", 2, 0));
        local.kubectl().apply(&service("web"));
    }
    let mut addresses = Vec::new();
    for (local, _) in &clusters {
        let kubectl = local.kubectl();
        kubectl.eventually_available(MINUTE, "web", 2);
        kubectl.eventually_prints(MINUTE, &["top", "pods", "--no-headers"], "web-");
        let ips = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"]);
        addresses.extend(ips.split(' ').map(str::to_owned));
        addresses.push(kubectl.ok(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]));
    }
    let count = addresses.len();
    addresses.sort();
    addresses.dedup();
    assert_eq!((count, addresses.len()), (6, 6), "{addresses:?}");

    let prints = clusters.each_ref().map(|(local, _)| local.footprint());
    for print in &prints {
        // Itself and two pods; the API server, the pods and the Service listen.
        assert!(print.process_count() >= 3 && print.listener_count() >= 4, "{print:?}");
    }
    assert!(prints[0].groups().is_disjoint(prints[1].groups()), "{prints:?}");

    for (local, signal) in &mut clusters {
        local.ends_clean(*signal);
    }
}

#[test]
fn one_cluster_goes_on_when_the_other_ends() {
    if !has_kubectl() {
        return;
    }
    let (mut first, second) = (Local::start(), Local::start());
    for local in [&first, &second] {
        local.kubectl().apply(&burn_deployment("web", 1, 0));
        local.kubectl().eventually_available(MINUTE, "web", 1);
    }
    let pods = second.kubectl().ok(&["get", "pods", "-o", "name"]);
    first.ends_clean(Signal::TERM);
    let kubectl = second.kubectl();
    assert_eq!(kubectl.ok(&["get", "pods", "-o", "name"]), pods);
    assert_eq!(
        kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[0].status.containerStatuses[0].restartCount}"]),
        "0"
    );
    kubectl.ok(&["scale", "deployment/web", "--replicas", "2"]);
    kubectl.eventually_available(MINUTE, "web", 2);
}

#[test]
fn a_panic_leaves_nothing_behind() {
    if !has_kubectl() {
        return;
    }
    let mut local = Local::start();
    local.kubectl().apply(&burn_deployment("web", 2, 0));
    local.kubectl().eventually_available(MINUTE, "web", 2);
    // Its pods start with it; then it cannot print that it is ready, which is a panic.
    let first_run = local.kill9();
    let (reader, nobody_reads) = std::io::pipe().expect("a pipe");
    drop(reader);
    let finished = run_into(local.same_command(), nobody_reads.into(), SHORT);
    assert!(finished.status.is_some_and(|status| !status.success()), "{finished}");
    assert!(finished.stderr.contains("panicked"), "{finished}");
    eventually(
        Duration::from_secs(5),
        "nothing is left behind",
        || finished.to_string(),
        || first_run.left(),
    );
}
