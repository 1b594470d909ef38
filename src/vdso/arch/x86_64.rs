//! The x86-64 side of the image: the counter and the system call.
#![expect(unsafe_code, reason = "rdtscp and syscall")]

use core::arch::asm;

/// `clock_mode` of data that the counter below continues (`VDSO_CLOCKMODE_TSC`).
pub(crate) const COUNTER_MODE: u32 = 1;

/// The time stamp counter, read after every earlier load has completed.
///
/// A plain `rdtsc` may be read early, and was seen to run backwards between two processors.
#[inline(always)]
pub(crate) fn counter() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: changes only the named registers. The processor has the instruction, or the composer
    // would not have marked any clock as read directly. Memory is taken as touched, so that the
    // compiler keeps the order too.
    unsafe {
        asm!("rdtscp", out("rax") low, out("rdx") high, out("rcx") _, options(nostack, preserves_flags));
    }
    high << 32 | low
}

/// System call numbers.
#[cfg_attr(not(elsewhen_image), expect(dead_code, reason = "the image's side"))]
pub(crate) mod nr {
    pub(crate) const GETTIMEOFDAY: u64 = 96;
    pub(crate) const CLOCK_GETTIME: u64 = 228;
}

/// The system call `nr(first, second)` with `cookie` as its sixth argument; 0 or a negative errno.
///
/// # Safety
/// As the system call demands of its two arguments.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "an errno is below 4096")]
#[cfg_attr(not(elsewhen_image), expect(dead_code, reason = "the image's side"))]
pub(crate) unsafe fn syscall(nr: u64, first: u64, second: u64, cookie: u64) -> i32 {
    let result: i64;
    // SAFETY: the caller's promise; the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr.cast_signed() => result,
            in("rdi") first,
            in("rsi") second,
            in("r9") cookie,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result as i32
}
