//! Cargo, and this program, started from a program that cargo started.

use std::path::PathBuf;
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

/// This program, to be started again. By the kernel's link and not by its path: a build of the whole workspace puts another
/// file there, since its crates may be built with other features, and the path of the file that runs is gone.
pub fn this_program() -> PathBuf {
    PathBuf::from(format!("/proc/{}/exe", std::process::id()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const COPY: &str = "FLYBALL_XTASK_TEST_COPY";

    #[test]
    fn a_program_whose_file_is_gone_starts_itself_again() {
        if let Some(copy) = std::env::var_os(COPY) {
            fs::remove_file(copy).unwrap();
            let again = Command::new(this_program()).arg("--list").output().unwrap();
            assert!(again.status.success());
            assert!(String::from_utf8(again.stdout).unwrap().contains("starts_itself_again: test"));
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let name = "cargo::tests::a_program_whose_file_is_gone_starts_itself_again";
        let ran = Command::new(&copy).args(["--exact", name]).env(COPY, &copy).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
        assert!(!copy.exists());
    }
}
