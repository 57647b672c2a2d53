//! Pods of phase Succeeded: the one difference that cases are changed for, held to still being one.

use std::path::Path;

use anyhow::{Context, ensure};
use flyball_model::autoscaling::apply_defaults;
use serde_json::json;

use crate::peer::{self, Peer};
use crate::wire::{Answer, BEGIN_MS, Case, Container, ControllerSettings, Pod, Sample, Step};
use crate::{ours, random};

/// Fails once the peer ignores such pods as Flyball does: then [`peer::line`] need not call them Failed.
///
/// # Errors
/// The peer cannot be asked, or it no longer differs.
pub fn check(program: &Path) -> anyhow::Result<()> {
    let case = case()?;
    let (mut peer, mut input) = Peer::start(program)?;
    peer::send(&mut input, &peer::line_as_is(&case)?)?;
    let theirs = peer::outcomes(peer.answer()?)?;
    drop(input);
    peer.finish()?;
    let ours = ours::run(&case);
    let (ours, theirs) = (ours[0].outcome.replicas, theirs.first().context("no step was answered")?.replicas);
    println!(
        "differential: with two Succeeded pods beside two hot ones Flyball asks for {ours}, the peer for {theirs}"
    );
    ensure!(
        ours == 4 && theirs == 2,
        "expected 4 and 2: upstream has changed, see e2e/differential/src/peer.rs"
    );
    Ok(())
}

/// Two pods at twice the target, and two that have ended and have no samples.
fn case() -> anyhow::Result<Case> {
    let metric = json!({ "type": "Resource", "resource": { "name": "cpu",
        "target": { "type": "Utilization", "averageUtilization": 50 } } });
    let mut hpa = serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "ns", "generation": 1, "resourceVersion": "1" },
        "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 10, "metrics": [metric] },
    }))?;
    apply_defaults(&mut hpa);
    let requests = [("cpu".to_owned(), 100)].into();
    let containers = vec![Container { name: "app".to_owned(), requests, sidecar: false }];
    let pod = |(index, phase): (usize, &str)| Pod {
        own: true,
        name: format!("web-{index}"),
        phase: phase.to_owned(),
        start_ms: Some(BEGIN_MS - 3_600_000),
        ready: "True".to_owned(),
        transition_ms: BEGIN_MS - 3_600_000,
        containers: containers.clone(),
        ..Pod::default()
    };
    let sample = |index: usize| Sample {
        pod: format!("web-{index}"),
        value: 100,
        timestamp_ms: BEGIN_MS,
        window_ms: 15_000,
    };
    let answer = Answer { pods: vec![sample(0), sample(1)], ..Answer::default() };
    let step = Step {
        set_replicas: Some(2),
        selector: "app=web".to_owned(),
        pods: ["Running", "Running", "Succeeded", "Succeeded"].into_iter().enumerate().map(pod).collect(),
        answers: [("resource/cpu/".to_owned(), answer)].into(),
        ..Step::default()
    };
    let settings = ControllerSettings {
        tolerance: 0.1,
        cpu_initialization_ms: 300_000,
        readiness_delay_ms: 30_000,
        downscale_ms: 300_000,
    };
    Ok(Case { hpa, settings, steps: vec![step], scale_to_zero: true, ..random::case(1) })
}
