//! The configuration file is read again when it has changed.
//!
//! Promise: a file that is wrong, or gone, changes nothing; that is said once, and shown, until the file is good again.
#![allow(clippy::disallowed_methods, reason = "an edge: reads a file now and then")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::clock::unix_ms;
use super::config::{Config, LoadError, text_hash, text_of};
use super::job::Job;

/// How often the file is looked at. A ConfigMap that is mounted changes about a minute after its object.
pub const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

/// What is known of the configuration, for those who ask.
#[derive(Debug, Clone)]
pub struct ConfigView(Arc<Inner>);

/// Who waits for the file to be read, and is told what is wrong with it.
type Waiting = oneshot::Sender<Result<(), String>>;

/// Those who may wait at once; further ones wait for a place.
const WAITING_MAX: usize = 16;

#[derive(Debug)]
struct Inner {
    /// Who reads the file, if there is one.
    reader: Option<mpsc::Sender<Waiting>>,
    known: Mutex<Known>,
    successful: Gauge,
    loaded_seconds: Gauge,
}

/// See [`ConfigView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The text that holds, without the secrets in it.
    pub shown: String,
    /// Whether the file, as it was last seen, is what holds.
    pub is_current: bool,
    /// Since when it holds, Unix milliseconds.
    pub loaded_ms: i64,
}

impl ConfigView {
    /// A configuration that holds from now on, and comes from no file.
    #[must_use]
    pub fn new(shown: &str) -> ConfigView {
        ConfigView::read_by(shown, None)
    }

    fn read_by(shown: &str, reader: Option<mpsc::Sender<Waiting>>) -> ConfigView {
        let known = Known { shown: shown.to_owned(), is_current: true, loaded_ms: unix_ms() };
        let view = Inner {
            reader,
            known: Mutex::new(known),
            successful: Gauge::default(),
            loaded_seconds: Gauge::default(),
        };
        view.successful.set(1);
        view.loaded_seconds.set(unix_ms() / 1000);
        ConfigView(Arc::new(view))
    }

    /// Registers what is said about it under Prometheus' names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "prometheus_config_last_reload_successful",
            "Whether the configuration file, as it was last seen, is what holds",
            self.0.successful.clone(),
        );
        registry.register(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "Since when the configuration holds",
            self.0.loaded_seconds.clone(),
        );
    }

    /// Has the file read again now.
    ///
    /// # Errors
    /// What is wrong with it, or that there is none.
    pub async fn reload(&self) -> Result<(), String> {
        let Some(reader) = &self.0.reader else { return Err("there is no --config.file".to_owned()) };
        let ended = || "the server is being stopped".to_owned();
        let (waiting, told) = oneshot::channel();
        reader.send(waiting).await.map_err(|_| ended())?;
        told.await.map_err(|_| ended())?
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self, shown: Option<String>) {
        let mut known = self.lock();
        known.is_current = true;
        self.0.successful.set(1);
        if let Some(shown) = shown {
            (known.shown, known.loaded_ms) = (shown, unix_ms());
            self.0.loaded_seconds.set(known.loaded_ms / 1000);
        }
    }

    fn is_behind(&self) {
        self.lock().is_current = false;
        self.0.successful.set(0);
    }
}

/// Who reads the file again.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    /// Hash of the text that holds.
    holds: u64,
    view: ConfigView,
    jobs: watch::Sender<Vec<Job>>,
    /// What was wrong when it was last looked at.
    told: String,
    /// Who wants it read now.
    waiting: mpsc::Receiver<Waiting>,
}

impl Reload {
    /// Begins with what was read of the file; its jobs are received from now on.
    #[must_use]
    pub fn new(path: PathBuf, config: Config) -> (Reload, ConfigView, watch::Receiver<Vec<Job>>) {
        let (asking, waiting) = mpsc::channel(WAITING_MAX);
        let view = ConfigView::read_by(&config.shown, Some(asking));
        let (jobs, receiver) = watch::channel(config.jobs);
        let holds = config.text_hash;
        (Reload { path, holds, view: view.clone(), jobs, told: String::new(), waiting }, view, receiver)
    }

