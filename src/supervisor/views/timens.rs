//! Files about time namespaces: `/proc/PID/timens_offsets`, `/proc/PID/ns/time` and
//! `/proc/PID/ns/time_for_children` (time_namespaces(7), namespaces(7)).
//!
//! The kernel need not have them. Who may open them is asked of files that it always has, in the same
//! directory and under the same rule.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

use rustix::fs::{Mode, OFlags, fstat, openat};

use super::caller::{self, Caller};
use super::live;
use super::path::Name;
use super::stat::{self, Place};
use super::walk::{Found, PROC_ROOT};
use super::{Asks, Open, Outcome, Source, low, snapshot};
use crate::inject::{Fault, GuestPtr, Task};
use crate::supervisor::namespaces;
use crate::supervisor::timens::{Credentials, Who};

/// Whether the calling thread, with the rights that it has taken on, may open what was found.
pub(super) fn permission(found: &Found, flags: i32) -> Result<(), i32> {
    let (like, access) = match Name::of(&found.name) {
        // `fs/proc/base.c: tgid_base_stuff`: mode 0644, the process's own.
        Some(Name::TimensOffsets) => ("oom_score_adj", flags & (libc::O_ACCMODE | libc::O_TRUNC)),
        // `fs/proc/namespaces.c: proc_ns_get_link`.
        _ => ("user", libc::O_RDONLY),
    };
    let access = OFlags::from_bits_retain(access.cast_unsigned());
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match openat(&found.directory, like, flags, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(errno) => Err(errno.raw_os_error()),
    }
}

impl Source {
    /// The file; `None` if this is no process's directory.
    pub(super) fn open_timens(
        &self,
        caller: &Caller<'_>,
        found: &Found,
        call: &Open,
        permission: Result<(), i32>,
    ) -> Option<Outcome> {
        let flags = call.flags;
        let name = Name::of(&found.name)?;
        let proc = self.proc.as_fd();
        let directory = match name {
            // Threads have none.
            Name::TimensOffsets if !is_of_process(&found.directory) => return Some(ENOENT),
            Name::TimensOffsets => found.directory.try_clone().ok()?,
            _ => parent(&found.directory)?,
        };
        let pid = caller::process_of(proc, directory.as_fd())?;
        let waits = || self.waits(call);
        let who = Who::asked(proc, caller.tid, pid, &waits);
        // Its own links nobody is refused, however its files are owned (`kernel/ptrace.c:
        // __ptrace_may_access`).
        let is_own_link = name != Name::TimensOffsets && matches!(who, Who::Caller(_));
        if let Err(errno) = permission
            && !is_own_link
        {
            return Some(Outcome::Errno(errno));
        }
        if name != Name::TimensOffsets && namespaces::is_zombie(proc, pid) {
            return Some(ENOENT);
        }
        if name == Name::TimensOffsets {
            self.members().children_of(pid, who)?;
            return self.open_offsets(caller, pid, flags & libc::O_ACCMODE);
        }
        // Nobody can cut it short (`fs/nsfs.c`), and it is a link.
        if flags & libc::O_TRUNC != 0 {
            return Some(Outcome::Errno(libc::EPERM));
        }
        if flags & libc::O_NOFOLLOW != 0 {
            return Some(Outcome::Errno(libc::ELOOP));
        }
        let id = match name {
            Name::Time => self.members().namespace(pid, who)?.0,
            _ => self.members().children_of(pid, who)?,
        };
        let file = || live::open(self, &live::namespace_name(id), libc::O_RDONLY);
        match call.asks {
            Asks::File => Some(file().map_or_else(Outcome::Errno, Outcome::File)),
            Asks::Link { size, to } => self.tell_link(call, id, size, to),
            Asks::Status { to } => {
                let device = file().ok().and_then(|file| fstat(file).ok());
                let device = device.map_or(0, |stat| stat.st_dev);
                let words = stat::stat(live::inode_of(id, self.members()), device);
                self.tell(call, &words, to)
            }
            Asks::Statx { mask, to } => {
                let place = file().map_or_else(|_| Place::default(), |f| Place::of(&f, mask));
                let words = stat::statx_of(live::inode_of(id, self.members()), place);
                self.tell(call, &words, to)
            }
            Asks::Mount { to } => self.bind(caller, call, id, to),
            // DIFFERENCE: as where there is no such call; who uses it goes on to mount(2).
            Asks::Tree => Some(Outcome::Errno(libc::ENOSYS)),
            // They name no file.
            Asks::Owner | Asks::OfProcess { .. } => None,
        }
    }

