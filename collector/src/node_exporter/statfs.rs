#![allow(clippy::disallowed_methods, reason = "asks the kernel on threads of its own, and watches the clock")]
//! statfs(2) for many mounts without ever waiting long for one; see [`super::filesystem`].

use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a scrape waits for all mounts together.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long it waits for the rest once one has not answered.
const LITTLE_PATIENCE: Duration = Duration::from_millis(20);
/// How long a mount may be silent before that is an error.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// Most threads left to mounts that do not answer. Further such mounts are not asked.
const MAX_LEFT: usize = 8;
/// How old an answer that came too late may be when it is shown at the next scrape.
const LATE_LIMIT: Duration = Duration::from_secs(60);
/// What upstream says of a mount that does not answer.
const TIMEOUT: &str = "mountpoint timeout";

/// Sizes of a file system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// All of it.
    pub size_bytes: f64,
    /// What is not used.
    pub free_bytes: f64,
    /// What users other than root may use.
    pub avail_bytes: f64,
    /// File nodes.
    pub files: f64,
    /// File nodes not used.
    pub files_free: f64,
}

/// What is known of a mount.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Its sizes.
    Stat(Stat),
    /// Why there are none.
    Error(String),
    /// Nothing yet.
    Silent,
}

impl Answer {
    /// Sizes, if there are.
    pub fn stat(&self) -> Option<&Stat> {
        match self {
            Answer::Stat(stat) => Some(stat),
            _ => None,
        }
    }

    /// Why there are none, if that is known.
    pub fn error(&self) -> Option<&str> {
        match self {
            Answer::Error(error) => Some(error),
            _ => None,
        }
    }
}

/// Asks the kernel.
pub fn ask_kernel(path: &Path) -> Answer {
    match rustix::fs::statfs(path) {
        Ok(stat) => {
            // Widths differ between architectures.
            #[allow(
                clippy::unnecessary_cast,
                reason = "the width of these fields differs between architectures"
            )]
            let bytes = |blocks: u64| blocks as f64 * stat.f_bsize as f64;
            Answer::Stat(Stat {
                size_bytes: bytes(stat.f_blocks),
                free_bytes: bytes(stat.f_bfree),
                avail_bytes: bytes(stat.f_bavail),
                files: stat.f_files as f64,
                files_free: stat.f_ffree as f64,
            })
        }
        Err(errno) => Answer::Error(error_text(errno)),
    }
}

