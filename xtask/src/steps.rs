//! The steps behind the commands.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, anyhow, bail};

use crate::cargo::cargo;
use crate::differential;
use crate::e2e;
use crate::fuzz;
use crate::image;
use crate::mutants;
use crate::totals::Totals;
use crate::vm;

/// The tests on a real control plane that every change must pass: that there is one, that it accepts `deploy/` by the
/// letter, that who may ask is decided there, that either side can be swapped for upstream's, and that the README's
/// install section works on a real node. The whole suite takes longer: `cargo xtask e2e`.
const SHORT_E2E: [&str; 11] = [
    "smoke::users_have_the_rights",
    "smoke::restarts_are_survived",
    "smoke::a_service_leads",
    "behaviour::access",
    "behaviour::available",
    "behaviour::callers",
    "behaviour::modes",
    "install::every_overlay_is_accepted",
    "install::pods_are_admitted",
    "real_node::readme",
    "swaps::hpa_and_metrics_server",
];

/// Cases of the differential at full length.
const LONG_DIFFERENTIAL: u64 = 1_000_000;

/// How often the writer of history is killed at full length; `cargo test` alone does it 50 times.
const LONG_CRASHES: &str = "1000";

/// Queries beside Prometheus' engine at full length; 2,000 are asked otherwise.
const LONG_QUERIES: &str = "20000";

/// What every change must pass. Prints the test totals last.
pub fn ci() -> anyhow::Result<()> {
    // Minutes the first time, and most tests wait more than they compute.
    let go = std::thread::spawn(|| {
        e2e::prepare(false)?;
        differential::prepare()?;
        promql_peer()
    });
    lints()?;
    let mut totals = tests(&["--workspace"], &[])?;
    let peer = go.join().map_err(|_| anyhow!("building the Go programs panicked"))??;
    differential::run(&differential::Options::default())?;
    totals.add(promql_beside_prometheus(peer.as_deref(), &[])?);
    image()?;
    let filters = SHORT_E2E.map(str::to_owned).to_vec();
    totals.add(e2e::run(&e2e::Options { filters, ..e2e::Options::default() })?);
    demo(&[])?;
    totals.add(vm::run(&vm::Options::default())?);
    println!("{totals}");
    Ok(())
}

/// `ci` with the long forms of the end-to-end suites, a longer demo, and the figures.
pub fn full() -> anyhow::Result<()> {
    lints()?;
    let mut totals =
        tests(&["--workspace"], &[("FLYBALL_E2E", "full"), ("FLYBALL_CRASH_ROUNDS", LONG_CRASHES)])?;
    totals.add(e2e::run(&e2e::Options { full: true, ..e2e::Options::default() })?);
    differential::run(&differential::Options {
        cases: LONG_DIFFERENTIAL,
        coverage: true,
        ..Default::default()
    })?;
    totals
        .add(promql_beside_prometheus(promql_peer()?.as_deref(), &[("FLYBALL_PEER_QUERIES", LONG_QUERIES)])?);
    mutants::run(&mutants::Options::default())?;
    image()?;
    demo(&["--seconds", "180"])?;
    totals.add(vm::run(&vm::Options::default())?);
    fuzz::run(&fuzz::Options::default())?;
    scoreboard(&[])?;
    println!("{totals}");
    Ok(())
}

/// Every figure this machine can take, or only some parts of them.
pub fn scoreboard(filters: &[String]) -> anyhow::Result<()> {
    let peer = |name, folder| anyhow::Ok(e2e::peer(name, folder)?.map(|path| path.display().to_string()));
    let cadvisor = peer("cadvisor", "e2e/peers/cadvisor")?;
    let metrics_server = peer("metrics-server", "e2e/peers/metrics-server")?;
    run(&["build", "--release", "--package", "flyball-cli"])?;
    run(&["build", "--release", "--package", "flyball-benches", "--bins"])?;
    let program =
        ["run", "--release", "--quiet", "--package", "flyball-benches", "--bin", "scoreboard", "--"];
    let mut arguments = program.to_vec();
    arguments.extend(cadvisor.as_deref().into_iter().flat_map(|path| ["--cadvisor", path]));
    arguments.extend(metrics_server.as_deref().into_iter().flat_map(|path| ["--metrics-server", path]));
    arguments.extend(filters.iter().map(String::as_str));
    run(&arguments)
}

fn lints() -> anyhow::Result<()> {
    run(&["fmt", "--all", "--check"])?;
    run(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"])?;
    // The fuzz targets are a workspace of their own, and must go on to build.
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml"];
    run(&[&["fmt"][..], &fuzz, &["--check"]].concat())?;
    run(&[&["check"][..], &fuzz, &["--target-dir", "target", "--locked"]].concat())
}

/// The image, each part of it run by runc as the manifests say.
fn image() -> anyhow::Result<()> {
    image::run(&image::Options { run_check: true, ..image::Options::dev() })
}

fn demo(arguments: &[&str]) -> anyhow::Result<()> {
    run(&[&["run", "--release", "--", "demo"], arguments].concat())
}

/// Prometheus' own engine; `None`, with the reason said, where it cannot be built.
fn promql_peer() -> anyhow::Result<Option<PathBuf>> {
    e2e::peer("promql", "e2e/peers/prometheus")
}

/// PromQL beside Prometheus' own engine: the same data, and generated queries.
fn promql_beside_prometheus(peer: Option<&Path>, environment: &[(&str, &str)]) -> anyhow::Result<Totals> {
    let Some(peer) = peer else { return Ok(Totals::default()) };
    let peer = peer.display().to_string();
    let environment = [&[("FLYBALL_PROMETHEUS_PEER", peer.as_str())][..], environment].concat();
    tests(&["--package", "flyball-tsdb", "--test", "peer"], &environment)
}

/// Runs the README's test command on these packages, shows its output as it comes and adds up its result lines.
fn tests(packages: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Totals> {
    let arguments = [&["test"][..], packages, &["--no-fail-fast"]].concat();
    println!("+ cargo {}", arguments.join(" "));
    let mut child = cargo()
        .args(&arguments)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut totals = Totals::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        totals.add_line(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() {
        println!("{totals}");
        bail!("cargo test ended with {status}");
    }
    Ok(totals)
}

/// Shows a cargo command and runs it.
fn run(arguments: &[&str]) -> anyhow::Result<()> {
    println!("+ cargo {}", arguments.join(" "));
    let status = cargo().args(arguments).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}