    fn open_offsets(&self, caller: &Caller<'_>, pid: i32, access: i32) -> Option<Outcome> {
        let proc = self.proc.as_fd();
        let started = namespaces::start_of(proc, pid)?;
        let credentials = Credentials::of(proc, caller.tid)?;
        let writable = access != libc::O_RDONLY;
        let name = live::offsets_name(pid, started, &credentials, writable);
        Some(match live::open(self, &name, access) {
            Ok(file) => Outcome::File(file),
            Err(errno) if writable => Outcome::Errno(errno),
            // Where there can be no live file it is as it is now.
            Err(errno) => {
                let text = self.members().timens_offsets(pid)?;
                let file = snapshot::file(proc, "timens_offsets", text.as_bytes());
                file.map_or(Outcome::Errno(errno), Outcome::File)
            }
        })
    }

    /// Writes where a namespace's link leads (`fs/proc/namespaces.c: proc_ns_readlink`).
    fn tell_link(&self, call: &Open, id: u64, size: u64, to: u64) -> Option<Outcome> {
        // The kernel takes an `int`, and refuses what is not above zero.
        let size = usize::try_from(low(size)).ok().filter(|size| *size > 0)?;
        let text = format!("time:[{}]", live::inode_of(id, self.members()));
        let text = &text.as_bytes()[..text.len().min(size)];
        let written = self.with_task(call, |task| task.write_bytes(GuestPtr::new(to), text));
        told(written, i64::try_from(text.len()).ok()?)
    }

    /// Writes what is known of a namespace's file.
    fn tell<const N: usize>(&self, call: &Open, words: &[u64; N], to: u64) -> Option<Outcome> {
        let written = self.with_task(call, |task| task.write(GuestPtr::new(to), words));
        told(written, 0)
    }

    /// Does something in the caller's memory.
    pub(super) fn with_task<R>(&self, call: &Open, work: impl FnOnce(&Task<'_>) -> R) -> R {
        let opener = self.opener.as_ref().map(|opener| {
            // One question at a time.
            opener.lock().unwrap_or_else(PoisonError::into_inner)
        });
        let (listener, proc) = (self.listener(), self.proc.as_fd());
        work(&Task::new(
            listener,
            proc,
            call.id,
            call.tid,
            opener.as_deref(),
        ))
    }
}

/// What a call gives whose answer was written like this; `None` if the kernel is to answer it.
fn told(written: Result<(), Fault>, value: i64) -> Option<Outcome> {
    match written {
        Ok(()) => Some(Outcome::Value(value)),
        Err(Fault::Address) => Some(Outcome::Errno(libc::EFAULT)),
        Err(Fault::Gone | Fault::Denied) => None,
    }
}

const ENOENT: Outcome = Outcome::Errno(libc::ENOENT);

/// Whether a directory of a proc(5) is that of a process, and not of a thread.
fn is_of_process(directory: &OwnedFd) -> bool {
    parent(directory)
        .and_then(|parent| fstat(&parent).ok())
        .is_some_and(|parent| parent.st_ino == PROC_ROOT)
}

/// The directory that this one, `ns`, lies in.
fn parent(directory: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(directory, "..", flags, Mode::empty()).ok()
}
