//! What a namespace costs: `elsewhen bench`.
//!
//! Every kind of world that a program can run in has a helper process, a side; all of them
//! stand on one CPU and are asked in random order, round by round, so that what disturbs the
//! machine disturbs all alike. Every ten rounds the helpers are started anew. What is printed are
//! medians, and ratios of medians.
//!
//! Times are ticks of the processor's counter, turned into nanoseconds by the host's clock over
//! the whole bench. A hot read is called by the pointer into the vDSO that the C library has, too,
//! sixteen times without a loop around: what is measured is the call and all that it does. A
//! first read is one such call in a program that has just been started, the counter's two
//! readings included.
//!
//! Waits are made until a time that has passed. Where a column has the supervisor on another CPU, the
//! program itself stays on that of all others.

#[path = "arch/x86_64.rs"]
mod arch;
mod change;
mod cpus;
mod crowd;
mod display;
mod exec;
mod gather;
mod helper;
mod markdown;
mod measure;
mod notify;
mod order;
mod parts;
mod program;
mod reader;
mod report;
mod rows;
mod serve;
mod side;
#[path = "arch/x86_64_sites.rs"]
mod sites;
mod statistics;
mod sum;
mod svg;
mod targets;
mod wait_rows;
mod waits;

pub use gather::Options;
pub(crate) use reader::Way;
pub use report::{Cell, ChangeReport, Machine, Part, Report, RowReport, SideReport, TargetReport};
pub(crate) use serve::{read_first, serve, stay, wait_first};
pub(crate) use side::Side;
