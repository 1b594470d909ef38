//! adjtimex(2) and clock_adjtime(2): the host's answer with the namespace's time, if it only asks.

use std::mem::offset_of;

use super::clock_gettime::clock_id;
use super::{Call, Failure, Reply};
use crate::clock::{ClockOffsets, Offset};
use crate::inject::GuestPtr;
use crate::sys::clock::{self, Timex};

/// `modes` lies in the first four bytes, the time in two words.
const TIME: usize = offset_of!(libc::timex, time) / 8;
const STATUS: usize = offset_of!(libc::timex, status) / 8;
const TAI: usize = offset_of!(libc::timex, tai) / 8;
const _: () = assert!(offset_of!(libc::timex, modes) == 0);
const _: () =
    assert!(offset_of!(libc::timex, status) % 8 == 0 && offset_of!(libc::timex, tai) % 8 == 0);

pub(super) fn adjtimex(call: &Call<'_>) -> Reply {
    let timex = GuestPtr::<Timex>::new(call.args[0]);
    let asked = call.task.read(timex)?;
    let (state, answer) = query(call, low(asked[0]))?;
    call.task.write(timex, &answer)?;
    Ok(state)
}

pub(super) fn clock_adjtime(call: &Call<'_>) -> Reply {
    let timex = GuestPtr::<Timex>::new(call.args[1]);
    let asked = call.task.read(timex)?;
    check_clock(clock_id(call))?;
    let (state, answer) = query(call, low(asked[0]))?;
    call.task.write(timex, &answer)?;
    Ok(state)
}

/// Only REALTIME can be asked (`kernel/time/posix-timers.c: do_clock_adjtime`).
pub(super) fn check_clock(id: i32) -> Result<(), Failure> {
    Err(Failure::Errno(match id {
        libc::CLOCK_REALTIME => return Ok(()),
        16.. if clock::exists(id) => libc::EPERM,
        _ if clock::exists(id) => libc::EOPNOTSUPP,
        _ => libc::EINVAL,
    }))
}

/// `ADJ_ADJTIME`, `ADJ_OFFSET_SINGLESHOT` and `ADJ_OFFSET_READONLY` as the kernel has them, a bit each.
const ADJTIME: u32 = 0x8000;
const SINGLESHOT: u32 = 1;
const READONLY: u32 = 0x2000;

/// What `modes` asks for, if it only asks, as an errno if not
/// (`kernel/time/timekeeping.c: timekeeping_validate_timex`).
fn asked(modes: u32) -> Result<u32, i32> {
    if modes & ADJTIME == 0 {
        return if modes == 0 { Ok(0) } else { Err(libc::EPERM) };
    }
    if modes & SINGLESHOT == 0 {
        return Err(libc::EINVAL);
    }
    if modes & READONLY == 0 || modes & libc::ADJ_SETOFFSET != 0 {
        return Err(libc::EPERM);
    }
    Ok(libc::ADJ_OFFSET_SS_READ)
}

/// The clock's state and the host's answer with the namespace's time, if `modes` only asks.
pub(super) fn query(call: &Call<'_>, modes: i32) -> Result<(i64, Timex), Failure> {
    let modes = modes.cast_unsigned();
    let (state, mut words) = clock::query_adjtimex(asked(modes).map_err(Failure::Errno)?)
        .map_err(|e| Failure::Errno(e.raw_os_error().unwrap_or(libc::EINVAL)))?;
    words[0] = words[0] & !0xffff_ffff | u64::from(modes);
    shift(&mut words, &call.offsets);
    Ok((state.into(), words))
}

fn shift(words: &mut Timex, offsets: &ClockOffsets) {
    let status = low(words[STATUS]);
    let nano = status & libc::STA_NANO != 0;
    let per_unit = if nano { 1 } else { 1000 };
    let (sec, fraction) = (words[TIME].cast_signed(), words[TIME + 1].cast_signed());
    let (sec, nsec) = offsets.realtime.add_to(sec, fraction * per_unit);
    words[TIME] = sec.cast_unsigned();
    words[TIME + 1] = (i64::from(nsec) / per_unit).cast_unsigned();
    // The distance from UTC to TAI, if it is still a number of seconds.
    let distance = offsets.tai.as_nanos() - offsets.realtime.as_nanos();
    if let Some(distance) = Offset::from_nanos(distance)
        && distance.subsec_nanos() == 0
        && let Ok(seconds) = i32::try_from(i64::from(low(words[TAI])) + distance.secs())
    {
        words[TAI] = words[TAI] & !0xffff_ffff | u64::from(seconds.cast_unsigned());
    }
}

/// The `int` in the first half of a word.
pub(super) fn low(word: u64) -> i32 {
    i32::from_le_bytes(
        word.to_le_bytes()[..4]
            .try_into()
            .expect("four of eight bytes"),
    )
}
