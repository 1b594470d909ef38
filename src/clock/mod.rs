//! Clocks and their offsets: pure arithmetic, no system calls.

mod offset;

pub use offset::{ClockOffsets, Offset};
