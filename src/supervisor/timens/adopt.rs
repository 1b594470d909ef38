//! Namespaces that the kernel makes by clone3(2), whose flags lie in memory: to be asked about each
//! thread and each posix_spawn(3) that a C library makes by it costs as much as they do.
//!
//! So the kernel makes the child's, where it has time namespaces, with the clocks of its parent's. It has
//! no offsets of ours; the child's clocks are those of the namespace that its parent's children are to be
//! in, as they should be. When somebody asks where the child is, it is found to be in another namespace of
//! the kernel's than the one in which ours was made, and gets one of ours.
//!
//! DIFFERENCE: where the kernel has no time namespaces clone3(2) says `EINVAL`.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, statat};

use super::record::New;
use super::{Mark, Owner, in_use};
use crate::supervisor::members::Members;
use crate::supervisor::{namespaces, status};
use crate::sys::{namespace, random};

/// Whose place is asked for.
#[derive(Clone, Copy)]
pub(in super::super) enum Who<'a> {
    /// It has made a call that was notified: it is of this tree, wherever it was put, as long as it waits for the
    /// answer. Then its number is another's.
    Caller(&'a dyn Fn() -> bool),
    /// Somebody asks about it.
    Other,
}

impl<'a> Who<'a> {
    /// Process `pid`, about which thread `tid` asks, perhaps itself, and `waits` for the answer.
    pub(in super::super) fn asked(
        proc: BorrowedFd<'_>,
        tid: i32,
        pid: i32,
        waits: &'a dyn Fn() -> bool,
    ) -> Self {
        match namespaces::process_of(proc, tid) == Some(pid) {
            true => Self::Caller(waits),
            false => Self::Other,
        }
    }

    /// Whether what was just read of its number may have been its own.
    fn is_there(&self) -> bool {
        match self {
            Self::Caller(waits) => waits(),
            Self::Other => true,
        }
    }
}

/// Where a process stands after a look at its time namespace of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// It has just got a namespace of ours.
    Adopted,
    /// It is in a namespace of the kernel's, and none of this tree's.
    Stranger,
    /// It stays where it is.
    Usual,
}

impl Members<'_> {
    /// Gives a process of this tree a namespace of ours that the kernel has put into one of its own.
    pub(in super::super) fn adopt(&self, pid: i32, who: Who<'_>) -> Standing {
        let Some(kernels) = self.other_kernels(pid, who) else {
            return Standing::Usual;
        };
        let Some(pid) = namespaces::process_of(self.proc, pid) else {
            return Standing::Usual;
        };
        let mark = self.mark_of(pid);
        if let Some(mark) = mark
            && self.has_moved(&mark, pid, kernels)
        {
            return Standing::Usual;
        }
        // Nothing is written on who may be another's.
        let is_ours = match who {
            Who::Caller(_) => true,
            Who::Other => namespaces::is_below(self.journal, self.proc, pid),
        };
        if is_ours {
            let adopted = self.try_adopt(pid, kernels, mark, who);
            return adopted.map_or(Standing::Usual, |()| Standing::Adopted);
        }
        match self.journal.is_adopted() && status::has_filter(self.proc, pid) {
            true => Standing::Usual,
            false => Standing::Stranger,
        }
    }

    /// The kernel's time namespace of a process, if it is not the one that the tree's own stands for.
    fn other_kernels(&self, pid: i32, who: Who<'_>) -> Option<u64> {
        if self.leaves_to_kernel {
            return None;
        }
        let kernels = self.kernels(pid)?;
        // An adopted tree may be in one of the kernel's as a whole: there its first process tells, or the first
        // that makes a call.
        let own = match (self.own_kernels(), who) {
            (0, Who::Caller(waits)) if waits() => self.journal.kernels(kernels),
            (0, _) => return None,
            (own, _) => own,
        };
        (kernels != own).then_some(kernels)
    }

    /// The kernel's time namespace that the tree's own stands for; 0: there is none, or none is known yet.
    pub(in super::super) fn own_kernels(&self) -> u64 {
        self.journal.kernels(match self.journal.is_adopted() {
            true => 0,
            false => namespace::own_time(),
        })
    }

    /// Whether a process has been moved since, or is a child of one that was, or has been adopted. Of other
    /// trees' marks those of a fixed namespace look like ours.
    fn has_moved(&self, mark: &Mark, pid: i32, kernels: u64) -> bool {
        !namespaces::is_fixed(mark.children)
            && (mark.pid == pid || self.journal.timens.kernels(mark.children) == Some(kernels))
    }

    fn try_adopt(&self, pid: i32, kernels: u64, mark: Option<Mark>, who: Who<'_>) -> Option<()> {
        let started = namespaces::start_of(self.proc, pid)?;
        let records = &self.journal.timens;
        let base = match mark {
            Some(mark) if mark.pid == pid => return None,
            Some(mark) => mark.children,
            // Below an adopted tree's first process there may be processes of other keepers.
            None if Mark::of(pid).is_some() => return None,
            None => namespaces::of(self.journal, self.proc, pid, &self.offsets)?.0,
        };
        // Numbers are used again.
        let used = in_use(self.proc, self.journal)?;
        let found = records.adopted(kernels, |id| used.contains(&id));
        let is_new = found.is_none();
        let (id, nonce) = match found {
            Some(found) => found,
            None => {
                let nonce = random::bytes().ok()?;
                let new = New {
                    offsets: &self.offsets_of(base)?,
                    owner: &Owner::of(self.proc, &pid.to_string())?,
                    uid: status::effective_user(self.proc, pid)?,
                    faults: 0,
                    kernels,
                    is_adopted: true,
                };
                records.create(&new, u32::from_le_bytes(nonce))?
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
        let is_same = who.is_there() && namespaces::start_of(self.proc, pid) == Some(started);
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