/// The words Go has for an error: they are a label's value upstream.
fn error_text(errno: Errno) -> String {
    match errno {
        Errno::STALE => "stale NFS file handle".to_owned(),
        Errno::NOTCONN => "transport endpoint is not connected".to_owned(),
        Errno::IO => "input/output error".to_owned(),
        errno => {
            let text = std::io::Error::from(errno).to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

/// Mounts asked in one go by one thread.
struct Batch {
    paths: Vec<PathBuf>,
    /// As many as were answered, with when.
    answers: Mutex<Vec<(Answer, Instant)>>,
    /// The thread shall end after the answer it waits for.
    left: AtomicBool,
}

impl Batch {
    fn answered(&self) -> std::sync::MutexGuard<'_, Vec<(Answer, Instant)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    batches: Sender<Arc<Batch>>,
    done: Receiver<()>,
}

/// A mount that has not answered.
struct Stuck {
    batch: Arc<Batch>,
    index: usize,
    since: Instant,
}

type Ask = fn(&Path) -> Answer;

/// Asks for many mounts.
pub struct Statfs {
    ask: Ask,
    worker: Option<Worker>,
    stuck: Vec<Stuck>,
}

impl Statfs {
    /// No thread runs before the first question.
    pub fn new(ask: Ask) -> Statfs {
        Statfs { ask, worker: None, stuck: Vec::new() }
    }

    /// An answer for each path.
    pub fn ask(&mut self, paths: Vec<PathBuf>) -> Vec<Answer> {
        let now = Instant::now();
        let late = self.take_late(now);
        let mut answers = vec![Answer::Silent; paths.len()];
        let mut asked = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            let stuck = self.stuck.iter().find(|stuck| stuck.batch.paths[stuck.index] == *path);
            if let Some(stuck) = stuck {
                if now.saturating_duration_since(stuck.since) >= SILENCE_LIMIT {
                    answers[index] = Answer::Error(TIMEOUT.to_owned());
                }
            } else if let Some((_, answer)) = late.iter().find(|(late, _)| late == path) {
                answers[index] = answer.clone();
            } else {
                asked.push(index);
            }
        }
        let mut patience = PATIENCE;
        let mut rest = &asked[..];
        while !rest.is_empty() {
            if self.stuck.len() >= MAX_LEFT {
                for index in rest {
                    answers[*index] = Answer::Error(TIMEOUT.to_owned());
                }
                break;
            }
            let given = self.ask_batch(rest.iter().map(|index| paths[*index].clone()).collect(), patience);
            let count = given.len();
            for (index, answer) in rest.iter().zip(given) {
                answers[*index] = answer;
            }
            // The one after those given is stuck.
            rest = rest.get(count + 1..).unwrap_or_default();
            patience = LITTLE_PATIENCE;
        }
        answers
    }

    /// Answers that came after their scrape. Such a mount may be asked again.
    fn take_late(&mut self, now: Instant) -> Vec<(PathBuf, Answer)> {
        let mut late = Vec::new();
        self.stuck.retain(|stuck| {
            let answered = stuck.batch.answered();
            let Some((answer, when)) = answered.get(stuck.index) else { return true };
            if now.saturating_duration_since(*when) < LATE_LIMIT {
                late.push((stuck.batch.paths[stuck.index].clone(), answer.clone()));
            }
            false
        });
        late
    }

    /// The answers up to the first that did not come in time.
    fn ask_batch(&mut self, paths: Vec<PathBuf>, patience: Duration) -> Vec<Answer> {
        let since = Instant::now();
        let batch = Arc::new(Batch { paths, answers: Mutex::default(), left: AtomicBool::new(false) });
        let Some(worker) = self.worker.take().or_else(|| start(self.ask)) else { return Vec::new() };
        let sent = worker.batches.send(batch.clone()).is_ok();
        match sent.then(|| worker.done.recv_timeout(patience)) {
            Some(Ok(())) => self.worker = Some(worker),
            Some(Err(RecvTimeoutError::Timeout)) => {
                batch.left.store(true, Ordering::Release);
                let index = batch.answered().len();
                if index < batch.paths.len() {
                    self.stuck.push(Stuck { batch: batch.clone(), index, since });
                }
            }
            _ => {}
        }
        batch.answered().iter().map(|(answer, _)| answer.clone()).collect()
    }
}

fn start(ask: Ask) -> Option<Worker> {
    let (batches, incoming) = channel::<Arc<Batch>>();
    let (finished, done) = channel();
    let work = move || {
        for batch in incoming {
            for path in &batch.paths {
                let answer = ask(path);
                batch.answered().push((answer, Instant::now()));
                if batch.left.load(Ordering::Acquire) {
                    return;
                }
            }
            if finished.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("flyball-statfs".to_owned()).stack_size(64 * 1024).spawn(work).ok()?;
    Some(Worker { batches, done })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(size_bytes: f64) -> Answer {
        Answer::Stat(Stat { size_bytes, free_bytes: 0.0, avail_bytes: 0.0, files: 0.0, files_free: 0.0 })
    }

    static HUNG: Mutex<()> = Mutex::new(());

    fn hang_at_h(path: &Path) -> Answer {
        if path.to_string_lossy().starts_with("/h") {
            drop(HUNG.lock());
        }
        stat(path.as_os_str().len() as f64)
    }

    #[test]
    fn a_mount_that_hangs_delays_nobody_and_is_an_error_in_the_end() {
        let paths = || ["/a", "/h1", "/bb", "/h2", "/ccc"].map(PathBuf::from).to_vec();
        let mut statfs = Statfs::new(hang_at_h);
        let hung = HUNG.lock().unwrap();
        let start = Instant::now();
        let first = [stat(2.0), Answer::Silent, stat(3.0), Answer::Silent, stat(4.0)];
        assert_eq!(statfs.ask(paths()), first);
        assert_eq!(statfs.ask(paths()), first, "they are not asked again");
        assert!(start.elapsed() < Duration::from_secs(4));
        assert_eq!(statfs.stuck.len(), 2);
        for stuck in &mut statfs.stuck {
            stuck.since -= SILENCE_LIMIT;
        }
        let error = Answer::Error(TIMEOUT.to_owned());
        assert_eq!(statfs.ask(paths())[1], error);
        drop(hung);
        let start = Instant::now();
        while statfs.ask(paths()).iter().any(|answer| answer.stat().is_none()) {
            assert!(start.elapsed() < Duration::from_secs(20), "they answer in the end");
        }
        assert!(statfs.stuck.is_empty());
    }

    #[test]
    fn too_many_hung_mounts_are_not_asked() {
        fn hang(_: &Path) -> Answer {
            std::thread::sleep(Duration::from_secs(3600));
            Answer::Silent
        }
        let mut statfs = Statfs::new(hang);
        let answers = statfs.ask((0..20).map(|index| PathBuf::from(format!("/{index}"))).collect());
        assert_eq!(statfs.stuck.len(), MAX_LEFT);
        assert_eq!(answers.iter().filter(|answer| answer.error() == Some(TIMEOUT)).count(), 20 - MAX_LEFT);
    }

    #[test]
    fn the_kernel_answers() {
        assert!(ask_kernel(Path::new("/")).stat().is_some_and(|stat| stat.size_bytes >= stat.free_bytes));
        let error = ask_kernel(Path::new("/no/such/folder"));
        assert_eq!(error, Answer::Error("no such file or directory".to_owned()));
    }
}
