//! What the kernel itself shifts for a reader, where it keeps BOOTTIME.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, statat};

use super::caller;
use crate::clock::Offset;
use crate::kernel::stated;

/// How far the kernel's BOOTTIME of process `pid` is from this process's; `None` if it cannot be told.
pub(super) fn boottime(proc: BorrowedFd<'_>, pid: i32) -> Option<Offset> {
    let (pid, own) = (pid.to_string(), "self");
    if namespace(proc, &pid, "time")? == namespace(proc, own, "time")? {
        return Some(Offset::ZERO);
    }
    let difference = offset(proc, &pid)?.as_nanos() - offset(proc, own)?.as_nanos();
    Offset::from_nanos(difference)
}

/// The file shows the namespace of the process's children.
///
/// DIFFERENCE: that of a process that is itself in another one is not known.
fn offset(proc: BorrowedFd<'_>, pid: &str) -> Option<Offset> {
    if namespace(proc, pid, "time")? != namespace(proc, pid, "time_for_children")? {
        return None;
    }
    let file = caller::open(proc, format!("{pid}/timens_offsets").as_bytes())?;
    stated(
        &String::from_utf8_lossy(&caller::contents(file)?),
        "boottime",
    )
}

fn namespace(proc: BorrowedFd<'_>, pid: &str, name: &str) -> Option<u64> {
    let stat = statat(proc, format!("{pid}/ns/{name}"), AtFlags::empty()).ok()?;
    Some(stat.st_ino)
}
