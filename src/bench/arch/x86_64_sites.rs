//! futex(2) by system call instructions that differ in what stands before them, for x86-64: whether
//! later calls can be led past the supervisor depends on that.
//!
//! # Safety
//! All are futex(2), with its arguments and its requirements; what they return is the kernel's
//! result, a negative errno among them.
#![expect(unsafe_code, reason = "futex(2) by instructions of our own")]

use std::arch::naked_asm;

type Word = *const u32;
type Time = *const libc::timespec;

/// futex(2) from one place.
pub(crate) type Site = unsafe extern "C" fn(Word, i32, u32, Time, Word, u32) -> i64;

/// A function with these instructions as its last but `ret`.
macro_rules! site {
    ($(#[$about:meta])* $name:ident, $($instruction:literal),*) => {
        $(#[$about])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name(
            word: Word,
            operation: i32,
            value: u32,
            time: Time,
            second: Word,
            bits: u32,
        ) -> i64 {
            naked_asm!("mov r10, rcx", $($instruction,)* "ret")
        }
    };
}

site! {
    /// As compilers write it and most libraries have it.
    ordinary, "mov eax, 202", "syscall"
}
site! {
    /// The same elsewhere, for calls that are never absolute.
    relative, "mov eax, 202", "syscall"
}
site! {
    /// The same elsewhere, for calls of both kinds.
    mixed, "mov eax, 202", "syscall"
}
site! {
    /// Behind a jump, so that nothing before it can be replaced.
    jumped_to, "mov eax, 202", "jmp 2f", "2: syscall"
}
site! {
    /// As the functions in which musl, and glibc since 2.41, have their cancellation points. Such
    /// a function's extent tells them where a thread is, so nothing in it can be replaced.
    bridge,
    "mov eax, 202",
    "sub rsp, 24",
    "call 2f",
    "add rsp, 24",
    "ret",
    "2: mov [rsp + 8], r11",
    "syscall"
}
