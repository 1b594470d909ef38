//! The code that takes the place of the kernel's time functions in a member's vDSO.
//!
//! `build.rs` compiles this file by itself, apart from the crate, into a position-independent blob
//! without relocations, writable data or undefined symbols. There is no panic handler: a panic path
//! that survives optimisation is an undefined symbol, and so a link error.
#![no_std]
#![deny(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

#[path = "arch/x86_64.rs"]
mod arch;

#[path = "../page.rs"]
#[expect(dead_code, reason = "the composer's side")]
mod page;
mod parameters;
