//! The control plane goes away in the midst of scaling, and comes back.

use std::time::Duration;

use flyball_e2e::plane::{Part, Plane};
use flyball_e2e::{MINUTE, full, skipped, steady};

use super::alone_at_scaling;
use super::audit::{keep, only_the_leader_wrote, rise_and_fall, writes};
use super::stage::{HPA, Server, Stage};
use super::workload::{SCALE_LIMIT, autoscaler, eventually_replicas, replicas, workload};

const PLACE: &str = "behaviour-outages";

/// The scene of both tests: an application on its way from one replica over five to eight.
fn scale_out_through(plane: &Plane, place_name: &str, outage: impl FnOnce()) {
    keep(plane);
    let before = writes(plane).len();
    let stage = Stage::set(plane, 1);
    let place = stage.place(place_name);
    let mut metrics = stage.metrics();
    let mut hpa = stage.hpa(&["--mode=replace"]).ready();
    let old = autoscaler("apps/v1", "Deployment", "web", 10, 15);
    place.apply(&workload("Deployment", "web", 1, "40m"));
    place.apply(&old);
    place.eventually_available(MINUTE, "web", 1);
    stage.sim.set_load_cpu(place_name, "web", "380m").expect("an amount");
    // Four more at once, and then none for a quarter of a minute: that is the midst.
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 5);
    outage();
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 8);
    stage.eventually_available();

    // The watches go on: of pods, of autoscalers that change, come and go.
    place.apply(&workload("Deployment", "late", 1, "140m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "late", 10, 0));
    eventually_replicas(&place, SCALE_LIMIT, "deployment/late", 3);
    place.ok(&["patch", "hpa", "web", "--type=merge", "--patch", r#"{"spec":{"maxReplicas":6}}"#]);
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 6);
    place.ok(&["delete", "hpa", "late"]);
    stage.sim.set_load_cpu(place_name, "late", "500m").expect("an amount");
    stage.sim.set_load_cpu(place_name, "web", "95m").expect("an amount");
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 2);
    assert_eq!(replicas(&place, "deployment/late"), 3, "its autoscaler is gone");
    metrics.still_runs();
    hpa.still_runs();

    let writes = writes(plane).split_off(before);
    let counts: Vec<_> = writes.iter().filter(|it| it.name == "web").filter_map(|it| it.replicas()).collect();
    let stages = [5, 8, 6, 2].iter().all(|stage| counts.contains(stage));
    assert!(stages && rise_and_fall(&counts, 8) && counts.last() == Some(&2), "{counts:?} of {writes:#?}");
    only_the_leader_wrote(&writes, HPA);
}

#[test]
fn a_restart_of_the_api_server_scales_nothing_wrongly() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    scale_out_through(&plane, PLACE, || {
        plane.kill(Part::ApiServer);
        plane.start_part(Part::ApiServer);
    });
}

#[test]
fn a_pause_of_the_store_scales_nothing_wrongly() {
    if !full() {
        return skipped("only in full form: FLYBALL_E2E=full");
    }
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    scale_out_through(&plane, "behaviour-store", || {
        plane.stop(Part::Etcd);
        // Longer than the Lease holds.
        steady(
            Duration::from_secs(30),
            "the store is away",
            || plane.state(),
            || {
                let finished = plane.admin().run(&["get", "--raw", "/readyz", "--request-timeout=2s"]);
                if finished.success() { Err(finished.to_string()) } else { Ok(()) }
            },
        );
        plane.start_part(Part::Etcd);
    });
}

#[test]
fn programs_that_start_first_wait_for_the_api_server() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let place = stage.place("behaviour-first");
    place.apply(&workload("Deployment", "web", 1, "140m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "web", 10, 0));
    let [metrics, hpa] = stage.started_when(|| plane.kill(Part::ApiServer));
    let answers = |server: &Server| {
        plane.admin().eventually(MINUTE, "the program serves its probes", || {
            let answer = server.anonymous("/livez")?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        });
    };
    hpa.says(MINUTE, "cannot be reached yet");
    metrics.says(MINUTE, "cannot be reached");
    answers(&hpa);
    answers(&metrics);
    plane.start_part(Part::ApiServer);
    stage.serve(&[&metrics]);
    let (_metrics, _hpa) = (metrics.ready(), hpa.ready());
    stage.eventually_available();
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 3);
}
