//! Logs on disk: `<dir>/pods/<uid>/<container>/<n>.log`, `n` being the restart count of the run.
//!
//! A file never exceeds [`MAX_FILE_BYTES`]: then it becomes `<n>.log.1`, replacing an earlier one. The last two runs are
//! kept, and all of a pod's logs until the pod is gone.
#![allow(clippy::disallowed_methods, reason = "edge: log files")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::lines::Lines;

/// Most bytes of one log file; with the file before it a run keeps twice that.
pub const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;
/// Bytes read from a container at once.
const READ_BYTES: usize = 16 * 1024;

/// Where logs are.
#[derive(Debug, Clone)]
pub struct LogFolder {
    pods: PathBuf,
}

impl LogFolder {
    /// Below the instance's folder.
    pub fn new(dir: &Path) -> Self {
        Self { pods: dir.join("pods") }
    }

    /// The log of one run.
    pub fn file(&self, uid: &str, container: &str, run: u32) -> PathBuf {
        self.pods.join(uid).join(container).join(format!("{run}.log"))
    }

    /// The file that a run's log was moved to when it grew too large.
    pub fn rotated(file: &Path) -> PathBuf {
        file.with_extension("log.1")
    }

    /// Opens the log of a run and drops those before the previous one.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn open(&self, uid: &str, container: &str, run: u32) -> io::Result<LogFile> {
        let path = self.file(uid, container, run);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if let Some(old) = run.checked_sub(2) {
            let old = self.file(uid, container, old);
            let _ = fs::remove_file(Self::rotated(&old));
            let _ = fs::remove_file(old);
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(LogFile { path, file, size })
    }

    /// Removes all logs of a pod.
    pub fn remove_pod(&self, uid: &str) {
        let _ = fs::remove_dir_all(self.pods.join(uid));
    }

    /// Removes the logs of pods that are not among these.
    pub fn retain(&self, uids: &std::collections::BTreeSet<String>) {
        for entry in fs::read_dir(&self.pods).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|uid| !uids.contains(uid)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// One run's log, open for writing.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl LogFile {
    fn write(&mut self, records: &[u8]) -> io::Result<()> {
        let length = records.len() as u64;
        if self.size > 0 && self.size + length > MAX_FILE_BYTES {
            fs::rename(&self.path, LogFolder::rotated(&self.path))?;
            self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(records)?;
        self.size += length;
        Ok(())
    }

    /// Copies both streams of a container into the log until both have ended. A log that cannot be written is given
    /// up, but the streams are still read: a container must not stop because a disk is full.
    pub async fn record(mut self, stdout: impl AsyncRead + Unpin, stderr: impl AsyncRead + Unpin) {
        let (mut out, mut err) = (Source::new("stdout", stdout), Source::new("stderr", stderr));
        let mut broken = false;
        while !(out.ended && err.ended) {
            let (out_open, err_open) = (!out.ended, !err.ended);
            let records = tokio::select! {
                records = out.read(), if out_open => records,
                records = err.read(), if err_open => records,
            };
            if !broken && let Err(error) = self.write(&records) {
                tracing::warn!(file = %self.path.display(), %error, "log cannot be written");
                broken = true;
            }
        }
    }
}

struct Source<R> {
    lines: Lines,
    stream: R,
    buffer: Vec<u8>,
    ended: bool,
}

/// Now, as records state it.
fn stamp() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(name: &'static str, stream: R) -> Self {
        Self { lines: Lines::new(name), stream, buffer: vec![0; READ_BYTES], ended: false }
    }

    /// Reads once and returns the records completed. Cancelling loses nothing: a read either has happened or not.
    async fn read(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        match self.stream.read(&mut self.buffer).await {
            Ok(length) if length > 0 => self.lines.feed(&self.buffer[..length], &stamp(), &mut records),
            _ => {
                self.ended = true;
                self.lines.finish(&stamp(), &mut records);
            }
        }
        records
    }
}
