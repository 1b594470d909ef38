//! time(2), issued without the vDSO, and the vsyscall page's.

use super::{Call, Reply, read_shifted};
use crate::inject::GuestPtr;

pub(super) fn time(call: &Call<'_>) -> Reply {
    // The seconds of the last tick, as the kernel's (ktime_get_real_seconds).
    let (sec, _) = read_shifted(libc::CLOCK_REALTIME_COARSE, &call.offsets)?;
    let to = GuestPtr::<i64>::new(call.args[0]);
    if !to.is_null() {
        call.task.write(to, &sec)?;
    }
    Ok(sec)
}
