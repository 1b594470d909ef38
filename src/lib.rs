//! Time namespaces for Linux in user space: programs that run at another time.
//!
//! ```
//! use std::process::Command;
//! use elsewhen::{ClockOffsets, CommandExt, Offset, TimeNamespace};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let week = Offset::from_secs(7 * 86_400);
//! let next_week = TimeNamespace::new(ClockOffsets { realtime: week, tai: week, ..Default::default() })?;
//! let date = Command::new("date").arg("+%F").time_namespace(&next_week).output()?;
//! println!("next week it is {}", String::from_utf8_lossy(&date.stdout));
//! # Ok(())
//! # }
//! ```
//!
//! - [`Offset`] is a signed distance to the nanosecond, [`ClockOffsets`] holds one for each of
//!   `CLOCK_REALTIME`, `CLOCK_TAI`, `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`.
//! - [`TimeNamespace`] is what a program is started in, [`CommandExt`] starts it. [`Backend`] says
//!   whether the kernel keeps some of its clocks.
//! - [`SavedClocks`] are a namespace's clocks in a file, from which they go on elsewhere.
//! - [`clock`] reads times and shifts as people write them, and knows Linux's limits.
//!
//! Everything that the program starts is in the namespace too, whatever it is linked with. The host's
//! clocks are never changed, and processes outside of the tree are never touched.
//!
//! Waits for an absolute time end at the right moment: the waiting thread converts it. 32-bit
//! programs keep the host's clocks; `LIMITATIONS.md` in the repository lists all that differs from Linux, and
//! `DESIGN.md` says how it works: a seccomp filter notifies a supervisor of each new program's
//! first system call, and the supervisor writes a vDSO image with the offsets in it into the
//! program's memory.

mod arch;
mod backend;
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod cli;
pub mod clock;
mod command;
mod error;
mod file;
mod filter;
#[doc(hidden)]
pub mod image;
mod inject;
mod kernel;
mod line;
mod namespace;
mod oci;
mod page;
#[doc(hidden)]
pub mod patch;
mod reading;
mod registry;
mod restore;
mod supervisor;
mod sys;

pub use backend::Backend;
pub use clock::{ClockOffsets, Offset};
pub use command::CommandExt;
pub use error::{Error, Result};
pub use namespace::TimeNamespace;
pub use registry::{RunningNamespace, RunningProcess, RunningTree};
pub use restore::{Policies, Policy, SavedClocks};
pub use supervisor::AdoptedFilter;
