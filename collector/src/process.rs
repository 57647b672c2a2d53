//! What a process does to itself before it collects.
#![allow(unsafe_code, reason = "there is no safe way to say this to the allocator")]

use crate::files;

/// Raises the limit of open descriptors, and tells the allocator to keep little. To be called before there are other threads.
pub fn prepare() {
    files::raise_descriptor_limit();
    keep_little();
}

/// A scrape takes some megabytes for a moment. glibc would keep them, once for each thread that answers, for it learns from
/// each large block that is given back to keep blocks of that size. Other allocators need not be told.
fn keep_little() {
    #[cfg(target_env = "gnu")]
    {
        /// glibc's own first value, which it raises while it is not set.
        const LARGE_BLOCK_BYTES: libc::c_int = 128 * 1024;
        for (setting, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)] {
            // SAFETY: the function takes two numbers, and sets what the allocator goes by from now on.
            unsafe {
                libc::mallopt(setting, value);
            }
        }
    }
}
