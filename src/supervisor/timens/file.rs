//! Reading and writing `/proc/PID/timens_offsets`, which is about the namespace of PID's children
//! (`kernel/time/namespace.c: proc_timens_set_offset`).

use super::{Credentials, Mark, Standing, Who};
use crate::clock::{ClockOffsets, Offset, check_limits, timens_offsets};
use crate::supervisor::members::Members;
use crate::supervisor::namespaces;
use crate::sys::namespace::share_memory;

/// `linux/capability.h`.
const CAP_SYS_TIME: u32 = 25;

impl Members<'_> {
    /// What `/proc/PID/timens_offsets` shows; `None` if the process is gone.
    pub(in super::super) fn timens_offsets(&self, pid: i32) -> Option<String> {
        // It has no namespace any more (`kernel/time/namespace.c: proc_timens_show_offsets`).
        if namespaces::is_zombie(self.proc, pid) {
            return Some(String::new());
        }
        let offsets = self.offsets_of(self.children_of(pid, Who::Other)?)?;
        Some(timens_offsets::show(&offsets))
    }

    /// Writes `bytes` at the beginning of `/proc/PID/timens_offsets`, which somebody with these
    /// `credentials` has opened; how many were taken.
    ///
    /// # Errors
    /// `EINVAL`: this is not what the file takes. `ESRCH`: the process is gone. `EPERM`: the opener lacked
    /// `CAP_SYS_TIME` in the namespace's user namespace. `ERANGE`: a clock would run below zero, or
    /// too far. `EACCES`: somebody is, or was, in the namespace.
    pub(in super::super) fn set_timens_offsets(
        &self,
        pid: i32,
        credentials: &Credentials,
        bytes: &[u8],
    ) -> Result<usize, i32> {
        let request = timens_offsets::parse(bytes)?;
        if namespaces::is_zombie(self.proc, pid) {
            return Err(libc::ESRCH);
        }
        let id = self.children_of(pid, Who::Other).ok_or(libc::ESRCH)?;
        let owner = self.owner_of(id).ok_or(libc::ESRCH)?;
        if !owner.grants(credentials, CAP_SYS_TIME) {
            return Err(libc::EPERM);
        }
        let new = request.apply(self.offsets_of(id).ok_or(libc::ESRCH)?);
        let since_boot = ClockOffsets {
            realtime: Offset::ZERO,
            tai: Offset::ZERO,
            ..new
        };
        let now = crate::sys::clock::readings().map_err(|_| libc::ERANGE)?;
        check_limits(&since_boot, &now).map_err(|_| libc::ERANGE)?;
        if self.has_members(id) {
            return Err(libc::EACCES);
        }
        match self.journal.timens.set(id, &new) {
            Ok(()) => Ok(request.len),
            Err(_) => Err(libc::EACCES),
        }
    }

    /// The namespace that the children of a process are to be in; `None` as [`namespace`](Self::namespace) says.
    pub(in super::super) fn children_of(&self, pid: i32, who: Who<'_>) -> Option<u64> {
        let (id, _) = self.namespace(pid, who)?;
        Some(self.mark_of(pid).map_or(id, |mark| mark.children))
    }

    /// Whether somebody is, or was, in a namespace: a forked child that has asked for nothing yet too.
    ///
    /// DIFFERENCE: children of its maker that were there before it, and have ended since, count, and so
    /// do those that vfork(2) has made and that have neither read a clock nor executed a program. After
    /// one that has read a clock, those count no more that have forked, asked nothing, and ended.
    fn has_members(&self, id: u64) -> bool {
        if namespaces::is_fixed(id) || self.journal.timens.is_frozen(id) {
            return true;
        }
        let nonce = self.journal.timens.nonce(id);
        let Some(processes) = namespaces::processes(self.proc) else {
            return true;
        };
        for pid in processes {
            // Those of other trees have the same numbers, and another nonce, which a stranger may copy.
            let is_of_it = |mark: &Mark| mark.children == id && Some(mark.nonce) == nonce;
            let Some(mark) = Mark::of(pid).filter(is_of_it) else {
                continue;
            };
            if !namespaces::is_member(self.journal, self.proc, pid) {
                continue;
            }
            if mark.pid != pid {
                if self.adopt(pid, Who::Other) == Standing::Adopted {
                    continue;
                }
                if !share_memory(mark.pid, pid) {
                    return true;
                }
                continue;
            }
            let before = self.journal.timens.faults(id);
            let now = namespaces::faults_of_children(self.proc, pid);
            if before.is_some() && now.is_some() && now != before {
                return true;
            }
        }
        false
    }
}
