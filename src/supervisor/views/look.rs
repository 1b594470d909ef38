//! Whether a thread may look at a process: the kernel is asked, by a child that goes where the thread is.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::caller::Caller;
use crate::sys::process::{self, Change};
use crate::sys::rights::Rights;

/// Whether thread `tid` may look at process `pid` (`kernel/ptrace.c: __ptrace_may_access` with
/// `PTRACE_MODE_READ`). True too where that cannot be found out.
///
/// DIFFERENCE: the ids for files and the effective capabilities decide, and not the real ids and the
/// permitted ones.
pub(in super::super) fn may_look_at(proc: BorrowedFd<'_>, tid: i32, pid: i32) -> bool {
    let Some(caller) = Caller::new(proc, tid) else {
        return true;
    };
    if super::super::namespaces::process_of(proc, tid) == Some(pid) {
        return true;
    }
    let (Some(rights), Some(there), Some(here)) = (
        Rights::there(&caller.status),
        user_namespace(proc, &tid.to_string()),
        user_namespace(proc, "self"),
    ) else {
        return true;
    };
    let link = format!("{pid}/ns/user");
    let found = statat(proc, &link, AtFlags::empty()).map(|stat| stat.st_ino);
    let keep = [proc.as_raw_fd(), there.as_raw_fd(), here.as_raw_fd()];
    let enter = || take_on(&rights, &there, &here);
    let work = |entered: Result<_, _>| {
        if entered.is_err() {
            return 0;
        }
        match openat(proc, &link, FLAGS, Mode::empty()) {
            Err(Errno::ACCESS | Errno::PERM) => REFUSED,
            Err(Errno::NOENT) => HIDDEN,
            // Linux 5.10 gives who may not look another file.
            Ok(file) if fstat(&file).map(|stat| stat.st_ino) != found => REFUSED,
            _ => 0,
        }
    };
    let Ok(child) = process::start_helper(&keep, enter, work) else {
        return true;
    };
    match process::wait_for_end(child) {
        Ok(Change::Exited(REFUSED)) => false,
        // By `hidepid` (proc(5)), unless it is gone.
        Ok(Change::Exited(HIDDEN)) => statat(proc, &link, AtFlags::SYMLINK_NOFOLLOW).is_err(),
        // Only somebody who may kill it there ends it so.
        Ok(Change::Killed(_)) => false,
        _ => true,
    }
}

/// With what the child ends.
const REFUSED: i32 = 1;
const HIDDEN: i32 = 2;

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

fn user_namespace(proc: BorrowedFd<'_>, of: &str) -> Option<OwnedFd> {
    openat(proc, format!("{of}/ns/user"), FLAGS, Mode::empty()).ok()
}

/// Gives this process, which has one thread, the rights in the user namespace `there`.
fn take_on(rights: &Rights, there: &OwnedFd, here: &OwnedFd) -> std::io::Result<()> {
    rights.take_on_ids()?;
    if fstat(there)?.st_ino != fstat(here)?.st_ino {
        move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    rights.take_on_capabilities()
}
