//! How far the clocks of processes that CRIU dumps or has restored are from the host's.
//!
//! CRIU itself restores a tree into a time namespace of the kernel's where there are any, whose
//! MONOTONIC and BOOTTIME go on from the moment of the dump (criu: `criu/timens.c`). What an image adds
//! comes on top of that, so what was there before is left as it is for these two: the kernel's offsets
//! and ours never add up, and threads and timers that wait by the kernel's clocks wait as long as they
//! were to. Elsewhere the clocks go on from the file, as `elsewhen run --resume` has it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use super::super::{Policies, Policy, SavedClocks};
use super::images::Images;
use crate::clock::{ClockOffsets, Offset, Readings};
use crate::{Error, Result, reading, registry};

/// As far from what was saved can be, in nanoseconds, what the kernel has kept: so long may a dump and a
/// restore take.
const NEAR: i128 = 3600 * 1_000_000_000;

/// The offsets of the tree's first process, from its clocks as the kernel gives them to it now, so that its
/// clocks go on by `policies`. Its image had the offsets `before`, if it had one.
pub(super) fn that_go_on(
    saved: &SavedClocks,
    policies: &Policies,
    first: i32,
    before: &ClockOffsets,
    images: &Images,
) -> Result<ClockOffsets> {
    let host = reading::host()?;
    let kernels = registry::kernels_offsets_of(first);
    let here = shift(&host, &kernels);
    // Timers have been running since they were restored, so all that CRIU does is counted: none is to
    // go off too early.
    let since = images.opened_by().and_then(age).unwrap_or(0);
    let back = |readings: &Readings| Readings {
        realtime: readings.realtime - since,
        tai: readings.tai - since,
        monotonic: readings.monotonic - since,
        boottime: readings.boottime - since,
    };
    let mut offsets = saved.offsets_by(policies, &back(&here), &back(&host))?;
    if is_apart(first) {
        let goes_on = |clock: &str, now: i128, before: Offset, saved: i128| {
            policies.of(clock) == Some(Policy::Continue)
                && (now + before.as_nanos() - saved).abs() < NEAR
        };
        let clocks = saved.clocks();
        if goes_on(
            "monotonic",
            here.monotonic,
            before.monotonic,
            clocks.monotonic,
        ) {
            offsets.monotonic = before.monotonic;
        }
        if goes_on("boottime", here.boottime, before.boottime, clocks.boottime) {
            offsets.boottime = before.boottime;
        }
    }
    Ok(offsets)
}

/// The offsets of a process whose image had `own`, in a tree whose first process had `before` and gets
/// `after`.
pub(super) fn of_member(
    own: &ClockOffsets,
    before: &ClockOffsets,
    after: &ClockOffsets,
) -> Result<ClockOffsets> {
    let sum = after
        .checked_sub(before)
        .and_then(|moved| own.checked_add(&moved));
    sum.ok_or_else(|| Error::new("a restored process's clocks would lie too far from this host's; let them be its own by `--policy`"))
}

/// Whether a process is in a time namespace of the kernel's that is not this process's.
pub(super) fn is_apart(pid: i32) -> bool {
    let number = |path: String| fs::metadata(path).map(|file| file.ino()).ok();
    let its = number(format!("/proc/{pid}/ns/time"));
    its.is_some() && its != number("/proc/self/ns/time".to_owned())
}

/// `/proc`.
pub(super) fn proc() -> Result<File> {
    File::open("/proc").map_err(|error| Error::os("cannot open `/proc`", error))
}

/// For how long a process has been there, in nanoseconds.
fn age(pid: i32) -> Option<i128> {
    const TICK: i128 = 10_000_000;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let (_, fields) = stat.rsplit_once(')')?;
    let started: i128 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    // Both as this process sees them.
    let now = reading::now().ok()?.boottime;
    Some((now - started * TICK).max(0))
}

fn shift(readings: &Readings, by: &ClockOffsets) -> Readings {
    Readings {
        realtime: readings.realtime + by.realtime.as_nanos(),
        tai: readings.tai + by.tai.as_nanos(),
        monotonic: readings.monotonic + by.monotonic.as_nanos(),
        boottime: readings.boottime + by.boottime.as_nanos(),
    }
}
