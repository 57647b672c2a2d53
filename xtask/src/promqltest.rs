//! `cargo xtask promqltest DIR`: the published test scripts of PromQL, from a local copy that nobody keeps here.

use std::path::PathBuf;

use anyhow::ensure;

use crate::cargo::cargo;

/// Statements that need not pass, with reasons.
const EXCLUSIONS: &str = "tsdb/promqltest-exclusions.txt";

/// Where Prometheus' repository keeps its scripts.
const IN_REPOSITORY: &str = "promql/promqltest/testdata";

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A copy of Prometheus' repository (v3.5.0), or any folder with scripts (`*.test`)
    dir: PathBuf,
}

/// Runs every script; fails unless all statements pass that are not excluded, and no others.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let dir = std::path::absolute(&options.dir)?;
    let dir = Some(dir.join(IN_REPOSITORY)).filter(|scripts| scripts.is_dir()).unwrap_or(dir);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let status = cargo()
        .args(["run", "--quiet", "--package", "flyball-tsdb", "--example", "promqltest", "--"])
        .arg(dir)
        .arg(root.join(EXCLUSIONS))
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "promqltest: {status}");
    Ok(())
}
