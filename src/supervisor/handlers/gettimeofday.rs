//! gettimeofday(2), issued without the vDSO, and the vsyscall page's.

use super::{Call, Reply, read_shifted};
use crate::inject::GuestPtr;
use crate::sys::clock::timezone;

pub(super) fn gettimeofday(call: &Call<'_>) -> Reply {
    let time = GuestPtr::<[i64; 2]>::new(call.args[0]);
    let zone = GuestPtr::<[i32; 2]>::new(call.args[1]);
    if !time.is_null() {
        let (sec, nsec) = read_shifted(libc::CLOCK_REALTIME, &call.offsets)?;
        call.task.write(time, &[sec, i64::from(nsec / 1000)])?;
    }
    if !zone.is_null() {
        call.task.write(zone, &timezone())?;
    }
    Ok(0)
}
