//! Upstream's controller as a child process that answers cases.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};

use crate::wire::{Case, Outcome};

/// A running peer, once its input was taken.
pub struct Peer {
    child: Child,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Peer {
    /// Starts it; cases go into the second part, in any number before answers are read.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Path) -> anyhow::Result<(Peer, ChildStdin)> {
        let child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| program.display().to_string())?;
        let input = child.stdin.take().context("the peer has no input")?;
        let output = child.stdout.take().context("the peer has no output")?;
        Ok((Peer { child, output: BufReader::with_capacity(1 << 20, output), line: String::new() }, input))
    }

    /// The answer to the next case, as it came.
    ///
    /// # Errors
    /// The peer has ended.
    pub fn answer(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        if self.output.read_line(&mut self.line)? == 0 || !self.line.starts_with('[') {
            bail!("the peer gave up: {} {:?}", self.line.trim(), self.child.wait());
        }
        Ok(self.line.trim_end())
    }

    /// Ends it, whatever it is at.
    pub fn stop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end, after the input was closed.
    ///
    /// # Errors
    /// The peer failed.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let rest = self.output.lines().collect::<Result<Vec<_>, _>>()?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the peer ended with {status}: {}", rest.join(" "));
        Ok(())
    }
}

/// A case as the peer gets it, one line.
///
/// v1.37 counts pods of phase Succeeded, later versions ignore them as failed ones, and so does Flyball: to the peer they
/// are Failed. [`crate::succeeded`] finds out when that is no longer needed.
///
/// # Errors
/// It cannot be written as JSON.
pub fn line(case: &Case) -> anyhow::Result<Vec<u8>> {
    let (template, mut case) = (case, case.clone());
    for pod in case.steps.iter_mut().flat_map(|step| &mut step.pods) {
        if pod.phase == "Succeeded" {
            pod.phase = "Failed".to_owned();
        }
        pod.own = pod.containers != template.containers || pod.init != template.init;
        if !pod.own {
            pod.containers.clear();
            pod.init.clear();
        }
    }
    line_as_is(&case)
}

/// The same without any substitution.
///
/// # Errors
/// It cannot be written as JSON.
pub fn line_as_is(case: &Case) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(case)?;
    line.push(b'\n');
    Ok(line)
}

/// What the peer made of a case.
///
/// # Errors
/// It is no answer.
pub fn outcomes(answer: &str) -> anyhow::Result<Vec<Outcome>> {
    serde_json::from_str(answer).with_context(|| format!("the peer's answer: {answer}"))
}

/// Sends a line.
///
/// # Errors
/// The peer has ended.
pub fn send(input: &mut ChildStdin, line: &[u8]) -> anyhow::Result<()> {
    input.write_all(line).context("the peer has ended")
}
