//! What a namespace is to cost at the most.

use super::side::Side;

/// A bound on what is measured inside.
pub(super) struct Target {
    /// The rows it is for.
    pub(super) rows: &'static [&'static str],
    /// What is bounded.
    pub(super) of: Measure,
    pub(super) at_most: f64,
}

/// What can be bounded of a number.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    /// The number.
    Itself,
    /// Its ratio to that of another world.
    RatioTo(Side),
    /// What it is more than that of another world.
    MoreThan(Side),
}

impl Measure {
    /// Its stable name.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::RatioTo(_) => "ratio",
            Self::MoreThan(_) => "more",
        }
    }

    /// The other world, if there is one.
    pub(super) fn against(self) -> Option<Side> {
        match self {
            Self::Itself => None,
            Self::RatioTo(side) | Self::MoreThan(side) => Some(side),
        }
    }
}

const HOT: &[&str] = &[
    "clock_realtime",
    "clock_monotonic",
    "clock_boottime",
    "clock_monotonic_raw",
    "clock_tai",
];
const COARSE: &[&str] = &["clock_realtime_coarse", "clock_monotonic_coarse"];
/// Waits by places that are patched, of those that cost no timer interrupt: beside one of those, a
/// tenth of a microsecond cannot be seen.
const PATCHED: &[&str] = &[
    "queue_refused",
    "futex_refused",
    "futex_refused_heap",
    "futex_refused_monotonic",
];
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

pub(super) const TARGETS: [Target; 9] = [
    of_host(HOT, 0.93),
    of_kernel(HOT, 0.89),
    of_host(COARSE, 0.75),
    of_kernel(COARSE, 0.50),
    of_host(FIRST, 1.05),
    of_kernel(FIRST, 0.75),
    Target {
        rows: &["private_memory"],
        of: Measure::Itself,
        at_most: 8.0,
    },
    Target {
        rows: PATCHED,
        of: Measure::MoreThan(Side::Host),
        at_most: 100.0,
    },
    Target {
        rows: &["first_wait"],
        of: Measure::Itself,
        at_most: 40_000.0,
    },
];

const fn of_host(rows: &'static [&'static str], at_most: f64) -> Target {
    Target {
        rows,
        of: Measure::RatioTo(Side::Host),
        at_most,
    }
}

const fn of_kernel(rows: &'static [&'static str], at_most: f64) -> Target {
    Target {
        rows,
        of: Measure::RatioTo(Side::Kernel),
        at_most,
    }
}
