//! Time namespaces for Linux in user space.

pub mod clock;
mod error;
#[doc(hidden)]
pub mod image;
mod page;

pub use clock::{ClockOffsets, Offset};
pub use error::{Error, Result};
