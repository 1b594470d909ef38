//! How far a clock may be moved: the kernel's own rules, and one of ours.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};

use super::offset::{ClockOffsets, NSEC_PER_SEC, Offset};
use crate::Error;

/// `include/linux/ktime.h`: the seconds that 63 bits of nanoseconds hold.
const KTIME_SEC_MAX: i64 = i64::MAX / NSEC_PER_SEC;

/// `include/linux/time64.h`: 30 years of uptime must fit after any time that is set.
const TIME_SETTOD_SEC_MAX: i64 = KTIME_SEC_MAX - 30 * 365 * 24 * 3_600;

/// The host's clocks at one instant, each in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    /// `CLOCK_REALTIME`.
    pub realtime: i128,
    /// `CLOCK_TAI`.
    pub tai: i128,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: i128,
    /// `CLOCK_BOOTTIME`.
    pub boottime: i128,
}

/// Which clock an offset would carry out of its range, and what the range is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitError {
    clock: &'static str,
    errno: i32,
    message: String,
}

impl LimitError {
    /// The clock's short name, which is also its option's: `realtime`, `tai`, `monotonic`,
    /// `boottime`.
    #[must_use]
    pub fn clock(&self) -> &'static str {
        self.clock
    }

    /// What Linux answers to the same mistake: `ERANGE` from `timens_offsets`, `EINVAL` from
    /// clock_settime(2).
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.errno
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LimitError {}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        Error::new(error.message)
    }
}

/// Checks offsets against the limits that Linux sets, and against what an image can hold.
///
/// `MONOTONIC` and `BOOTTIME` follow `kernel/time/namespace.c: proc_timens_set_offset`,
/// `REALTIME` follows `kernel/time/timekeeping.c: do_settimeofday64`, and so does `TAI`, unless
/// its offset is `REALTIME`'s. No offset may reach 2³³ seconds (272 years).
///
/// # Errors
/// The first clock that would leave its range, in the order `realtime`, `tai`, `monotonic`,
/// `boottime`.
pub fn check_limits(offsets: &ClockOffsets, now: &Readings) -> Result<(), LimitError> {
    settable("realtime", offsets.realtime, now.realtime)?;
    not_before_boot(offsets.realtime, now)?;
    if offsets.tai != offsets.realtime {
        settable("tai", offsets.tai, now.tai)?;
    }
    since_boot("monotonic", offsets.monotonic, now.monotonic)?;
    since_boot("boottime", offsets.boottime, now.boottime)
}

/// `include/linux/time64.h: timespec64_valid_settod`.
fn settable(clock: &'static str, offset: Offset, now: i128) -> Result<(), LimitError> {
    let error = |message| LimitError {
        clock,
        errno: libc::EINVAL,
        message,
    };
    if offset.is_zero() {
        return Ok(());
    }
    let target = now + offset.as_nanos();
    if target < 0 {
        return Err(error(format!(
            "{} is before 1970, where this clock cannot go; write a later time",
            utc(target)
        )));
    }
    if target >= i128::from(TIME_SETTOD_SEC_MAX) * i128::from(NSEC_PER_SEC) {
        return Err(error(format!(
            "{} is beyond what Linux lets a clock be set to; write a time before {}",
            utc(target),
            utc(i128::from(TIME_SETTOD_SEC_MAX) * i128::from(NSEC_PER_SEC))
        )));
    }
    packable(clock, offset, libc::EINVAL)
}

/// `do_settimeofday64` lets `wall_to_monotonic` grow to zero and no further.
///
/// Without an offset there is nothing to set, whatever the host's own clock says.
fn not_before_boot(realtime: Offset, now: &Readings) -> Result<(), LimitError> {
    if realtime.is_zero() || now.realtime + realtime.as_nanos() >= now.monotonic {
        return Ok(());
    }
    let earliest = now.monotonic / i128::from(NSEC_PER_SEC) + 60;
    Err(LimitError {
        clock: "realtime",
        errno: libc::EINVAL,
        message: format!(
            "the boot would lie before 1970, which Linux refuses (CLOCK_MONOTONIC has counted {} s); \
             write `@{earliest}` or later",
            now.monotonic / i128::from(NSEC_PER_SEC)
        ),
    })
}

/// `proc_timens_set_offset`, which compares whole seconds.
fn since_boot(clock: &'static str, offset: Offset, now: i128) -> Result<(), LimitError> {
    let error = |message| LimitError {
        clock,
        errno: libc::ERANGE,
        message,
    };
    let now_sec = i64::try_from(now.div_euclid(i128::from(NSEC_PER_SEC))).unwrap_or(i64::MAX);
    let target = (now + offset.as_nanos()).div_euclid(i128::from(NSEC_PER_SEC));
    if target < 0 {
        return Err(error(format!(
            "the clock would fall below zero, having counted {now_sec} s; use at most `-{now_sec}`"
        )));
    }
    if offset.secs() > KTIME_SEC_MAX || target > i128::from(KTIME_SEC_MAX / 2) {
        return Err(error(format!(
            "the clock would pass {} s (146 years), the limit of Linux; use at most `+{}`",
            KTIME_SEC_MAX / 2,
            KTIME_SEC_MAX / 2 - now_sec - 1
        )));
    }
    packable(clock, offset, libc::ERANGE)
}

/// What one word of an image holds.
fn packable(clock: &'static str, offset: Offset, errno: i32) -> Result<(), LimitError> {
    if offset.packed().is_some() {
        return Ok(());
    }
    Err(LimitError {
        clock,
        errno,
        message: format!(
            "an offset of {offset} s is too far; stay within 8589934591 s (272 years)"
        ),
    })
}

/// A time for a person, to the second.
fn utc(nanos: i128) -> String {
    match Timestamp::from_nanosecond(nanos) {
        Ok(time) => time
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%d %H:%M:%S UTC")
            .to_string(),
        Err(_) => format!("`@{}`", nanos.div_euclid(i128::from(NSEC_PER_SEC))),
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
