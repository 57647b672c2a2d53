//! Memory that the allocator keeps for later goes back to the system.
#![allow(unsafe_code, reason = "there is no safe way to say this to the allocator")]

/// To be called when much was thrown away: sealing and checkpoints leave holes of many megabytes, which would count as ours
/// until the next time. Only glibc keeps that much, and only it has to be told.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes a number, and touches nothing but what the allocator has free.
    unsafe {
        libc::malloc_trim(0);
    }
}
