//! Threads of history: named, few, and behind everything else on the processor. Whatever they do, requests that do not ask
//! history get their turn first.
#![allow(clippy::disallowed_methods, reason = "edge: the threads on which history works")]

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::series::ReadError;

/// By how much they are nicer than the rest of the process: with 10, a thread gets about a tenth of what one of the others
/// gets that wants the same processor, and all of one that nobody wants.
const NICENESS: i32 = 10;

/// Puts the calling thread behind the others. Where that is refused it works at their priority.
pub(crate) fn step_back() {
    // The system call without an id is about the calling thread, not about the process.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "history works at the priority of everything else");
    }
}

/// Threads that queries run on. They are made when they are needed and end when they are not.
pub(crate) struct QueryThreads(Option<Runtime>);

impl QueryThreads {
    pub(crate) fn new(most: usize) -> io::Result<QueryThreads> {
        let runtime = Builder::new_current_thread()
            .thread_name("tsdb-query")
            .max_blocking_threads(most.max(1))
            .on_thread_start(step_back)
            .build()?;
        Ok(QueryThreads(Some(runtime)))
    }

    /// Runs something that takes its time; `None` when the threads have ended.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        Some(self.0.as_ref()?.spawn_blocking(work))
    }
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        // May be dropped by a task, which must not wait for threads.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Does all of some work: the first piece here, each of the others on a thread of its own, as nice as this one. The first failure
/// is answered when all are done.
pub(crate) fn share_out<W: Send, V: Send>(
    pieces: impl Iterator<Item = (W, V)>,
    work: impl Fn(W, V) -> Result<(), ReadError> + Sync,
) -> Result<(), ReadError> {
    let mut pieces = pieces;
    let first = pieces.next();
    std::thread::scope(|scope| {
        let mut outcome = Ok(());
        let mut others = Vec::new();
        for (piece, of) in pieces {
            let work = &work;
            let thread = std::thread::Builder::new().name("tsdb-query".to_owned());
            match thread.spawn_scoped(scope, move || work(piece, of)) {
                Ok(thread) => others.push(thread),
                Err(error) => outcome = Err(ReadError::Store(format!("no thread can be started: {error}"))),
            }
        }
        if let Some((piece, of)) = first {
            outcome = outcome.and(work(piece, of));
        }
        for thread in others {
            let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(done);
        }
        outcome
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queries_step_back_and_nobody_else_does() {
        let own = rustix::process::getpriority_process(None).unwrap();
        let threads = QueryThreads::new(2).unwrap();
        let asked = threads.spawn(|| {
            let name = std::thread::current().name().map(str::to_owned);
            (rustix::process::getpriority_process(None).unwrap(), name)
        });
        let (priority, name) = asked.unwrap().await.unwrap();
        assert_eq!((priority, name.as_deref()), (NICENESS.max(own), Some("tsdb-query")));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }

    #[test]
    fn all_of_shared_work_is_done_and_a_failure_is_told() {
        let done = std::sync::Mutex::new(Vec::new());
        let work = |piece: u32, _: ()| {
            done.lock().unwrap().push(piece);
            if piece == 2 { Err(ReadError::Store("two".to_owned())) } else { Ok(()) }
        };
        let outcome = share_out((0..4).map(|piece| (piece, ())), work);
        assert_eq!(outcome, Err(ReadError::Store("two".to_owned())));
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2, 3]);
        assert_eq!(share_out(std::iter::empty::<((), ())>(), |(), ()| Ok(())), Ok(()));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_costs_nothing_else() {
        let threads = QueryThreads::new(1).unwrap();
        assert!(threads.spawn(|| panic!("on purpose")).unwrap().await.is_err());
        assert_eq!(threads.spawn(|| 1).unwrap().await.unwrap(), 1);
    }
}
