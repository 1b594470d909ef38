//! What a namespace costs: `elsewhen bench`.
//!
//! Every kind of world that a program can run in has a helper process, a side; all of them
//! stand on one CPU and are asked in random order, round by round, so that what disturbs the
//! machine disturbs all alike. What is printed are medians.

mod display;
mod exec;
mod helper;
mod measure;
mod notify;
mod order;
mod parts;
mod program;
mod report;
mod rows;
mod serve;

pub use report::{Cell, Machine, Options, Part, Report, RowReport};
pub(crate) use rows::Side;
pub(crate) use serve::serve;
