//! What a machine may lack. A skipped test says so past the test runner's capture of output.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether `kubectl` is in PATH; if not, says that this test is skipped.
#[must_use]
pub fn has_kubectl() -> bool {
    let found = has_program("kubectl");
    if !found {
        skipped("no kubectl in PATH (Debian: apt-get install kubernetes-client)");
    }
    found
}

/// Whether PATH holds an executable file of this name.
#[must_use]
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| is_executable(&folder.join(name)))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says aloud that the test of this thread is skipped, and why.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    // Written to the stream itself: what the print macros write is shown for failed tests only.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {}: {why}", thread.name().unwrap_or("test"));
}
