//! The i386 forms, as a 64-bit program makes them by `int $0x80`; numbers are cut to 32 bits as
//! the kernel's own are.

use super::clock_gettime::clock_id;
use super::{Call, Reply, read_shifted};
use crate::inject::GuestPtr;
use crate::sys::clock::timezone;

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

fn cut(value: i64) -> i32 {
    i32::from_le_bytes(
        value.to_le_bytes()[..4]
            .try_into()
            .expect("four of eight bytes"),
    )
}
