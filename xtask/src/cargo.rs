//! Cargo, started from a program that cargo started.

use std::process::Command;

/// `cargo`, without what the outer cargo told this program about its own crate: some build scripts (ring's) run again
/// when those variables change, so commands typed by hand and commands started here would rebuild each other's work.
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    let about_this_crate = |name: &str| {
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST") || name.starts_with("CARGO_BIN")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_this_crate)) {
        command.env_remove(name);
    }
    command
}
