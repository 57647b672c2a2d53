//! What a process does to itself before it collects, and one that serves what others collect.
#![allow(unsafe_code, reason = "there is no safe way to say this to the allocator")]

use crate::files;

/// Raises the limit of open descriptors, and tells the allocator to keep little. To be called before there are other threads.
pub fn prepare() {
    files::raise_descriptor_limit();
    keep_little();
}

/// Lets all threads allocate from one heap: of several, each keeps holes that only its own threads fill again. To be called
/// before there are other threads, and not by a program whose threads allocate much at the same time. Other allocators than
/// glibc's need not be told.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    set(libc::M_ARENA_MAX, 1);
}

/// A scrape takes some megabytes for a moment. glibc would keep them, once for each thread that answers, for it learns from
/// each large block that is given back to keep blocks of that size.
fn keep_little() {
    share_one_heap();
    #[cfg(target_env = "gnu")]
    {
        /// glibc's own first value, which it raises while it is not set.
        const LARGE_BLOCK_BYTES: libc::c_int = 128 * 1024;
        set(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    }
}

#[cfg(target_env = "gnu")]
fn set(setting: libc::c_int, value: libc::c_int) {
    // SAFETY: the function takes two numbers, and sets what the allocator goes by from now on.
    unsafe {
        libc::mallopt(setting, value);
    }
}
