//! Without root's rights: pods run, are measured and end.

use flyball_e2e::manifests::{burn_deployment, service};
use flyball_e2e::{MINUTE, Setup, Signal, can_be_ordinary, has_kubectl, is_root};

#[test]
fn pods_run_and_are_measured() {
    if !can_be_ordinary() || !has_kubectl() {
        return;
    }
    let started = Setup::default().ordinary_user().start();
    let mut local = started.unwrap_or_else(|error| panic!("flyball local did not start: {error}"));
    if is_root() {
        // Nobody may make control groups, and says so. A user with a session of systemd may.
        let said = local.said();
        let parts =
            ["measured from: processes in /proc", "control groups cannot be made", "limits are not enforced"];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    let kubectl = local.kubectl();
    kubectl.apply(&burn_deployment("web", 2, 0));
    kubectl.apply(&burn_deployment("busy", 1, 1));
    kubectl.apply(&service("web"));
    kubectl.eventually_available(MINUTE, "web", 2);
    kubectl.eventually_available(MINUTE, "busy", 1);
    kubectl.eventually(MINUTE, "all three pods are measured, the busy one at some CPU", || {
        let finished = kubectl.run(&["top", "pods", "--no-headers", "--sort-by", "cpu"]);
        let first = finished.stdout.split_whitespace().take(2).collect::<Vec<_>>();
        let busy = matches!(first[..], [name, cpu] if name.starts_with("busy-") && cpu != "0m");
        if busy && finished.stdout.lines().count() == 3 { Ok(()) } else { Err(finished.to_string()) }
    });
    kubectl.eventually_prints(MINUTE, &["top", "nodes"], "%");
    local.ends_clean(Signal::TERM);
}
