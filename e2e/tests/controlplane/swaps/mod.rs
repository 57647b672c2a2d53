//! Each part in the place of its upstream twin: the same loads must give the same replicas, metrics, conditions and
//! `kubectl top`.
//!
//! Two control planes side by side, one with the built-in loop of HPAs and one with ours, each with a metrics server that
//! is replaced by its twin while everything runs. So four chains see the same loads: upstream alone, each swap, ours alone.
#![allow(clippy::disallowed_methods, reason = "edge: starts programs and writes their files")]

mod cases;
mod hollow;
pub mod metrics;
mod node;
mod seen;
pub mod stage;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use flyball_e2e::plane::Version;
use flyball_e2e::{eventually, full, steady};

use metrics::{By, upstream_program};
use seen::Seen;
use stage::Stage;

/// Time for two chains in the same state to say the same: a round of each loop, and a scrape.
const AGREE_LIMIT: Duration = Duration::from_secs(60);

/// How long a change of the metrics server is watched to change nothing.
const WATCHED: Duration = Duration::from_secs(15);

/// What the chain of upstream's programs showed, by load.
type Expected = BTreeMap<usize, Seen>;

/// Our HPA loop and our metrics server, alone and together, against upstream's.
#[test]
fn hpa_and_metrics_server() {
    let Some((mut upstream, mut ours)) = two_stages(Version::Current) else { return };
    // The first load is part of the way to the second.
    let loads: &[usize] = if full() { &[0, 1, 2] } else { &[1, 2] };
    let mut expected = Expected::new();
    run(&mut upstream, &mut ours, By::Upstream, loads, &mut expected);
    // The last load is there already: the change of the metrics server changes nothing.
    run(&mut upstream, &mut ours, By::Ours, &loads[..loads.len() - 1], &mut expected);
}

/// Our HPA loop on upstream's metrics server and an API server three releases older.
#[test]
fn hpa_on_an_older_api_server() {
    if !full() {
        flyball_e2e::skipped(
            "the older control plane is compared in the full form: `cargo xtask e2e --full`",
        );
        return;
    }
    let Some((mut upstream, mut ours)) = two_stages(Version::Oldest) else { return };
    run(&mut upstream, &mut ours, By::Upstream, &[0, 1, 2], &mut Expected::new());
}

/// A stage with upstream's loop of HPAs and one with ours.
fn two_stages(version: Version) -> Option<(Stage, Stage)> {
    upstream_program()?;
    let (upstream, ours) = both(|| Stage::start(version, By::Upstream), || Stage::start(version, By::Ours));
    let (upstream, ours) = (upstream?, ours?);
    both(|| upstream.populate(), || ours.populate());
    Some((upstream, ours))
}

/// Does two things at once.
fn both<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
    })
}

/// Puts this metrics server into both stages and runs through the loads; the stages must agree with each other, with the
/// truth, and with what is expected, which is taken from upstream's stage where nothing is yet.
fn run(upstream: &mut Stage, ours: &mut Stage, metrics: By, loads: &[usize], expected: &mut Expected) {
    both(|| replace_metrics_server(upstream, metrics), || replace_metrics_server(ours, metrics));
    for &step in loads {
        upstream.load(step);
        ours.load(step);
        both(|| seen::settle(upstream, step), || seen::settle(ours, step));
        let what = format!("both HPA loops show the same after load {step}, metrics server {metrics:?}");
        let state = || format!("{}\n{}", upstream.state(), ours.state());
        let seen = agree(&what, state, || upstream.seen(), || ours.seen());
        let expected = expected.entry(step).or_insert(seen);
        agree("as before the change of the metrics server", state, || expected.clone(), || upstream.seen());
        both(|| top_is_true(upstream), || top_is_true(ours));
    }
}

/// Both must come to show the same.
fn agree(
    what: &str,
    state: impl FnOnce() -> String,
    one: impl Fn() -> Seen,
    other: impl Fn() -> Seen,
) -> Seen {
    eventually(AGREE_LIMIT, what, state, || {
        let (one, other) = (one(), other());
        let differences = seen::differences(&one, &other);
        if differences.is_empty() { Ok(one) } else { Err(differences.join("\n")) }
    })
}

/// A change of the metrics server in a settled stage changes nothing that is seen.
fn replace_metrics_server(stage: &mut Stage, by: By) {
    let first = !stage.has_metrics_server();
    let before = stage.seen();
    stage.serve_metrics(by);
    if first {
        return;
    }
    let state = || stage.state();
    steady(WATCHED, "a new metrics server changes nothing", state, || {
        let differences = seen::differences(&before, &stage.seen());
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    });
    top_is_true(stage);
}

/// `kubectl top` shows exactly what the simulation does.
fn top_is_true(stage: &Stage) {
    let kubectl = stage.kubectl();
    let state = || stage.state();
    eventually(AGREE_LIMIT, "kubectl top shows the truth", state, || {
        let pods = (seen::top_pods(&kubectl), seen::true_pods(stage));
        let nodes = (seen::top_nodes(&kubectl), seen::true_nodes(stage));
        if pods.0 == pods.1 && nodes.0 == nodes.1 { Ok(()) } else { Err(format!("{pods:?}\n{nodes:?}")) }
    });
}
