//! Which clocks of a tree differ from the host's.

use crate::clock::ClockOffsets;

/// The clocks that a namespace has of its own, or may get; `COARSE`, `RAW` and `ALARM` clocks count
/// as their base, and so does TAI as REALTIME.
///
/// Calls with times of any other clock are left to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shifted {
    pub(crate) realtime: bool,
    pub(crate) monotonic: bool,
    pub(crate) boottime: bool,
}

impl Shifted {
    /// A program can make itself a namespace that shifts any.
    pub(crate) const ANY: Self = Self {
        realtime: true,
        monotonic: true,
        boottime: true,
    };

    /// REALTIME always counts: it is the clock that can be set.
    pub(crate) fn of(offsets: &ClockOffsets) -> Self {
        Self {
            realtime: true,
            monotonic: !offsets.monotonic.is_zero(),
            boottime: !offsets.boottime.is_zero(),
        }
    }
}
