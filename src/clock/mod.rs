//! Clocks and their offsets: pure arithmetic, no system calls.

mod absolute;
mod limits;
mod offset;
mod scan;
mod shift;
pub(crate) mod timens_offsets;
mod to_host;
mod when;

pub use limits::{LimitError, Readings, check_limits};
pub use offset::{ClockOffsets, Offset};
pub use scan::ParseError;
pub use shift::{By, Shift};
pub use when::When;
