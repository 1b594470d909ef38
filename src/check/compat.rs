//! Whether 32-bit programs run.
#![expect(unsafe_code, reason = "a 32-bit system call, personality(2)")]

use super::child::Child;

/// Tries it in a child; `None` if it cannot be told.
pub(super) fn programs_32bit() -> Option<bool> {
    // SAFETY: the child makes system calls only.
    let child = unsafe { Child::start(attempt) }.ok()?;
    match child.wait().ok()? {
        Some(UNKNOWN) => None,
        status => Some(status == Some(0)),
    }
}

const UNKNOWN: i32 = 2;

/// getpid(2) by the 32-bit gate; without it the kernel answers by `SIGSEGV`.
#[cfg(target_arch = "x86_64")]
fn attempt() -> i32 {
    let mut result: i32 = 20; // __NR_getpid of i386
    // SAFETY: prctl(2) takes numbers; the gate changes rax, and old kernels clear r8 to r11.
    unsafe {
        // The parent wants no core file.
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        std::arch::asm!(
            "int 0x80",
            inout("eax") result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    i32::from(result <= 0)
}

/// `arch/arm64/kernel/sys.c: arm64_personality` refuses `PER_LINUX32` without 32-bit programs.
#[cfg(target_arch = "aarch64")]
fn attempt() -> i32 {
    const PER_LINUX32: libc::c_ulong = 8;
    // SAFETY: the call takes a number.
    i32::from(unsafe { libc::personality(PER_LINUX32) } == -1)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn attempt() -> i32 {
    UNKNOWN
}
