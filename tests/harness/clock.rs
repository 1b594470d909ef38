//! Times as nanoseconds, and the host's own clocks to hold a program's readings against.

use super::sys;

/// One second, in nanoseconds.
pub(crate) const SECOND: i128 = 1_000_000_000;

/// By how much a coarse clock may lag: the tick of a kernel with `HZ=100`.
pub(crate) const TICK: i128 = 10_000_000;

/// A program's reading: the true one lies in `[nanos, nanos + resolution)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) nanos: i128,
    pub(crate) resolution: i128,
}

impl Reading {
    /// Reads `SEC` or `SEC.FRACTION`; the digits tell the resolution.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once(['.', ',']) {
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 18 {
            return None;
        }
        let fraction = &fraction[..fraction.len().min(9)];
        let resolution = 10_i128.pow(9 - u32::try_from(fraction.len()).ok()?);
        let part: i128 = if fraction.is_empty() {
            0
        } else {
            fraction.parse().ok()?
        };
        Some(Self {
            nanos: whole.parse::<i128>().ok()? * SECOND + part * resolution,
            resolution,
        })
    }
}

/// A host's clock before and after something happened, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bracket {
    pub(crate) before: i128,
    pub(crate) after: i128,
}

impl Bracket {
    /// The same stretch on a clock that is ahead by `nanos`.
    pub(crate) fn shifted(self, nanos: i128) -> Self {
        Self {
            before: self.before + nanos,
            after: self.after + nanos,
        }
    }

    /// The stretch of a clock that was set to `nanos` somewhere within this one.
    pub(crate) fn set_to(self, nanos: i128) -> Self {
        Self {
            before: nanos,
            after: nanos + self.after - self.before,
        }
    }

    /// Whether a reading can have been taken within, allowing for a tick on both sides.
    pub(crate) fn contains(self, reading: Reading) -> bool {
        reading.nanos + reading.resolution > self.before - 2 * TICK
            && reading.nanos <= self.after + 2 * TICK
    }

    /// Checks each reading of a text, which must hold one a line and nothing else.
    ///
    /// # Errors
    /// The first line that is no reading, or was not taken within.
    pub(crate) fn check_lines(self, text: &str) -> Result<(), String> {
        let mut lines = text.lines().filter(|l| !l.trim().is_empty()).peekable();
        if lines.peek().is_none() {
            return Err("printed no reading".into());
        }
        for line in lines {
            let Some(reading) = Reading::parse(line.trim()) else {
                return Err(format!("printed no reading but `{line}`"));
            };
            if !self.contains(reading) {
                let off = (reading.nanos - self.before) / SECOND;
                return Err(format!(
                    "read `{line}`, which is {off} s from what it had to be"
                ));
            }
        }
        Ok(())
    }
}

/// The four clocks of the host at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    realtime: i128,
    monotonic: i128,
    boottime: i128,
    tai: i128,
    raw: i128,
}

impl Host {
    /// Reads the host's clocks, all of them at nearly the same time.
    pub(crate) fn now() -> Self {
        loop {
            let now = Self {
                monotonic: sys::clock_gettime(libc::CLOCK_MONOTONIC),
                realtime: sys::clock_gettime(libc::CLOCK_REALTIME),
                boottime: sys::clock_gettime(libc::CLOCK_BOOTTIME),
                tai: sys::clock_gettime(libc::CLOCK_TAI),
                raw: sys::clock_gettime(libc::CLOCK_MONOTONIC_RAW),
            };
            // A busy machine may have let others run in between.
            if sys::clock_gettime(libc::CLOCK_MONOTONIC) - now.monotonic < SECOND / 100 {
                return now;
            }
        }
    }

    /// The stretch of the named clock from `self` to `after`; a coarse clock is its fine one.
    pub(crate) fn until(self, after: Self, clock: &str) -> Bracket {
        let of = |host: Self| match clock.trim_end_matches("_COARSE") {
            "REALTIME" => host.realtime,
            "MONOTONIC" => host.monotonic,
            "MONOTONIC_RAW" => host.raw,
            "BOOTTIME" => host.boottime,
            "TAI" => host.tai,
            other => panic!("no such clock: {other}"),
        };
        Bracket {
            before: of(self),
            after: of(after),
        }
    }

    /// By how much the time of day has moved against the monotonic clock since `self`.
    pub(crate) fn moved(self) -> i128 {
        let now = Self::now();
        (now.realtime - now.monotonic) - (self.realtime - self.monotonic)
    }

    /// Undoes such a move.
    pub(crate) fn put_back(self) {
        let now = Self::now();
        sys::clock_settime_realtime(self.realtime + now.monotonic - self.monotonic);
    }
}
