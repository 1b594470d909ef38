//! The clocks, read from the host and by an image's function, and offsets for them.
#![expect(unsafe_code, reason = "reads the host's clocks")]

use elsewhen::{ClockOffsets, Offset};

use crate::placed::ClockGettime;

/// Those that take an offset.
pub(crate) const SHIFTED: [i32; 9] = [0, 1, 4, 5, 6, 7, 8, 9, 11];

pub(crate) fn nanos(time: libc::timespec) -> i128 {
    assert!(
        (0..1_000_000_000).contains(&time.tv_nsec),
        "{}",
        time.tv_nsec
    );
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

const ZERO: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The host's clock, or a negative errno.
pub(crate) fn raw(clock: i32) -> Result<i128, i32> {
    let mut time = ZERO;
    // SAFETY: `time` is a timespec.
    match unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) } {
        0 => Ok(nanos(time)),
        _ => Err(-std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

pub(crate) fn call(function: ClockGettime, clock: i32) -> Result<i128, i32> {
    let mut time = ZERO;
    match function(clock, &raw mut time) {
        0 => Ok(nanos(time)),
        error => Err(error),
    }
}

/// Offsets of both signs, with and without nanoseconds, and each clock its own.
pub(crate) fn offsets() -> [ClockOffsets; 3] {
    let of = |nanos: [i128; 4]| {
        let [realtime, tai, monotonic, boottime] =
            nanos.map(|nanos| Offset::from_nanos(nanos).unwrap());
        ClockOffsets {
            realtime,
            tai,
            monotonic,
            boottime,
        }
    };
    [
        of([999_999_999, -1, 86_400_000_000_000, 500_000_000]),
        of([-999_999_999, -30_000_000_000_000_001, 1, -1]),
        of([
            -(1 << 60),
            1 << 60,
            (1 << 60) + 123_456_789,
            -(3_600_000_000_000) + 1,
        ]),
    ]
}
