//! Time namespaces for Linux in user space.

mod arch;
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod cli;
pub mod clock;
mod command;
mod error;
mod filter;
#[doc(hidden)]
pub mod image;
mod inject;
mod kernel;
mod line;
mod namespace;
mod page;
mod supervisor;
mod sys;

pub use clock::{ClockOffsets, Offset};
pub use command::CommandExt;
pub use error::{Error, Result};
pub use namespace::TimeNamespace;
