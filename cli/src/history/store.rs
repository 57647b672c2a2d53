//! `flyball tsdb`: checks a store that is not in use, and copies stores.

use std::path::Path;

use anyhow::{Context, bail};
use flyball_tsdb::store::{Settings, Store};

use super::ask::History;
use super::now_ms;
use crate::flags::{CheckArgs, SnapshotArgs, TsdbArgs, TsdbCommand};
use crate::output;

/// Runs one of its commands.
pub async fn tsdb(args: TsdbArgs) -> anyhow::Result<()> {
    match args.command {
        TsdbCommand::Check(args) => check(&args),
        TsdbCommand::Snapshot(args) => snapshot(&args).await,
    }
}

/// Opens a store that is there; a wrong folder is not made one.
fn open(dir: &Path) -> anyhow::Result<Store> {
    if !dir.join("format").is_file() {
        bail!("{} holds no store: it has no file named format", dir.display());
    }
    // Nothing is too old or too much for who only looks.
    let settings = Settings { retention_ms: None, retention_bytes: None, ..Settings::default() };
    Store::open(dir, settings, now_ms())
        .with_context(|| format!("cannot open the store in {}", dir.display()))
}

fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let store = open(&args.dir)?;
    let report = store.check(true).with_context(|| format!("cannot check {}", args.dir.display()))?;
    let mut text = String::new();
    for loss in &report.losses {
        let repair = loss.repair.as_deref().unwrap_or("nothing is left to mend");
        text.push_str(&format!("lost: {}: {} ({repair})\n", loss.place, loss.lost));
    }
    text.push_str(&format!(
        "read {} blocks with {} sound samples, and {} values of the log\n",
        report.blocks, report.samples, report.log_values
    ));
    output::text(&text)?;
    match report.losses.len() {
        0 => Ok(()),
        1 => bail!("one part of the history is lost; what is there now is sound"),
        count => bail!("{count} parts of the history are lost; what is there now is sound"),
    }
}

async fn snapshot(args: &SnapshotArgs) -> anyhow::Result<()> {
    let Some((from, to)) = args.from.as_ref().zip(args.to.as_ref()) else {
        let answer = History::of(&args.cluster).await?.post("admin/tsdb/snapshot").await?;
        let name = answer["data"]["name"].as_str().context("the answer names no snapshot")?;
        return output::text(&format!("snapshots/{name}, below the folder of the server's store\n"));
    };
    open(from)?
        .snapshot(to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    output::text(&format!("{}\n", to.display()))
}
