//! The `elsewhen` command.
//!
//! # Safety
//! `main` is the C runtime's entry point and is defined once.
//!
//! Why not Rust's own `main`: before it, the standard library ignores `SIGPIPE`, opens
//! `/dev/null` over closed standard descriptors and sets up a signal stack. All of that would be
//! inherited by the command, which must find the caller's dispositions and descriptors as they
//! were. `std::env::args_os` still works, since the C library hands the arguments to initialisers
//! too. A closed pipe ends elsewhen by `SIGPIPE`, as it ends any Unix command.
#![no_main]
#![expect(unsafe_code, reason = "the symbol `main` of the C runtime")]

use std::ffi::{c_char, c_int};

// SAFETY: the C runtime calls `main` with exactly this signature, and no other `main` is linked.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    elsewhen::cli::main()
}
