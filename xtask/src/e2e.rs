//! `cargo xtask e2e`: Flyball on a real control plane, built here from its Go modules, or on a cluster that is given.

pub mod golang;
mod machine;
mod suite;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::cargo::cargo;
use crate::image;
use crate::totals::Totals;
use golang::{Module, Package};
use machine::Machine;

/// Flags of `cargo xtask e2e`.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Runs what it can of the suite on this cluster in place of a control plane of its own. The cluster must reach this
    /// machine at the address in FLYBALL_E2E_ADDRESS for the tests that run parts as processes.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Image of flyball: an OCI archive for our own node, or a name that the given cluster's nodes can pull. Without it
    /// one is built as `cargo xtask image --profile dev` does.
    #[arg(long, value_name = "ARCHIVE|NAME")]
    pub image: Option<String>,
    /// The long forms of all tests, and a control plane three minor releases older.
    #[arg(long)]
    pub full: bool,
    /// Only tests with one of these in their names.
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
}

/// Why nothing of Go's can be built here, if so.
pub fn no_go() -> Option<String> {
    Machine::look().no_go().map(ToOwned::to_owned)
}

/// Folder of the workspace.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Builds what the suite needs and runs it. What this machine lacks is said, with what is skipped for it.
///
/// # Errors
/// Something does not build, or a test fails.
pub fn run(options: &Options) -> anyhow::Result<Totals> {
    let machine = Machine::look();
    let mut environment = Environment::default();
    if let Some(kubeconfig) = &options.kubeconfig {
        let path = std::fs::canonicalize(kubeconfig).with_context(|| kubeconfig.display().to_string())?;
        environment.set("FLYBALL_E2E_KUBECONFIG", path);
    } else if let Some(why) = machine.no_control_plane() {
        println!("e2e: SKIPPED, all of it: {why}");
        return Ok(Totals::default());
    }
    for (module, variable) in modules(options.full) {
        match machine.no_go() {
            None => environment.set(variable, golang::build(&module)?),
            Some(why) => println!("e2e: {} is not built: {why}; its tests are skipped", module.name),
        }
    }
    environment.set("FLYBALL_E2E_PROGRAM", program()?);
    environment.image(options, &machine)?;
    if options.full {
        environment.set("FLYBALL_E2E", "full");
    }
    let totals = suite::run(&environment.0, &options.filters)?;
    println!("e2e: {totals}");
    Ok(totals)
}

/// Builds what the suite needs of Go's, so that it can be done while something else waits. What cannot be built here is
/// left to [`run`] to say.
///
/// # Errors
/// A module does not build.
pub fn prepare(full: bool) -> anyhow::Result<()> {
    let machine = Machine::look();
    if machine.no_control_plane().is_none() && machine.no_go().is_none() {
        for (module, _) in modules(full) {
            golang::build(&module)?;
        }
    }
    Ok(())
}

/// Builds a program of upstream's that something is compared with. `None`, with the reason said, where it cannot be built.
///
/// # Errors
/// It does not build.
pub fn peer(name: &'static str, folder: &'static str) -> anyhow::Result<Option<PathBuf>> {
    if let Some(why) = Machine::look().no_go() {
        println!("{name} is not built: {why}; what is compared with it is SKIPPED");
        return Ok(None);
    }
    let module = Module { name, folder, file: "go.mod", version_of: None, package: Package::Own };
    golang::build(&module).map(Some)
}

/// What is built with Go, and the variable that names it to the tests.
fn modules(full: bool) -> Vec<(Module, &'static str)> {
    let package = Package::Own;
    let module = |name, folder, file, version_of| Module { name, folder, file, version_of, package };
    let foreign = |name, folder, path, tags| {
        let package = Package::Of { path, tags };
        Module { name, folder, file: "go.mod", version_of: None, package }
    };
    let kubernetes = "k8s.io/kubernetes";
    let mut modules = vec![
        (module("current", "e2e/controlplane", "go.mod", Some(kubernetes)), "FLYBALL_E2E_CONTROLPLANE"),
        (module("metrics-server", "e2e/peers/metrics-server", "go.mod", None), "FLYBALL_E2E_METRICS_SERVER"),
        (
            foreign(
                "prometheus-adapter",
                "e2e/peers/prometheus-adapter",
                "sigs.k8s.io/prometheus-adapter/cmd/adapter",
                "",
            ),
            "FLYBALL_E2E_PROMETHEUS_ADAPTER",
        ),
        (
            foreign(
                "prometheus",
                "e2e/peers/prometheus-server",
                "github.com/prometheus/prometheus/cmd/prometheus",
                "remove_all_sd",
            ),
            "FLYBALL_E2E_PROMETHEUS",
        ),
    ];
    if full {
        let oldest = module("oldest", "e2e/controlplane", "oldest.mod", Some(kubernetes));
        modules.push((oldest, "FLYBALL_E2E_CONTROLPLANE_OLDEST"));
    }
    modules
}

/// The program as `cargo test --workspace` builds it: the tests that follow find everything done.
fn program() -> anyhow::Result<PathBuf> {
    let arguments = ["test", "--workspace", "--no-run", "--quiet"];
    println!("+ cargo {}", arguments.join(" "));
    let status = cargo().args(arguments).current_dir(root()).status();
    let status = status.context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "the tests do not build: cargo ended with {status}");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("debug/flyball");
    std::fs::canonicalize(&program).with_context(|| program.display().to_string())
}

/// Variables for the tests.
#[derive(Debug, Default)]
struct Environment(Vec<(&'static str, std::ffi::OsString)>);

impl Environment {
    fn set(&mut self, name: &'static str, value: impl Into<std::ffi::OsString>) {
        self.0.push((name, value.into()));
    }

    /// Names the image, which is built unless one is given.
    fn image(&mut self, options: &Options, machine: &Machine) -> anyhow::Result<()> {
        match (&options.image, &options.kubeconfig) {
            (Some(name), Some(_)) => self.set("FLYBALL_E2E_IMAGE_NAME", name),
            (None, Some(_)) => println!("e2e: no --image that the cluster can pull: its tests are skipped"),
            (given, None) => match (machine.no_containers(), given) {
                (Some(why), _) => println!("e2e: real pods are SKIPPED: {why}"),
                (None, Some(archive)) => {
                    self.set("FLYBALL_E2E_IMAGE", std::fs::canonicalize(archive).context(archive.clone())?);
                }
                (None, None) => self.set("FLYBALL_E2E_IMAGE", image::build(&image::Options::dev())?),
            },
        }
        Ok(())
    }
}
