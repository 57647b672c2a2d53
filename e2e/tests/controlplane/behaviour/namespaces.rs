//! Autoscalers and whole namespaces that go while the autoscaler is down.

use flyball_e2e::plane::Plane;
use flyball_e2e::{Kubectl, MINUTE, SHORT, Signal};

use super::alone_at_scaling;
use super::stage::{Server, Stage};
use super::workload::{SCALE_LIMIT, autoscaler, eventually_replicas, workload};
use crate::shipped::SYSTEM;

/// Which of these UIDs the stored histories name.
fn remembered(plane: &Plane, uids: &[&str]) -> Vec<bool> {
    let maps = plane.admin().in_namespace(SYSTEM).json(&["get", "configmaps"]).to_string();
    uids.iter().map(|uid| maps.contains(uid)).collect()
}

fn uid(place: &Kubectl, hpa: &str) -> String {
    let object = place.json(&["get", "hpa", hpa]);
    object["metadata"]["uid"].as_str().expect("objects have UIDs").to_owned()
}

#[track_caller]
fn end(mut server: Server) {
    server.program.signal(Signal::TERM);
    let status = server.program.wait(SHORT);
    assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", server.program.state());
}

#[test]
fn what_went_meanwhile_is_forgotten_and_the_rest_is_not() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let (gone, kept) = (stage.place("behaviour-gone"), stage.place("behaviour-kept"));
    let mut metrics = stage.metrics();
    let hpa = stage.hpa(&["--mode=replace"]).ready();
    for (place, name) in [(&gone, "web"), (&kept, "web"), (&kept, "other")] {
        place.apply(&workload("Deployment", name, 1, "140m"));
        place.apply(&autoscaler("apps/v1", "Deployment", name, 5, 300));
    }
    for (place, name) in [(&gone, "web"), (&kept, "web"), (&kept, "other")] {
        eventually_replicas(place, SCALE_LIMIT, &format!("deployment/{name}"), 3);
    }
    let uids = [uid(&gone, "web"), uid(&kept, "web"), uid(&kept, "other")];
    let uids = uids.each_ref().map(String::as_str);
    end(hpa);
    assert_eq!(remembered(&plane, &uids), [true; 3]);

    plane.remove_namespace("behaviour-gone");
    kept.ok(&["delete", "hpa", "other"]);
    // An autoscaler of the same name is another one: it has no past.
    let again = stage.place("behaviour-gone");
    again.apply(&workload("Deployment", "web", 4, "140m"));
    again.apply(&autoscaler("apps/v1", "Deployment", "web", 5, 0));
    again.eventually_available(MINUTE, "web", 4);
    stage.sim.set_load_cpu("behaviour-kept", "web", "50m").expect("an amount");

    let mut hpa = stage.hpa(&["--mode=replace"]).ready();
    plane.admin().eventually(MINUTE, "what is gone is forgotten", || {
        let found = remembered(&plane, &uids);
        if found == [false, true, false] { Ok(()) } else { Err(format!("{found:?}")) }
    });
    eventually_replicas(&again, SCALE_LIMIT, "deployment/web", 3);
    // Its window of five minutes is remembered over the restart.
    let described = kept.eventually_prints(MINUTE, &["describe", "hpa", "web"], "ScaleDownStabilized");
    assert!(described.contains("3 current / 3 desired"), "{described}");

    // While it runs as well.
    plane.remove_namespace("behaviour-gone");
    kept.ok(&["delete", "hpa", "web"]);
    hpa.still_runs();
    metrics.still_runs();
    end(hpa);
    assert_eq!(remembered(&plane, &uids), [false; 3]);
}
