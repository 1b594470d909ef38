//! futex(2) on a word that several processes share.
//!
//! # Safety
//! The kernel only compares and hashes the word, which is a live atomic.
#![expect(unsafe_code, reason = "futex(2)")]

use std::ptr;
use std::sync::atomic::AtomicU32;

/// What stands beside the command in the operation: `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
pub(crate) const FLAGS: u32 = CLOCK_REALTIME | libc::FUTEX_PRIVATE_FLAG.cast_unsigned();
pub(crate) const CLOCK_REALTIME: u32 = libc::FUTEX_CLOCK_REALTIME.cast_unsigned();

/// Commands with an absolute time.
pub(crate) const WAIT_BITSET: u32 = libc::FUTEX_WAIT_BITSET.cast_unsigned();
pub(crate) const WAIT_REQUEUE_PI: u32 = libc::FUTEX_WAIT_REQUEUE_PI.cast_unsigned();
pub(crate) const LOCK_PI: u32 = libc::FUTEX_LOCK_PI.cast_unsigned();
pub(crate) const LOCK_PI2: u32 = libc::FUTEX_LOCK_PI2.cast_unsigned();

/// The operation of a call, its second argument: an `int`.
pub(crate) fn operation(args: &[u64; 6]) -> u32 {
    u32::try_from(args[1] & 0xffff_ffff).unwrap_or(0)
}

/// The command of a call.
pub(crate) fn command(args: &[u64; 6]) -> u32 {
    operation(args) & !FLAGS
}

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
