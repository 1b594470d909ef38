//! The composed image, as a binary and at work in a process of its own.
//!
//! Each test that puts an image in place runs again in a child, which writes it over its own vDSO.
//! No filter is installed there: a raw system call tells the host's time.
#![expect(clippy::unwrap_used, reason = "a test's helpers")]

mod binary;
mod clocks;
mod elf;
mod exact;
mod functions;
mod kernel_namespace;
mod parameters;
mod placed;
mod processors;
#[path = "../harness/skips.rs"]
mod skips;
mod started;
mod unwinding;
mod ways;
