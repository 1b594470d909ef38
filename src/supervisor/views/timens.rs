//! Files about time namespaces: `/proc/PID/timens_offsets`, `/proc/PID/ns/time` and
//! `/proc/PID/ns/time_for_children` (time_namespaces(7), namespaces(7)).
//!
//! The kernel need not have them. Who may open them is asked of files that it always has, in the same
//! directory and under the same rule.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

use super::caller::{self, Caller};
use super::live;
use super::path::Name;
use super::walk::Found;
use super::{Outcome, Source};
use crate::supervisor::namespaces;
use crate::supervisor::timens::Credentials;

/// Whether the calling thread, with the rights that it has taken on, may open what was found.
pub(super) fn permission(found: &Found, flags: i32) -> Result<(), i32> {
    let (like, access) = match Name::of(&found.name) {
        // `fs/proc/base.c: tgid_base_stuff`: mode 0644, the process's own.
        Some(Name::TimensOffsets) => ("oom_score_adj", flags & libc::O_ACCMODE),
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
        flags: i32,
        permission: Result<(), i32>,
    ) -> Option<Outcome> {
        let name = Name::of(&found.name)?;
        let proc = self.proc.as_fd();
        let directory = match name {
            Name::TimensOffsets => found.directory.try_clone().ok()?,
            _ => parent(&found.directory)?,
        };
        let pid = caller::process_of(proc, directory.as_fd())?;
        if let Err(errno) = permission {
            return Some(Outcome::Errno(errno));
        }
        let live_name = match name {
            Name::TimensOffsets => {
                let started = namespaces::start_of(proc, pid)?;
                let credentials = Credentials::of(proc, caller.tid)?;
                live::offsets_name(pid, started, &credentials)
            }
            // A link.
            _ if flags & libc::O_NOFOLLOW != 0 => return Some(Outcome::Errno(libc::ELOOP)),
            Name::Time => live::namespace_name(self.members().namespace(pid)?.0),
            _ => live::namespace_name(self.members().children_of(pid)?),
        };
        let access = match name {
            Name::TimensOffsets => flags & libc::O_ACCMODE,
            _ => libc::O_RDONLY,
        };
        Some(match live::open(self, &live_name, access) {
            Ok(file) => Outcome::File(file),
            Err(errno) => Outcome::Errno(errno),
        })
    }
}

/// The directory that this one, `ns`, lies in.
fn parent(directory: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(directory, "..", flags, Mode::empty()).ok()
}
