//! What a bench has found; the field names are stable.

use serde::Serialize;

/// What `elsewhen bench` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// How often each row was measured, in turn with the others.
    pub rounds: u32,
    /// The worlds.
    pub sides: Vec<SideReport>,
    /// What was measured.
    pub rows: Vec<RowReport>,
    /// An offset changed while its clock is read.
    pub change: ChangeReport,
    /// What an exec inside is made of.
    pub exec_parts: Vec<Part>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// The host's clock source.
    pub clock_source: String,
    /// The CPU that everything ran on, unless it was all.
    pub cpu: Option<usize>,
}

/// A world.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideReport {
    /// Its stable name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Why nothing was measured in it, if so.
    pub absent: Option<String>,
}

/// One thing, measured in several worlds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowReport {
    /// Its stable name.
    pub name: &'static str,
    /// What it is, in its group.
    pub title: &'static str,
    /// `hot`, `coarse`, `first`, `waits` or `calls`.
    pub group: &'static str,
    /// `ns` or `KiB`.
    pub unit: &'static str,
    /// The medians.
    pub cells: Vec<Cell>,
    /// What was aimed at.
    pub targets: Vec<TargetReport>,
}

/// A median.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The world's name.
    pub side: &'static str,
    /// The median of all samples.
    pub median: f64,
    /// Divided by the host's.
    pub ratio: Option<f64>,
    /// Divided by that of the kernel's time namespace.
    pub ratio_to_kernel: Option<f64>,
    /// What it is more than the host's.
    pub more: Option<f64>,
}

/// A bound, and whether it was kept inside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetReport {
    /// What is bounded: the number `itself`, its `ratio` to another world's, or what it is `more`.
    pub kind: &'static str,
    /// That other world.
    pub against: Option<&'static str>,
    /// The bound.
    pub at_most: f64,
    /// What was measured.
    pub measured: f64,
    /// Whether that is within the bound.
    pub met: bool,
}

/// Reads of a clock whose offset was changed all the while, beside reads of one left alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeReport {
    /// Microseconds from one change to the next.
    pub every_us: f64,
    /// Nanoseconds of a read with the offset left alone.
    pub left_alone: f64,
    /// Nanoseconds of a read with the offset changed.
    pub changed: f64,
    /// The median ratio of neighbours.
    pub ratio: f64,
    /// Where the true median ratio lies in 95 of 100 cases.
    pub interval: [f64; 2],
    /// The bound on that ratio.
    pub at_most: f64,
    /// Whether the interval reaches the bound.
    pub met: bool,
}

/// A part of an exec inside a namespace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Its stable name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Nanoseconds.
    pub median: f64,
}

impl Report {
    /// The cell of a row in a world, if that was measured.
    pub(super) fn cell(&self, row: &str, side: &str) -> Option<&Cell> {
        let row = self.rows.iter().find(|it| it.name == row)?;
        row.cells.iter().find(|it| it.side == side)
    }
}
