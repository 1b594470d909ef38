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
    query(call, GuestPtr::new(call.args[0]))
}

pub(super) fn clock_adjtime(call: &Call<'_>) -> Reply {
    match clock_id(call) {
        libc::CLOCK_REALTIME => query(call, GuestPtr::new(call.args[1])),
        // Copied first by the kernel, judged afterwards (`SYSCALL_DEFINE2(clock_adjtime)`).
        other => {
            call.task.read::<Timex>(GuestPtr::new(call.args[1]))?;
            Err(Failure::Errno(match other {
                16.. if clock::exists(other) => libc::EPERM,
                _ if clock::exists(other) => libc::EOPNOTSUPP,
                _ => libc::EINVAL,
            }))
        }
    }
}

fn query(call: &Call<'_>, timex: GuestPtr<Timex>) -> Reply {
    let asked = call.task.read(timex)?;
    let modes = low(asked[0]).cast_unsigned();
    if modes != 0 && modes != libc::ADJ_OFFSET_SS_READ {
        return Err(Failure::Errno(libc::EPERM));
    }
    let (state, mut words) = clock::query_adjtimex(modes)
        .map_err(|e| Failure::Errno(e.raw_os_error().unwrap_or(libc::EINVAL)))?;
    shift(&mut words, &call.offsets);
    call.task.write(timex, &words)?;
    Ok(state.into())
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
fn low(word: u64) -> i32 {
    i32::from_le_bytes(
        word.to_le_bytes()[..4]
            .try_into()
            .expect("four of eight bytes"),
    )
}
