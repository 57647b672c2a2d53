//! The bounded queue between who scrapes and who stores: putting in never waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Something that takes room in the queue.
pub(crate) trait Weight {
    /// How many samples it holds.
    fn samples(&self) -> usize;
}

struct Waiting<T> {
    items: VecDeque<T>,
    samples: usize,
    closed: bool,
}

/// What waits for the store.
pub(crate) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    wake: Condvar,
    items_max: usize,
    samples_max: usize,
}

impl<T: Weight> Queue<T> {
    /// At most so many items, and so many samples in all of them.
    pub(crate) fn new(items_max: usize, samples_max: usize) -> Queue<T> {
        let waiting = Waiting { items: VecDeque::new(), samples: 0, closed: false };
        Queue { waiting: Mutex::new(waiting), wake: Condvar::new(), items_max, samples_max }
    }

    /// Puts an item in unless there is no room; `false` then.
    pub(crate) fn offer(&self, make: impl FnOnce() -> T, samples: usize) -> bool {
        let fits = |waiting: &Waiting<T>| {
            // One that is larger than the whole queue still gets in alone.
            let room = waiting.samples + samples <= self.samples_max || waiting.items.is_empty();
            !waiting.closed && waiting.items.len() < self.items_max && room
        };
        if !fits(&self.lock()) {
            return false;
        }
        // Made without the lock: copying takes a while.
        let item = make();
        let mut waiting = self.lock();
        if !fits(&waiting) {
            return false;
        }
        waiting.samples += item.samples();
        waiting.items.push_back(item);
        drop(waiting);
        self.wake.notify_one();
        true
    }

    /// The next item; `Ok(None)` when there was none for so long, `Err` when the queue is closed and empty.
    pub(crate) fn take(&self, wait: Duration) -> Result<Option<T>, Closed> {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting<T>| waiting.items.is_empty() && !waiting.closed;
        let waited = self.wake.wait_timeout_while(waiting, wait, idle);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        match waiting.items.pop_front() {
            Some(item) => {
                waiting.samples -= item.samples();
                Ok(Some(item))
            }
            None if waiting.closed => Err(Closed),
            None => Ok(None),
        }
    }

    /// Nothing goes in any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Whether nothing goes in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits for so long, or until the queue is closed.
    pub(crate) fn pause(&self, wait: Duration) {
        let waited = self.wake.wait_timeout_while(self.lock(), wait, |waiting| !waiting.closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue is closed and empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for usize {
        fn samples(&self) -> usize {
            *self
        }
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let queue: Queue<usize> = Queue::new(3, 10);
        let offer = |samples| queue.offer(|| samples, samples);
        assert!(offer(20), "alone it gets in");
        assert!(!offer(1));
        assert_eq!(queue.take(Duration::ZERO), Ok(Some(20)));
        assert!(offer(4) && offer(4) && !offer(4) && offer(2) && !offer(0));
        queue.close();
        assert!(!offer(1));
        for expected in [4, 4, 2] {
            assert_eq!(queue.take(Duration::ZERO), Ok(Some(expected)));
        }
        assert_eq!(queue.take(Duration::from_secs(3600)), Err(Closed));
    }
}
