//! clock_gettime(2), issued without the vDSO.

use super::{Call, Reply, read_shifted};
use crate::inject::GuestPtr;

pub(super) fn clock_gettime(call: &Call<'_>) -> Reply {
    let (sec, nsec) = read_shifted(clock_id(call), &call.offsets)?;
    let to = GuestPtr::<[i64; 2]>::new(call.args[1]);
    call.task.write(to, &[sec, i64::from(nsec)])?;
    Ok(0)
}

/// The kernel takes an `int`: the lower half of the register.
pub(super) fn clock_id(call: &Call<'_>) -> i32 {
    i32::from_le_bytes(
        call.args[0].to_le_bytes()[..4]
            .try_into()
            .expect("four of eight bytes"),
    )
}
