//! Time namespaces for Linux in user space.

#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod cli;
pub mod clock;
mod error;
mod kernel;
mod line;

pub use clock::{ClockOffsets, Offset};
pub use error::{Error, Result};
