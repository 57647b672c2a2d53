//! Programs that run to their end, within a limit.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a program that ended has left.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// How it ended; `None` when it was killed because it did not end in time.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        match self.status {
            Some(status) => writeln!(f, "{status}")?,
            None => writeln!(f, "killed: it did not end in time")?,
        }
        write!(f, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
}

/// Runs `command` with `input` on its standard input; kills it when it has not ended after `limit`.
///
/// # Panics
/// When it cannot be started.
pub fn run(mut command: Command, input: &str, limit: Duration) -> Finished {
    let mut stdin = temporary();
    stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).expect("the input is written");
    command.stdin(Stdio::from(stdin));
    // Files in place of pipes: no reader is needed to keep the program going.
    let mut stdout = temporary();
    let finished = run_into(command, handle(&stdout), limit);
    Finished { stdout: text(&mut stdout), ..finished }
}

/// Runs `command` with its standard output going to `stdout`, which is not read; kills it when it has not ended after
/// `limit`.
///
/// # Panics
/// When it cannot be started.
pub fn run_into(mut command: Command, stdout: Stdio, limit: Duration) -> Finished {
    let mut stderr = temporary();
    command.stdout(stdout).stderr(handle(&stderr));
    let line = command_line(&command);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
    let status = wait(&mut child, limit);
    if status.is_none() {
        // Fails only when it ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
    Finished { command: line, status, stdout: String::new(), stderr: text(&mut stderr) }
}

/// Waits for the end of `child`, at most for `limit`.
pub(crate) fn wait(child: &mut std::process::Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(10)),
            Ok(None) => return None,
            Err(error) => panic!("cannot wait for process {}: {error}", child.id()),
        }
    }
}

pub(crate) fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn temporary() -> File {
    tempfile::tempfile().expect("a temporary file")
}

fn handle(file: &File) -> Stdio {
    file.try_clone().expect("a second handle of a temporary file").into()
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("the output is read");
    String::from_utf8_lossy(&bytes).into_owned()
}
