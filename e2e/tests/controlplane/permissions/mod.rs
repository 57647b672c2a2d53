//! RBAC as narrow as it can be: for every single thing that the manifests allow, a program runs without it, is refused by
//! the API server, and a function that works with everything granted does not work.
//!
//! A short run tries the first overlay, `FLYBALL_E2E_OVERLAY` another one alone, `FLYBALL_E2E=full` all of them.
//!
//! The list of what is tried is taken from the manifests. A grant without a check in the table fails the test, and so does
//! a line of the table that no manifest needs.
#![allow(
    clippy::disallowed_methods,
    reason = "edge: reads the audit log, makes control groups, watches the clock"
)]

mod audit;
mod batch;
mod checks;
mod custom_metrics;
mod grants;
mod history;
mod objects;
mod pods;
mod scene;
mod subject;
mod trial;
mod users;

use flyball_e2e::full;
use flyball_e2e::plane::{Needs, Plane};

use crate::shipped::{Overlay, installer};
use scene::Scene;
use subject::Subject;
use trial::Situation;

/// Overlays whose programs are tried, in a short run only the first; the programs of the others are allowed no more than
/// these.
const TRIED: [&str; 6] = ["everything", "metrics-server", "hpa-shadow", "hpa-own-kind", "adapter", "server"];

#[test]
fn every_permission_is_needed() {
    let Some(plane) = Plane::alone(Needs::light().no_hpa_loop().own_control_plane()) else { return };
    let kubectl = installer(&plane);
    let tried: Vec<_> = TRIED.iter().flat_map(|overlay| Subject::of(overlay, &kubectl)).collect();
    table_is_complete(&tried);
    others_are_allowed_no_more(&tried, &kubectl);
    let common = Subject::of(TRIED[0], &kubectl);
    let scene = Scene::set(&plane, &common);
    let only = std::env::var("FLYBALL_E2E_OVERLAY").ok();
    let now = tried.iter().filter(|subject| match &only {
        Some(only) => subject.overlay == *only,
        None => full() || subject.overlay == TRIED[0],
    });
    let batches: Vec<_> = now
        .flat_map(|subject| {
            batch::batches(subject).into_iter().map(move |(situation, units)| (subject, situation, units))
        })
        .collect();
    // Each line works through its batches one after the other.
    let line_of = |subject: &Subject, situation| match (subject.part.as_str(), situation) {
        ("hpa", Situation::Ordinary) => 0,
        ("hpa", _) => 1,
        _ => 2,
    };
    let (scene, batches) = (&scene, &batches);
    let mut faults: Vec<String> = std::thread::scope(|scope| {
        let lines = [0, 1, 2].map(|line| {
            scope.spawn(move || {
                let numbered = batches.iter().enumerate();
                let own =
                    numbered.filter(|(_, (subject, situation, _))| line_of(subject, *situation) == line);
                own.flat_map(|(number, (subject, situation, units))| {
                    batch::run(scene, subject, number + 1, *situation, units)
                })
                .collect::<Vec<_>>()
            })
        });
        let ended = lines.map(|line| line.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.into_iter().flatten().collect()
    });
    faults.extend(users::judge(scene, &Overlay::named(TRIED[0]).objects(&kubectl)));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
}

/// Every grant has a check, and every check is of some grant.
fn table_is_complete(tried: &[Subject]) {
    let mut used = Vec::new();
    let mut unchecked = Vec::new();
    for subject in tried {
        for unit in subject.units() {
            match checks::of(subject, &unit.grants[0]) {
                Some(check) => used.push(std::ptr::from_ref(check)),
                None => unchecked.push(format!("{subject}: {}", unit.grants[0])),
            }
        }
    }
    assert!(unchecked.is_empty(), "no check shows what these are for:\n{}", unchecked.join("\n"));
    let stale: Vec<_> = checks::CHECKS
        .iter()
        .filter(|check| !used.contains(&std::ptr::from_ref(*check)))
        .map(|check| check.what)
        .collect();
    assert!(stale.is_empty(), "no manifest grants what these checks are for: {stale:?}");
}

/// The programs of all other overlays are allowed nothing that is not tried.
fn others_are_allowed_no_more(tried: &[Subject], kubectl: &flyball_e2e::Kubectl) {
    let untried = |overlay: &&Overlay| !TRIED.contains(&overlay.name.as_str());
    for overlay in Overlay::all().iter().filter(untried) {
        for subject in Subject::of(&overlay.name, kubectl) {
            let known = tried.iter().filter(|one| one.part == subject.part).flat_map(|one| &one.bound);
            let known: Vec<_> = known.flat_map(|bound| &bound.grants).collect();
            let more: Vec<_> = subject
                .bound
                .iter()
                .flat_map(|bound| &bound.grants)
                .filter(|grant| !known.contains(grant))
                .collect();
            assert!(more.is_empty(), "{subject} is allowed more than is tried: {more:?}");
        }
    }
}
