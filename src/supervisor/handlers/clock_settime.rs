//! clock_settime(2) and settimeofday(2): refused, root's too, for they would move the host's clock.
//!
//! The errors come in Linux's order (`kernel/time/posix-timers.c: clock_settime`,
//! `kernel/time/time.c: settimeofday`), with the permission denied last.

use super::clock_gettime::clock_id;
use super::{Call, Failure, Reply};
use crate::inject::{Fault, GuestPtr};
use crate::sys::clock;

/// `TIME_SETTOD_SEC_MAX` of `linux/time64.h`: 30 years before the end of `ktime_t`.
const SETTOD_SEC_MAX: i64 = i64::MAX / 1_000_000_000 - 30 * 365 * 24 * 3600;

pub(super) fn clock_settime(call: &Call<'_>) -> Reply {
    refuse_settime(call, |at| call.task.read::<[i64; 2]>(GuestPtr::new(at)))
}

pub(super) fn settimeofday(call: &Call<'_>) -> Reply {
    refuse_settimeofday(call, |at| call.task.read::<[i64; 2]>(GuestPtr::new(at)))
}

/// What `clock_settime` of any ABI answers; `read` reads the time in the ABI's form.
pub(super) fn refuse_settime(
    call: &Call<'_>,
    read: impl FnOnce(u64) -> Result<[i64; 2], Fault>,
) -> Reply {
    let id = clock_id(call);
    if !is_settable(id) {
        return Err(Failure::Errno(libc::EINVAL));
    }
    let [sec, nsec] = read(call.args[1])?;
    if id == libc::CLOCK_REALTIME && !is_settod_valid(sec, nsec) {
        return Err(Failure::Errno(libc::EINVAL));
    }
    Err(Failure::Errno(libc::EPERM))
}

/// What `settimeofday` of any ABI answers.
pub(super) fn refuse_settimeofday(
    call: &Call<'_>,
    read: impl FnOnce(u64) -> Result<[i64; 2], Fault>,
) -> Reply {
    let zone = GuestPtr::<[i32; 2]>::new(call.args[1]);
    let time = match call.args[0] {
        0 => None,
        at => Some(read(at)?),
    };
    if time.is_some_and(|[_, usec]| !(0..=1_000_000).contains(&usec)) {
        return Err(Failure::Errno(libc::EINVAL));
    }
    if !zone.is_null() {
        call.task.read(zone)?;
    }
    if time.is_some_and(|[sec, usec]| !is_settod_valid(sec, usec * 1000)) {
        return Err(Failure::Errno(libc::EINVAL));
    }
    Err(Failure::Errno(libc::EPERM))
}

/// Clocks that have a `clock_set` in the kernel; an auxiliary clock (6.17) is the host's as
/// REALTIME is.
fn is_settable(id: i32) -> bool {
    match id {
        libc::CLOCK_REALTIME => true,
        16.. => clock::exists(id),
        _ => false,
    }
}

fn is_settod_valid(sec: i64, nsec: i64) -> bool {
    (0..SETTOD_SEC_MAX).contains(&sec) && (0..1_000_000_000).contains(&nsec)
}
