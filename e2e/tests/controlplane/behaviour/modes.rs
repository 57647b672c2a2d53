//! Beside the built-in loop of HPAs, and beside another Flyball: who scales, and who says why it does not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use flyball_e2e::plane::{Part, Plane};
use flyball_e2e::{Kubectl, MINUTE, full};

use super::manifests::Manifests;
use super::stage::{HPA, Stage};
use super::workload::{SCALE_LIMIT, autoscaler, eventually_replicas, workload};
use super::{alone_at_scaling, holds};
use crate::shipped::SYSTEM;

const PLACE: &str = "behaviour-modes";

/// Namespace of the second install.
const SECOND: &str = "flyball-second";

/// Longest time to find out that nobody else scales: two silent questions, and a minute of silence before.
const SILENCE_LIMIT: Duration = Duration::from_secs(180);

/// The field managers that have written an HPA's status.
fn managers(place: &Kubectl, hpa: &str) -> Vec<String> {
    let object = place.json(&["get", "hpa", hpa, "--show-managed-fields"]);
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let of_status = entries.iter().filter(|entry| entry["subresource"] == "status");
    of_status.filter_map(|entry| entry["manager"].as_str().map(str::to_owned)).collect()
}

/// Events about the Lease of an install.
fn lease_events(plane: &Plane, namespace: &str) -> String {
    let field = format!("--field-selector=involvedObject.name={HPA}");
    plane.admin().in_namespace(namespace).ok(&["get", "events", &field])
}

/// What the built-in loop makes of the status of a new HPA.
fn built_in_answers(place: &Kubectl, name: &str) {
    place.eventually(MINUTE, "the built-in loop writes the status", || {
        let managers = managers(place, name);
        if managers.iter().any(|it| it == "kube-controller-manager") {
            Ok(())
        } else {
            Err(format!("{managers:?}"))
        }
    });
}

struct Loop<'a>(&'a Plane);

impl<'a> Loop<'a> {
    fn on(plane: &'a Plane) -> Self {
        plane.set_hpa_loop(true);
        Self(plane)
    }
}

impl Drop for Loop<'_> {
    /// The other tests share the plane.
    fn drop(&mut self) {
        // A panic while another one is on its way would end the whole run.
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.set_hpa_loop(false)));
    }
}

#[test]
fn auto_acts_alone_and_watches_beside_others() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let place = stage.place(PLACE);
    let _metrics = stage.metrics();
    place.apply(&workload("Deployment", "web", 1, "140m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "web", 10, 0));
    // As shipped: mode auto.
    let mut first = stage.hpa(&[]).ready();
    let second = Manifests::of_overlay(&plane, "hpa-auto").in_namespace(SECOND);
    second.apply(&plane);

    // Alone: it scales once it knows that it is alone, and not before.
    first.says(MINUTE, "no other HPA loop answers: scaling");
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 3);
    place.eventually_prints(MINUTE, &["describe", "hpa", "web"], "SuccessfulRescale");
    assert_eq!(managers(&place, "web"), ["flyball-hpa"]);
    let probe = plane.admin().in_namespace(SYSTEM).ok(&["get", "hpa", "--output=name"]);
    assert_eq!(probe.trim(), "", "the question is taken back");

    // A second install: it watches, and says whose the work is.
    let mut other = stage.hpa_of(&second, &[]).ready();
    other.says(MINUTE, &format!("of namespace {SYSTEM}; this one only watches"));
    plane.admin().eventually(MINUTE, "the second install says so on its Lease", || {
        let events = lease_events(&plane, SECOND);
        if events.contains("AnotherFlyball") && events.contains(SYSTEM) { Ok(()) } else { Err(events) }
    });

    // The built-in loop comes: both watch, and nothing is scaled twice.
    let built_in = Loop::on(&plane);
    first.says(MINUTE, "another HPA loop runs: watching only");
    holds(&lease_events(&plane, SYSTEM), &["AnotherAutoscaler", "kube-controller-manager"]);
    place.apply(&workload("Deployment", "new", 1, "140m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "new", 10, 0));
    built_in_answers(&place, "new");
    eventually_replicas(&place, SCALE_LIMIT, "deployment/new", 3);
    assert_eq!(managers(&place, "new"), ["kube-controller-manager"]);
    first.still_runs();
    other.still_runs();

    drop((first, other));
    replace_is_demoted(&stage);

    // And goes: in full form, since it takes two minutes until it is certain that it does not only restart.
    if full() {
        let again = stage.hpa(&[]).ready();
        let watching = "another HPA loop runs: watching only";
        again.says(MINUTE, watching);
        drop(built_in);
        again.says_after(SILENCE_LIMIT, watching, "no other HPA loop answers: scaling");
        stage.sim.set_load_cpu(PLACE, "new", "235m").expect("an amount");
        eventually_replicas(&place, SCALE_LIMIT, "deployment/new", 5);
        place.eventually(MINUTE, "its status is ours", || {
            let managers = managers(&place, "new");
            if managers.iter().any(|it| it == "flyball-hpa") { Ok(()) } else { Err(format!("{managers:?}")) }
        });
    }
    // Its roles have the names of the first install's.
    second.remove(&plane);
    let _ = plane.admin().run(&["delete", "namespace", SECOND, "--wait=false"]);
}

/// Beside the built-in loop: mode replace leaves alone what that loop writes.
fn replace_is_demoted(stage: &Stage<'_>) {
    let place = stage.place("behaviour-replace");
    let mut hpa = stage.hpa(&["--mode=replace"]).ready();
    place.apply(&workload("Deployment", "web", 1, "140m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "web", 10, 0));
    built_in_answers(&place, "web");
    hpa.says(MINUTE, "another controller writes");
    let described = place.eventually_prints(MINUTE, &["describe", "hpa", "web"], "AnotherAutoscaler");
    holds(&described, &["kube-controller-manager", "Flyball leaves it alone", "mode shadow"]);
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 3);
    // Left alone: what is scaled from here on, the other one scales.
    stage.sim.set_load_cpu("behaviour-replace", "web", "50m").expect("an amount");
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 1);
    let object = place.json(&["get", "deployment", "web", "--show-managed-fields"]);
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let by_scale = entries.iter().find(|entry| entry["subresource"] == "scale");
    assert_eq!(
        by_scale.map(|entry| &entry["manager"]),
        Some(&"kube-controller-manager".into()),
        "{entries:?}"
    );
    hpa.still_runs();
    let log = std::fs::read_to_string(stage.plane.log_of(Part::ControllerManager)).unwrap_or_default();
    assert!(!log.contains("panic"), "the built-in controller panicked");
}
