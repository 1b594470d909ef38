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

const REALTIME: [i32; 4] = [
    libc::CLOCK_REALTIME,
    libc::CLOCK_REALTIME_COARSE,
    libc::CLOCK_REALTIME_ALARM,
    libc::CLOCK_TAI,
];
const MONOTONIC: [i32; 3] = [
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_MONOTONIC_RAW,
    libc::CLOCK_MONOTONIC_COARSE,
];
const BOOTTIME: [i32; 2] = [libc::CLOCK_BOOTTIME, libc::CLOCK_BOOTTIME_ALARM];

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

    /// The ids of the clocks whose reads are looked at.
    pub(crate) fn read(self) -> impl Iterator<Item = u32> {
        let of = |is_shifted: bool, clocks: &'static [i32]| match is_shifted {
            true => clocks,
            false => &[],
        };
        let clocks = [
            of(self.realtime, &REALTIME),
            of(self.monotonic, &MONOTONIC),
            of(self.boottime, &BOOTTIME),
        ];
        clocks.into_iter().flatten().map(|id| id.cast_unsigned())
    }

    /// The ids of those that can be waited for: no coarse or raw one can.
    pub(crate) fn waited(self) -> impl Iterator<Item = u32> {
        let cannot = [
            libc::CLOCK_REALTIME_COARSE,
            libc::CLOCK_MONOTONIC_RAW,
            libc::CLOCK_MONOTONIC_COARSE,
        ];
        self.read()
            .filter(move |id| !cannot.contains(&id.cast_signed()))
    }
}
