//! Which namespace a caller is in, with an image that says so.

use super::Handlers;
use crate::clock::ClockOffsets;
use crate::inject::{Found, Missing, Task};
use crate::supervisor::timens::{Mark, Who};
use crate::supervisor::{namespaces, status};
use crate::sys::namespace::share_memory;

impl Handlers<'_> {
    /// What the caller's image says, with the image in place, and with the caller in its namespace if it
    /// is a child that has been forked since its parent called unshare(2).
    pub(super) fn member(&mut self, task: &Task<'_>) -> Result<Found, Missing> {
        let service = self.service;
        let found = self
            .injector
            .ensure(task, |image| service.new_image(task, image));
        match found {
            Ok(found) if found.is_closed => self.settle(task, found),
            // Every read of such a program is a notified call.
            Err(Missing::NoVdso) => {
                let waits = || task.is_waiting();
                match service.members().namespace(task.tid(), Who::Caller(&waits)) {
                    Some((namespace, offsets)) => Ok(Found {
                        offsets,
                        namespace,
                        is_closed: false,
                    }),
                    None => Err(Missing::Gone),
                }
            }
            other => other,
        }
    }

    /// Moves a forked child to where its parent's children are to be; its parent stays, and so does
    /// who shares its parent's memory, up to exec(2) (`kernel/time/namespace.c: timens_on_fork`,
    /// `kernel/fork.c: copy_process`).
    fn settle(&mut self, task: &Task<'_>, found: Found) -> Result<Found, Missing> {
        let service = self.service;
        let pid = namespaces::process_of(service.proc(), task.tid()).ok_or(Missing::Gone)?;
        service
            .members()
            .adopt(pid, Who::Caller(&|| task.is_waiting()));
        // One that has lost its mark stays.
        let Some(mark) = Mark::of(pid) else {
            return Ok(found);
        };
        if mark.pid == pid {
            return Ok(found);
        }
        if share_memory(mark.pid, pid) {
            service.journal.timens.expect_sharers(mark.children);
            return Ok(found);
        }
        let Some(offsets) = service.members().enter(mark.children, mark.nonce) else {
            return Ok(found);
        };
        let new = Mark {
            own: mark.children,
            pid,
            ..mark
        };
        self.move_to(task, &offsets, &new)?;
        Ok(Found {
            offsets,
            namespace: new.own,
            is_closed: false,
        })
    }

    /// Puts a process into another namespace.
    pub(super) fn move_to(
        &mut self,
        task: &Task<'_>,
        offsets: &ClockOffsets,
        mark: &Mark,
    ) -> Result<(), Missing> {
        let threads = status::threads(self.service.proc(), mark.pid);
        let has_threads = threads.is_none_or(|threads| threads > 1);
        match self.injector.enter(task, offsets, mark.own, has_threads) {
            Ok(()) | Err(Missing::NoVdso) => {}
            Err(missing) => return Err(missing),
        }
        if !task.is_waiting() {
            return Err(Missing::Gone);
        }
        mark.set().map_err(|_| Missing::Denied)
    }
}
