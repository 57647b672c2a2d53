//! Takes the figures of the autoscaler as a whole program. The flyball binary stands beside this one.

#![allow(clippy::disallowed_methods, reason = "a program: it looks for its neighbour, the flyball binary")]

use anyhow::Context;
use flyball_benches::{autoscaler, table};

fn main() -> anyhow::Result<()> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(autoscaler::figures(&own.with_file_name("flyball")))?;
    print!("{}", table(&figures));
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
