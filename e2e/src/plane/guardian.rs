//! What ends a plane, also when its owner is killed: a shell that waits for the end of a pipe.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::run::wait;

/// Environment variable that marks the processes of a plane; its value is the plane's folder.
pub(super) const MARK: &str = "FLYBALL_PLANE";

/// Longest time to remove a plane.
const LIMIT: Duration = Duration::from_secs(60);

const SCRIPT: &str = include_str!("guardian.sh");

/// Removes a plane's processes, addresses and folder when it is dropped, or when this process ends.
#[derive(Debug)]
pub(super) struct Guardian {
    folder: PathBuf,
    shell: Child,
}

impl Guardian {
    /// Over a new temporary folder.
    ///
    /// # Panics
    /// When the folder cannot be made, or there is no `sh`.
    pub fn start() -> Self {
        let folder =
            tempfile::Builder::new().prefix("flyball-plane-").tempdir().expect("a temporary folder").keep();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(&folder)
            .stdin(Stdio::piped())
            // Out of reach of the interrupt that ends the tests.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self { folder, shell }
    }

    /// The folder of all that the plane stores.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Marks a command as the plane's.
    pub fn mark<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(MARK, &self.folder).process_group(0)
    }
}

impl Guardian {
    /// Removes everything now; nothing happens the second time.
    pub fn finish(&mut self) {
        drop(self.shell.stdin.take());
        if wait(&mut self.shell, LIMIT).is_none() {
            eprintln!("{} and what belongs to it is not removed after {LIMIT:?}", self.folder.display());
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.finish();
    }
}
