//! What a namespace is to cost at the most.

use super::side::Side;

/// A bound on what is measured inside.
pub(super) struct Target {
    /// The rows it is for.
    pub(super) rows: &'static [&'static str],
    /// The world that it is a ratio to; without one it is for the number itself.
    pub(super) against: Option<Side>,
    pub(super) at_most: f64,
}

const HOT: &[&str] = &[
    "clock_realtime",
    "clock_monotonic",
    "clock_boottime",
    "clock_monotonic_raw",
    "clock_tai",
];
const COARSE: &[&str] = &["clock_realtime_coarse", "clock_monotonic_coarse"];
const FIRST: &[&str] = &[
    "first_realtime",
    "first_monotonic",
    "first_boottime",
    "first_monotonic_raw",
    "first_tai",
    "first_realtime_coarse",
    "first_monotonic_coarse",
];

/// What reads may cost while their offset changes, to those with one left alone: no difference but
/// that a cache line moves from one processor to another at each change.
pub(super) const CHANGED: f64 = 1.005;

pub(super) const TARGETS: [Target; 7] = [
    of_host(HOT, 0.93),
    of_kernel(HOT, 0.89),
    of_host(COARSE, 0.75),
    of_kernel(COARSE, 0.50),
    of_host(FIRST, 1.05),
    of_kernel(FIRST, 0.75),
    Target {
        rows: &["private_memory"],
        against: None,
        at_most: 8.0,
    },
];

const fn of_host(rows: &'static [&'static str], at_most: f64) -> Target {
    Target {
        rows,
        against: Some(Side::Host),
        at_most,
    }
}

const fn of_kernel(rows: &'static [&'static str], at_most: f64) -> Target {
    Target {
        rows,
        against: Some(Side::Kernel),
        at_most,
    }
}
