//! Time namespaces for Linux in user space.

mod arch;
pub mod check;
#[doc(hidden)]
pub mod cli;
pub mod clock;
mod error;
#[doc(hidden)]
pub mod image;
pub mod kernel;
mod line;
mod page;

pub use clock::{ClockOffsets, Offset};
pub use error::{Error, Result};