    /// Looks at the file until `stop`, each [`LOOKED_AT_EVERY`] and whenever it is `asked` to.
    pub async fn follow(mut self, asked: Arc<Notify>, stop: CancellationToken) {
        loop {
            let waiting = tokio::select! {
                () = stop.cancelled() => return,
                () = asked.notified() => None,
                // Views hold the senders, and this one holds a view.
                waiting = self.waiting.recv() => waiting,
                () = tokio::time::sleep(LOOKED_AT_EVERY) => None,
            };
            self.look().await;
            if let Some(waiting) = waiting {
                let wrong = self.told.clone();
                // Who asked may be gone.
                let _ = waiting.send(if wrong.is_empty() { Ok(()) } else { Err(wrong) });
            }
        }
    }

    /// Passes the jobs of the file on if it says something else than what holds.
    async fn look(&mut self) {
        let (file, holds) = (self.path.clone(), self.holds);
        let read = tokio::task::spawn_blocking(move || read_if_new(&file, holds));
        // It ends before it is done only with the runtime.
        let Ok(read) = read.await else { return };
        let told = std::mem::take(&mut self.told);
        match read {
            Ok(None) => self.view.holds(None),
            Ok(Some(config)) => {
                let (file, jobs) = (self.path.display(), config.jobs.len());
                tracing::info!(%file, jobs, "another configuration holds from now on");
                self.holds = config.text_hash;
                self.view.holds(Some(config.shown));
                self.jobs.send_replace(config.jobs);
            }
            Err(error) => {
                self.told = error.to_string();
                self.view.is_behind();
                if self.told != told {
                    tracing::error!(
                        reason = self.told,
                        "the configuration file is not taken; the one before holds"
                    );
                }
            }
        }
    }
}

fn read_if_new(file: &Path, holds: u64) -> Result<Option<Config>, LoadError> {
    let text = text_of(file)?;
    if text_hash(&text) == holds {
        return Ok(None);
    }
    Ok(Some(Config::parse(&text, file)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(jobs: &watch::Receiver<Vec<Job>>) -> Vec<String> {
        jobs.borrow().iter().map(|job| job.name.clone()).collect()
    }

    #[tokio::test]
    async fn whoever_asks_for_it_is_told_what_came_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yml");
        std::fs::write(&path, "scrape_configs: [{job_name: a}]").unwrap();
        let (reload, view, jobs) = Reload::new(path.clone(), Config::load(&path).unwrap());
        let stop = CancellationToken::new();
        let follows = tokio::spawn(reload.follow(Arc::default(), stop.clone()));
        std::fs::write(&path, "scrape_configs: [{job_name: b}]").unwrap();
        assert_eq!(view.reload().await, Ok(()));
        assert_eq!(names(&jobs), ["b"]);
        std::fs::write(&path, "scrape_configs: [{job_nam: c}]").unwrap();
        let wrong = view.reload().await.unwrap_err();
        assert!(wrong.contains("p.yml:1: scrape_configs[0].job_name: it is missing"), "{wrong}");
        assert_eq!(names(&jobs), ["b"]);
        stop.cancel();
        follows.await.unwrap();
        assert!(view.reload().await.is_err(), "nobody reads it any more");
        assert!(ConfigView::new("").reload().await.unwrap_err().contains("--config.file"));
    }

    #[tokio::test]
    async fn a_bad_file_changes_nothing_until_it_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yml");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("scrape_configs: [{job_name: a}]");
        let (mut reload, view, mut jobs) = Reload::new(path.clone(), Config::load(&path).unwrap());
        reload.look().await;
        assert!(!jobs.has_changed().unwrap() && view.known().is_current);
        for bad in ["scrape_configs: [{job_nam: b}]", "scrape_configs: {"] {
            write(bad);
            reload.look().await;
            assert!(!jobs.has_changed().unwrap() && !view.known().is_current, "{bad}");
            assert!(
                view.known().shown.contains("job_name: a") && reload.told.contains("p.yml:1"),
                "{}",
                reload.told
            );
        }
        std::fs::remove_file(&path).unwrap();
        reload.look().await;
        assert!(!view.known().is_current && reload.told.starts_with("cannot read"), "{}", reload.told);
        // As it was is good again, and no change.
        write("scrape_configs: [{job_name: a}]");
        reload.look().await;
        assert!(!jobs.has_changed().unwrap() && view.known().is_current);
        write("scrape_configs: [{job_name: b}, {job_name: c}]");
        reload.look().await;
        assert!(jobs.has_changed().unwrap());
        jobs.mark_unchanged();
        assert_eq!(names(&jobs), ["b", "c"]);
        assert!(view.known().is_current && view.known().shown.contains("job_name: b"));
    }
}
