//! futex(2) on a word that several processes share.
//!
//! # Safety
//! The kernel only compares and hashes the word, which is a live atomic.
#![expect(unsafe_code, reason = "futex(2)")]

use std::ptr;
use std::sync::atomic::AtomicU32;

/// Waits until the word is woken, unless it is not `expected` any more; may also return without cause.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let none = ptr::null::<libc::timespec>();
    // SAFETY: see above; there is no timeout to be read.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            none,
        )
    };
}

/// Wakes one thread that waits for the word.
pub(crate) fn wake_one(word: &AtomicU32) {
    // SAFETY: see above.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}
