//! The program under test: built once per test process, with the profile the tests were built with, unless
//! `FLYBALL_E2E_PROGRAM` names one that is built already, such as a release build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Path of the `flyball` program, built from this workspace on first use or given by `FLYBALL_E2E_PROGRAM`.
///
/// # Panics
/// When it does not build, or what was given does not exist.
pub fn flyball_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("FLYBALL_E2E_PROGRAM") {
        // A test runs in its crate's folder, not where the path was written.
        Some(given) => {
            std::fs::canonicalize(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(&given))
                .unwrap_or_else(|error| panic!("FLYBALL_E2E_PROGRAM={}: {error}", given.display()))
        }
        None => build(),
    })
}

fn build() -> PathBuf {
    // A test runs from TARGET/PROFILE/deps.
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test.ancestors().nth(2).expect("a test stands in PROFILE/deps").to_owned();
    let target = folder.parent().expect("the profile's folder stands in the target folder");
    let release = folder.file_name().is_some_and(|name| name == "release");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The same selection as `cargo test --workspace`, which builds the program too (for the tests of its own crate):
    // started by that command, this finds everything done; another selection would build all libraries once more.
    let mut command = Command::new(cargo);
    // What cargo tells a test about its crate; some libraries build anew when it changes.
    let told = |name: &str| {
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST") || name.starts_with("CARGO_BIN")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        command.env_remove(name);
    }
    let output = command
        .args(["test", "--workspace", "--no-run", "--quiet"])
        .args(release.then_some("--release"))
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "flyball does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    folder.join("flyball")
}
