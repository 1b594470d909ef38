//! Whether a thread may look at a process: the kernel is asked, by a child that goes where the thread is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::caller::Caller;
use crate::sys::process::{self, Forked};
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
    let child = match process::fork() {
        Ok(Forked::Parent(child)) => child,
        Ok(Forked::Child) => {
            let is_refused = take_on(&rights, &there, &here).is_ok()
                && matches!(
                    openat(proc, format!("{pid}/ns/user"), FLAGS, Mode::empty()),
                    Err(Errno::ACCESS | Errno::PERM)
                );
            process::exit_now(i32::from(is_refused))
        }
        Err(_) => return true,
    };
    !matches!(process::wait_for_end(child), Ok(process::Change::Exited(1)))
}

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
