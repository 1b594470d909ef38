//! Time namespaces for Linux in user space.

pub mod clock;
mod error;

pub use clock::{ClockOffsets, Offset};
pub use error::{Error, Result};
