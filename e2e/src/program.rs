//! Programs that go on until they are told to end: their standard output is read line by line, their standard error is
//! kept in a file.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::run::{command_line, wait};

/// Time a program has to end after SIGTERM before it is killed on drop.
const DROP_LIMIT: Duration = Duration::from_secs(30);

/// Lines of standard error shown in messages.
const TAIL_LINES: usize = 60;

/// A program that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    /// Behind a lock only so that a program may be shared between threads.
    lines: Mutex<Receiver<String>>,
    seen: Vec<String>,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Program {
    /// Starts `command`; its standard error is appended to the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let name = command_line(&command);
        let file = File::options().create(true).append(true).open(log).expect("the log file opens");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Reads on until [`Program::hang_up`], so that the program never waits for a reader.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { name, child, lines: Mutex::new(lines), seen: Vec::new(), log: log.to_owned(), status: None }
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output that `wanted` makes a value of. Lines before it stay in [`Program::seen`].
    ///
    /// # Errors
    /// When it ended or `limit` passed first: says so, with its output and the end of its standard error.
    pub fn wait_line<T>(&mut self, limit: Duration, wanted: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let start = Instant::now();
        loop {
            match self
                .lines
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .recv_timeout(limit.saturating_sub(start.elapsed()))
            {
                Ok(line) => {
                    let found = wanted(&line);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("no such line after {} s\n{}", limit.as_secs(), self.state()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.wait(Duration::from_secs(5));
                    return Err(format!("it ended before such a line\n{}", self.state()));
                }
            }
        }
    }

    /// Lines of standard output up to now.
    pub fn seen(&mut self) -> &[String] {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.seen.extend(lines.try_iter());
        &self.seen
    }

    /// Stops reading its standard output: the pipe is closed with the next line, as `head` does.
    pub fn hang_up(&mut self) {
        self.seen();
        let (_, nobody) = channel();
        self.lines = Mutex::new(nobody);
    }

    /// Sends a signal; nothing happens when it has ended already.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (None, Some(pid)) = (self.status, pid) {
            // Fails only when it ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end; `None` when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = wait(&mut self.child, limit);
        }
        self.status
    }

    /// What there is to know of it, for messages.
    #[must_use]
    pub fn state(&self) -> String {
        let state = self.status.map_or_else(|| "not seen ending".to_owned(), |status| status.to_string());
        format!("$ {}\n{state}\nstdout:\n{}\n{}", self.name, self.seen.join("\n"), log_tail(&self.log))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if self.wait(DROP_LIMIT).is_none() {
            self.signal(Signal::KILL);
            self.wait(DROP_LIMIT);
        }
    }
}

/// The last lines of a log file, under a heading.
pub(crate) fn log_tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("log, last {} of {} lines:\n{}", tail.len(), lines.len(), tail.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Program, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        (Program::start(command, &folder.path().join("log")), folder)
    }

    #[test]
    fn lines_are_waited_for() {
        let (mut program, _folder) = shell("echo one; echo oops >&2; echo two; exec sleep 100000");
        let second =
            program.wait_line(Duration::from_secs(20), |line| line.strip_prefix("tw").map(str::to_owned));
        assert_eq!(second.as_deref(), Ok("o"));
        assert_eq!(program.seen(), ["one", "two"]);
        assert!(program.state().contains("oops"), "{}", program.state());
        program.signal(Signal::TERM);
        assert!(program.wait(Duration::from_secs(20)).is_some_and(|status| !status.success()));
    }

    #[test]
    fn a_program_notices_that_nobody_reads() {
        let (mut program, _folder) = shell("while echo line; do sleep 0.01; done; exit 7");
        program.wait_line(Duration::from_secs(20), |_| Some(())).expect("a line comes");
        program.hang_up();
        let status = program.wait(Duration::from_secs(20));
        assert!(status.is_some_and(|status| !status.success()), "{status:?}");
    }

    #[test]
    fn an_early_end_is_told() {
        let (mut program, _folder) = shell("echo why >&2; exit 3");
        let error = program.wait_line(Duration::from_secs(20), |_| Some(())).expect_err("no line comes");
        assert!(error.contains("it ended") && error.contains("why") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut command = Command::new("sleep");
        command.arg("100000");
        let finished = crate::run(command, "", Duration::from_millis(50));
        assert!(
            finished.status.is_none() && finished.to_string().contains("did not end in time"),
            "{finished}"
        );
        let finished = crate::run(Command::new("cat"), "in and out", Duration::from_secs(20));
        assert!(finished.success() && finished.stdout == "in and out", "{finished}");
    }
}
