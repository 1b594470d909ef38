//! The i386 forms, as a 64-bit program makes them by `int $0x80`; numbers are cut to 32 bits as
//! the kernel's own are.

use super::adjtimex::{check_clock, low, query};
use super::clock_gettime::clock_id;
use super::clock_settime::{refuse_settime, refuse_settimeofday};
use super::{Call, Failure, Reply, read_shifted};
use crate::inject::GuestPtr;
use crate::sys::clock::{Timex, timezone};

/// `struct old_timex32`: the fields of `struct timex` in 32 bits each, and 11 unused ones.
type Timex32 = [i32; 32];

pub(super) fn clock_gettime(call: &Call<'_>) -> Reply {
    let (sec, nsec) = read_shifted(clock_id(call), &call.offsets)?;
    let to = GuestPtr::<[i32; 2]>::new(call.args[1]);
    call.task.write(to, &[cut(sec), cut(nsec.into())])?;
    Ok(0)
}

pub(super) fn clock_gettime64(call: &Call<'_>) -> Reply {
    let (sec, nsec) = read_shifted(clock_id(call), &call.offsets)?;
    let to = GuestPtr::<[i64; 2]>::new(call.args[1]);
    call.task.write(to, &[sec, nsec.into()])?;
    Ok(0)
}

pub(super) fn gettimeofday(call: &Call<'_>) -> Reply {
    let time = GuestPtr::<[i32; 2]>::new(call.args[0]);
    let zone = GuestPtr::<[i32; 2]>::new(call.args[1]);
    if !time.is_null() {
        let (sec, nsec) = read_shifted(libc::CLOCK_REALTIME, &call.offsets)?;
        call.task
            .write(time, &[cut(sec), cut(i64::from(nsec / 1000))])?;
    }
    if !zone.is_null() {
        call.task.write(zone, &timezone())?;
    }
    Ok(0)
}

pub(super) fn time(call: &Call<'_>) -> Reply {
    let (sec, _) = read_shifted(libc::CLOCK_REALTIME_COARSE, &call.offsets)?;
    let to = GuestPtr::<i32>::new(call.args[0]);
    if !to.is_null() {
        call.task.write(to, &cut(sec))?;
    }
    Ok(cut(sec).into())
}

pub(super) fn stime(call: &Call<'_>) -> Reply {
    call.task.read::<i32>(GuestPtr::new(call.args[0]))?;
    Err(Failure::Errno(libc::EPERM))
}

pub(super) fn settimeofday(call: &Call<'_>) -> Reply {
    refuse_settimeofday(call, |at| {
        let time = call.task.read::<[i32; 2]>(GuestPtr::new(at))?;
        Ok(time.map(i64::from))
    })
}

pub(super) fn clock_settime(call: &Call<'_>) -> Reply {
    refuse_settime(call, |at| {
        let time = call.task.read::<[i32; 2]>(GuestPtr::new(at))?;
        Ok(time.map(i64::from))
    })
}

pub(super) fn adjtimex(call: &Call<'_>) -> Reply {
    let timex = GuestPtr::<Timex32>::new(call.args[0]);
    let asked = call.task.read(timex)?;
    let (state, answer) = query(call, asked[0])?;
    call.task.write(timex, &narrow(&answer))?;
    Ok(state)
}

pub(super) fn clock_adjtime(call: &Call<'_>) -> Reply {
    let timex = GuestPtr::<Timex32>::new(call.args[1]);
    let asked = call.task.read(timex)?;
    check_clock(clock_id(call))?;
    let (state, answer) = query(call, asked[0])?;
    call.task.write(timex, &narrow(&answer))?;
    Ok(state)
}

/// Both structures have the same fields in the same order, the native one a word for each.
fn narrow(timex: &Timex) -> Timex32 {
    let mut fields = [0; 32];
    for (field, word) in fields.iter_mut().zip(timex.iter().take(21)) {
        *field = low(*word);
    }
    fields
}

fn cut(value: i64) -> i32 {
    i32::from_le_bytes(
        value.to_le_bytes()[..4]
            .try_into()
            .expect("four of eight bytes"),
    )
}
