//! Trials of one program beside each other: one with everything granted, and one for each portion without it.

use std::collections::BTreeMap;
use std::time::Duration;

use flyball_e2e::{MINUTE, eventually, full};
use serde_json::{Value, json};

use super::audit::refusals;
use super::checks::{self, Check};
use super::grants::Grant;
use super::objects;
use super::scene::Scene;
use super::subject::{Subject, Unit};
use super::trial::{Situation, Trial};

/// Trials at a time, besides the one with everything: each works on the objects of all.
const SIZE: usize = 8;

/// Longest time for a function to work where everything is granted; mode `auto` takes half a minute to be sure.
const WORKS_LIMIT: Duration = Duration::from_secs(90);

/// Longest time from then until each program without its grant was refused.
const REFUSED_LIMIT: Duration = Duration::from_secs(30);

/// Of portions that differ in the object's name only, a short run tries so many.
const SAMPLE: usize = 2;

/// What is tried of a subject: portions with their checks, those of one batch beside each other.
pub fn batches(subject: &Subject) -> Vec<(Situation, Vec<Unit>)> {
    let mut by_situation: BTreeMap<Situation, Vec<Unit>> = BTreeMap::new();
    for unit in sample(subject.units()) {
        let check = check_of(subject, &unit);
        by_situation.entry(check.situation).or_default().push(unit);
    }
    let chunks = by_situation.into_iter().flat_map(|(situation, units)| {
        units.chunks(SIZE).map(move |chunk| (situation, chunk.to_vec())).collect::<Vec<_>>()
    });
    chunks.collect()
}

/// Fewer of those that differ in the name only, unless everything is asked for.
fn sample(units: Vec<Unit>) -> Vec<Unit> {
    if full() {
        return units;
    }
    let mut seen: BTreeMap<(usize, Grant), usize> = BTreeMap::new();
    let few = units.into_iter().filter(|unit| {
        let alike = Grant { name: None, ..unit.grants[0].clone() };
        let count = seen.entry((unit.role, alike)).or_default();
        *count += 1;
        *count <= SAMPLE
    });
    few.collect()
}

fn check_of(subject: &Subject, unit: &Unit) -> &'static Check {
    checks::of(subject, &unit.grants[0]).expect("every grant has a check")
}

/// Runs one batch; returns what is not as it should be.
pub fn run(
    scene: &Scene<'_>,
    subject: &Subject,
    number: usize,
    situation: Situation,
    units: &[Unit],
) -> Vec<String> {
    let control = Trial::new(scene, number, 0, situation, None);
    let others = units.iter().enumerate();
    let others =
        others.map(|(index, unit)| Trial::new(scene, number, index + 1, situation, Some(unit.clone())));
    let mut trials: Vec<_> = std::iter::once(control).chain(others).collect();
    for trial in &trials {
        create(scene, &trial.objects(subject));
    }
    if subject.part == "hpa" {
        has_pods(scene, &trials);
    }
    for trial in &mut trials {
        trial.start(scene, subject);
    }
    let (control, trials) = trials.split_first().expect("the one with everything");
    all_works(scene, subject, control, units, false);
    let late: Vec<_> =
        trials.iter().chain([control]).flat_map(|trial| objects::late(trial, subject)).collect();
    create(scene, &late);
    scene.add_late(&subject.part, &control.late_name());
    all_works(scene, subject, control, units, true);
    let faults = trials.iter().zip(units).filter_map(|(trial, unit)| judge(scene, subject, trial, unit));
    let faults = faults.collect();
    trials.iter().chain([control]).for_each(Trial::end);
    for trial in trials.iter().chain([control]) {
        let namespaces = [trial.namespace.as_str(), &trial.nodes_namespace()].map(str::to_owned);
        scene.kubectl().ok(&["delete", "namespace", &namespaces[0], &namespaces[1], "--wait=false"]);
    }
    faults
}

/// Creates objects in their order.
fn create(scene: &Scene<'_>, objects: &[Value]) {
    if objects.is_empty() {
        return;
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    // Validation would fetch the descriptions of all kinds there are, each time.
    scene.kubectl().ok_with_input(&["create", "--validate=false", "--filename", "-"], &list.to_string());
}

/// Waits until each target has its pod: a program without a watch sees only what is there when it starts.
fn has_pods(scene: &Scene<'_>, trials: &[Trial]) {
    for trial in trials {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", trial.namespace);
        eventually(
            MINUTE,
            "the target has a pod",
            || scene.plane.state(),
            || {
                let status = scene.object(&path)?["status"].take();
                if status["readyReplicas"] == 1 { Ok(()) } else { Err(status.to_string()) }
            },
        );
    }
}

/// Waits until every function of the batch works with everything granted.
fn all_works(scene: &Scene<'_>, subject: &Subject, control: &Trial, units: &[Unit], late: bool) {
    for unit in units {
        let check = check_of(subject, unit);
        if check.late && !late {
            continue;
        }
        let what = format!("{subject}, with everything granted: {}", check.what);
        eventually(
            WORKS_LIMIT,
            &what,
            || control.log(),
            || (check.works)(scene, control, &control.renamed(&unit.grants[0])),
        );
    }
}

/// What is wrong with a grant: the function works without, or nobody ever asks for it.
fn judge(scene: &Scene<'_>, subject: &Subject, trial: &Trial, unit: &Unit) -> Option<String> {
    let check = check_of(subject, unit);
    let grant = trial.renamed(&unit.grants[0]);
    let user = trial.user(subject);
    let is_refused = || refusals(scene.plane).iter().any(|refusal| refusal.is_for(&user, &grant));
    // What others are asked about us is in no request of ours.
    let asked_by_others = grant.resource == "nodes/metrics";
    let start = std::time::Instant::now();
    while !asked_by_others && !is_refused() {
        // Some is asked for only when a client comes.
        let _ = (check.works)(scene, trial, &grant);
        if start.elapsed() > REFUSED_LIMIT {
            return Some(format!(
                "{subject}: {grant}: nothing was refused without it: it is not used\n{}",
                trial.log()
            ));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    (check.works)(scene, trial, &grant).is_ok().then(|| {
        format!("{subject}: {grant}: without it this works all the same: {}\n{}", check.what, trial.log())
    })
}
