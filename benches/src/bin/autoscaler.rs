//! Takes the figures of the autoscaler as a whole program: `autoscaler [rest] [steps] [many] [loop]`, all without arguments.
//! The flyball binary stands beside this one.

#![allow(clippy::disallowed_methods, reason = "a program: it looks for its neighbour, the flyball binary")]

use anyhow::Context;
use flyball_benches::autoscaler::{self, Part};
use flyball_benches::table;

fn main() -> anyhow::Result<()> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let part = |name: String| Part::named(&name).with_context(|| format!("no such part: {name}"));
    let parts: Vec<Part> = std::env::args().skip(1).map(part).collect::<anyhow::Result<_>>()?;
    let parts = if parts.is_empty() { Part::ALL.to_vec() } else { parts };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(autoscaler::figures(&own.with_file_name("flyball"), &parts))?;
    print!("{}", table(&figures));
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
