//! Room of answers that are done with, kept by each thread for the next ones. Pure.
//!
//! The answers of nodes are alike, so the room of one fits the next. Given to the allocator and asked for again, pieces of
//! this size take about a sixth of the CPU time of a scrape.

use std::cell::{Cell, RefCell};

use flyball_model::samples::{Room, Samples};

/// Buffers that a thread keeps: what one scrape needs at a time.
const BUFFERS: usize = 4;
/// A longer one is given to the allocator.
const BUFFER_LIMIT_BYTES: usize = 256 * 1024;
/// A shorter one is not worth keeping.
const BUFFER_LEAST_BYTES: usize = 1024;

thread_local! {
    static BUFFERS_KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static ROOM_KEPT: Cell<Room> = Cell::default();
}

/// An empty buffer, mostly with room.
pub(crate) fn take() -> Vec<u8> {
    BUFFERS_KEPT.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// A buffer that is done with.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if !(BUFFER_LEAST_BYTES..=BUFFER_LIMIT_BYTES).contains(&buffer.capacity()) {
        return;
    }
    BUFFERS_KEPT.with_borrow_mut(|kept| {
        if kept.len() < BUFFERS {
            buffer.clear();
            kept.push(buffer);
        }
    });
}

/// Room for samples.
pub(crate) fn room() -> Room {
    ROOM_KEPT.take()
}

/// Samples that are done with.
pub(crate) fn give_samples(samples: Samples) {
    let (text, room) = samples.into_room();
    if text.capacity() <= BUFFER_LIMIT_BYTES {
        ROOM_KEPT.set(room);
    }
    give(text.into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_empty_and_limited() {
        for _ in 0..2 * BUFFERS {
            give(vec![1; 2 * BUFFER_LEAST_BYTES]);
        }
        give(vec![1; BUFFER_LIMIT_BYTES + 1]);
        give(vec![1; 1]);
        let kept: Vec<Vec<u8>> =
            std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0).collect();
        assert_eq!(kept.len(), BUFFERS);
        assert!(kept.iter().all(|buffer| buffer.is_empty() && buffer.capacity() == 2 * BUFFER_LEAST_BYTES));
    }
}
