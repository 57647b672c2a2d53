//! Memory that the allocator keeps for later goes back to the system.
//!
//! What is read at the start and with every round lies between what stays, and leaves holes: of a server of 5,000 nodes nearly half.
//! glibc fills holes again, but gives them back only when it is told to, and others on the machine may need them more.
#![allow(unsafe_code, reason = "there is no safe way to say this to the allocator")]
#![allow(clippy::disallowed_methods, reason = "an edge: reads /proc of this process")]

use std::time::Duration;

/// When it is first looked; then after twice the time, and so on.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A process that grew by less than this part of itself, or by less than so many bytes, is left alone: giving back holds up others.
const WORTH_PART: u64 = 8;
const WORTH_BYTES: u64 = 4 << 20;

/// To be called when much was thrown away.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes a number, and touches nothing but what the allocator has free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back now and then, for as long as it is polled: after 5, 10, 20 s and so on, at last every ten minutes, and only when the
/// process has grown since.
pub async fn keep_small() {
    let (mut pause, mut smallest) = (FIRST_LOOK, 0);
    loop {
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
        let Some(now) = own_bytes() else { return };
        if !has_grown(smallest, now) {
            continue;
        }
        // It takes milliseconds, and waits for whoever allocates just now.
        if tokio::task::spawn_blocking(give_back).await.is_err() {
            return;
        }
        smallest = own_bytes().unwrap_or(now);
        tracing::debug!(before_bytes = now, after_bytes = smallest, "gave memory back");
    }
}

fn has_grown(from_bytes: u64, to_bytes: u64) -> bool {
    to_bytes.saturating_sub(from_bytes) > (from_bytes / WORTH_PART).max(WORTH_BYTES)
}

/// What is resident and of no file.
fn own_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages = own_pages(&statm)?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Second field less third: resident, and of that what has a file behind it.
fn own_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, of_files) = (fields.next()?.ok()?, fields.next()?.ok()?);
    resident.checked_sub(of_files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read() {
        assert_eq!(own_pages("1000 300 100 5 0 400 0\n"), Some(200));
        assert_eq!(own_pages("1000 300"), None);
        assert_eq!(own_pages(""), None);
        assert!(own_bytes().unwrap() > 100_000);
    }

    #[test]
    fn little_growth_is_left_alone() {
        const MB: u64 = 1 << 20;
        assert!(has_grown(0, 5 * MB));
        assert!(!has_grown(0, 4 * MB));
        assert!(!has_grown(160 * MB, 180 * MB));
        assert!(has_grown(160 * MB, 181 * MB));
        assert!(!has_grown(200 * MB, 100 * MB));
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn holes_go_back() {
        // Kept and thrown away in turns, each smaller than what the allocator asks the system for by itself.
        let mut blocks: Vec<Vec<u8>> = (0..4_000).map(|_| vec![1; 32 * 1024]).collect();
        let mut index = 0;
        blocks.retain(|_| {
            index += 1;
            index % 8 == 0
        });
        let before = own_bytes().unwrap();
        give_back();
        let after = own_bytes().unwrap();
        assert!(after + 50_000_000 < before, "{before} to {after}");
        assert_eq!(blocks.len(), 500);
    }
}
