//! Descriptors that are asked for by ioctl(2) on another: ioctl_ns(2), and those of pidfds (`fs/pidfs.c:
//! pidfd_ioctl`). What can be said without one, the server of the file says (`live`).

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, openat};

use super::caller::Caller;
use super::live;
use super::{Open, Outcome, Source};
use crate::supervisor::namespaces;
use crate::supervisor::timens::{Credentials, Who};
use crate::sys::namespace;
use crate::sys::rights::Own;

impl Source {
    /// `NS_GET_USERNS` of one of our files; `None` if it is none.
    pub(super) fn owner(&self, call: &Open) -> Option<Outcome> {
        let proc = self.proc.as_fd();
        let path = format!("{}/fd/{}", call.tid, call.directory);
        let id = self.journal.live.namespace_of(proc, &path)?;
        let owner = self.members().owner_of(id)?;
        let to = Credentials::of(proc, call.tid)?;
        Some(match owner.open(proc, call.tid, &to) {
            Ok(file) => Outcome::File(file),
            Err(errno) => Outcome::Errno(errno),
        })
    }

    /// The time namespace of a pidfd's process, or of its children; `None` if the kernel is to say what is
    /// wrong, or has no such request.
    pub(super) fn of_process(&self, own: &Own, call: &Open, children: bool) -> Option<Outcome> {
        let proc = self.proc.as_fd();
        let fd = u64::from(call.directory.cast_unsigned());
        let pid = namespaces::of_pidfd(proc, call.tid, fd)?;
        if !namespace::are_given_by_pidfds() {
            return None;
        }
        let caller = Caller::new(proc, call.tid)?;
        let rights = own.of(proc, call.tid, &caller.status)?;
        let taken = rights.take_on(own).ok()?;
        // Under the same rule (`PTRACE_MODE_READ_FSCREDS`).
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let allowed = openat(proc, format!("{pid}/ns/user"), flags, Mode::empty());
        drop(taken);
        if let Err(errno) = allowed {
            return Some(Outcome::Errno(errno.raw_os_error()));
        }
        if namespaces::is_zombie(proc, pid) {
            return Some(Outcome::Errno(libc::ESRCH));
        }
        let waits = || self.waits(call);
        let who = Who::asked(proc, call.tid, pid, &waits);
        let id = match children {
            true => self.members().children_of(pid, who)?,
            false => self.members().namespace(pid, who)?.0,
        };
        let file = live::open(self, &live::namespace_name(id), libc::O_RDONLY);
        Some(file.map_or_else(Outcome::Errno, Outcome::File))
    }
}
