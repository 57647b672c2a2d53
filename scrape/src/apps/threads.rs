//! Threads that unpack, read and store answers: few, named, and behind everything else on the processor. Whatever a target
//! answers, who serves and who scrapes nodes gets his turn first.
#![allow(clippy::disallowed_methods, reason = "an edge: the threads on which answers are stored")]

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// By how much they are nicer than the rest of the process: with 10, a thread gets about a tenth of what one of the others
/// gets that wants the same processor, and all of one that nobody wants.
const NICENESS: i32 = 10;

/// See the module. They are made when they are needed and end when they are not.
pub(super) struct StoreThreads(Option<Runtime>);

impl StoreThreads {
    /// As many as there are processors.
    pub(super) fn new() -> io::Result<StoreThreads> {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_current_thread()
            .thread_name("scrape-store")
            .max_blocking_threads(most)
            .on_thread_start(step_back)
            .build()?;
        Ok(StoreThreads(Some(runtime)))
    }

    /// Runs something that takes its time; `None` when the threads have ended.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        Some(self.0.as_ref()?.spawn_blocking(work))
    }
}

/// Puts the calling thread behind the others. Where that is refused it works at their priority.
fn step_back() {
    // The system call without an id is about the calling thread, not about the process.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "answers are stored at the priority of everything else");
    }
}

impl Drop for StoreThreads {
    fn drop(&mut self) {
        // May be dropped by a task, which must not wait for threads.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn storing_steps_back_and_nobody_else_does() {
        let own = rustix::process::getpriority_process(None).unwrap();
        let threads = StoreThreads::new().unwrap();
        let asked = threads.spawn(|| rustix::process::getpriority_process(None).unwrap());
        assert_eq!(asked.unwrap().await.unwrap(), NICENESS.max(own));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }
}
