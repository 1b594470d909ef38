//! Namespaces that the kernel makes by clone3(2), whose flags lie in memory: to be asked about each
//! thread and each posix_spawn(3) that a C library makes by it costs as much as they do.
//!
//! So the kernel makes the child's, where it has time namespaces, with the clocks of its parent's. It has
//! no offsets of ours; the child's clocks are those of the namespace that its parent's children are to be
//! in, as they should be. When somebody asks where the child is, it is found to be in another namespace of
//! the kernel's than the one in which ours was made, and gets one of ours.
//!
//! DIFFERENCE: where the kernel has no time namespaces clone3(2) says `EINVAL`.

use rustix::fs::{AtFlags, statat};
use rustix::rand::{GetRandomFlags, getrandom};

use super::record::New;
use super::{Mark, Owner, in_use};
use crate::supervisor::members::Members;
use crate::supervisor::{namespaces, status};
use crate::sys::namespace;

impl Members<'_> {
    /// Gives a process a namespace of ours that the kernel has put into one of its own; whether it has
    /// just got it.
    pub(in super::super) fn adopt(&self, pid: i32) -> bool {
        self.try_adopt(pid).is_some()
    }

    fn try_adopt(&self, pid: i32) -> Option<()> {
        if self.leaves_to_kernel {
            return None;
        }
        let kernels = self.kernels(pid)?;
        // A container may be in one of the kernel's as a whole: there its first process tells.
        let first = match self.journal.is_adopted() {
            true => kernels,
            false => namespace::own_time(),
        };
        if kernels == self.journal.kernels(first) {
            return None;
        }
        let pid = namespaces::process_of(self.proc, pid)?;
        let started = namespaces::start_of(self.proc, pid)?;
        let records = &self.journal.timens;
        let mark = self.mark_of(pid);
        let base = match mark {
            // It has been moved since, or is a child of one that was.
            Some(mark) if mark.pid == pid => return None,
            Some(mark) if records.kernels(mark.children) == Some(kernels) => return None,
            Some(mark) => mark.children,
            None => namespaces::of(self.journal, self.proc, pid, &self.offsets)?.0,
        };
        // Numbers are used again.
        let used = in_use(self.proc, self.journal)?;
        let found = records.adopted(kernels, |id| used.contains(&id));
        let is_new = found.is_none();
        let (id, nonce) = match found {
            Some(found) => found,
            None => {
                let mut random = [0; 4];
                getrandom(&mut random, GetRandomFlags::empty()).ok()?;
                let new = New {
                    offsets: &self.offsets_of(base)?,
                    owner: &Owner::of(self.proc, &pid.to_string())?,
                    uid: status::effective_user(self.proc, pid)?,
                    faults: 0,
                    kernels,
                    is_adopted: true,
                };
                records.create(&new, u32::from_le_bytes(random))?
            }
        };
        // As that of a child which has asked for nothing yet: if its image is closed, it is moved when
        // it asks.
        let adopted = Mark {
            own: mark.map_or(base, |mark| mark.own),
            children: id,
            pid: match mark {
                Some(mark) => mark.pid,
                None => namespaces::parent_of(self.proc, pid).unwrap_or(0),
            },
            nonce,
        };
        // What was read was another's if the process has ended meanwhile.
        let is_same = namespaces::start_of(self.proc, pid) == Some(started);
        let marked = is_same.then(|| adopted.set_on(pid).ok()).flatten();
        if is_new && marked.is_none() {
            records.give_up(id);
            return None;
        }
        records.finish(id);
        // What it has done tells nothing of those that are in its parent's.
        records.expect_sharers(base);
        marked
    }

    /// The inode number of the kernel's time namespace that a process is in.
    pub(in super::super) fn kernels(&self, pid: i32) -> Option<u64> {
        let stat = statat(self.proc, format!("{pid}/ns/time"), AtFlags::empty()).ok()?;
        Some(stat.st_ino)
    }
}
