//! How much CPU time a future takes: the thread's CPU clock before and after each poll.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Adds up the CPU time of the polls of `inner`, and returns it beside the result.
pub(crate) struct Metered<F> {
    inner: Pin<Box<F>>,
    spent: Duration,
}

impl<F: Future> Metered<F> {
    pub(crate) fn new(inner: Pin<Box<F>>) -> Metered<F> {
        Metered { inner, spent: Duration::ZERO }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = (F::Output, Duration);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let before = thread_cpu();
        let polled = self.inner.as_mut().poll(context);
        self.spent += thread_cpu().saturating_sub(before);
        polled.map(|output| (output, self.spent))
    }
}

fn thread_cpu() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec.unsigned_abs(), u32::try_from(tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_work_and_not_waiting() {
        let (_, waiting) = Metered::new(Box::pin(tokio::task::yield_now())).await;
        let mut sum = 0_u64;
        let (_, working) = Metered::new(Box::pin(async {
            for n in 0..3_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(n));
            }
        }))
        .await;
        assert!(working > waiting, "{working:?} of work, {waiting:?} of waiting");
    }
}
