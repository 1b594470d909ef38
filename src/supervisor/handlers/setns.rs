//! setns(2) to one of our time namespaces, by a pidfd of a member or a file of the namespace.

use super::unshare::{CAP_SYS_ADMIN, CLONE_NEWTIME};
use super::{Handlers, errno};
use crate::inject::{Found, Task};
use crate::supervisor::redirect::Place;
use crate::supervisor::timens::{Credentials, Mark, Owner};
use crate::supervisor::{namespaces, status};
use crate::sys::namespace::share_memory;
use crate::sys::seccomp::{Answer, Notification};

impl Handlers<'_> {
    /// Moves the caller and its children into a namespace (`kernel/time/namespace.c: timens_install`).
    pub(super) fn setns(
        &mut self,
        task: &Task<'_>,
        notification: &Notification,
        found: Found,
    ) -> Option<Answer> {
        let proc = self.service.proc();
        let [fd, types, ..] = notification.data.args;
        let (fd, types) = (fd & 0xffff_ffff, types & 0xffff_ffff);
        let target = match namespaces::of_pidfd(proc, task.tid(), fd) {
            // A file of a namespace, or nothing of ours.
            None => match self.namespace_of_file(task, fd) {
                Some(id) if types & !CLONE_NEWTIME == 0 => id,
                Some(_) => return Some(Answer::Errno(libc::EINVAL)),
                None => return Some(Answer::Continue),
            },
            Some(_) if types & CLONE_NEWTIME == 0 => return Some(Answer::Continue),
            Some(pid) if types == CLONE_NEWTIME => match self.service.members().namespace(pid) {
                Some((id, _)) => id,
                None => return Some(Answer::Errno(libc::ESRCH)),
            },
            Some(_) => {
                let place = Place::Split {
                    argument: 1,
                    first: types & !CLONE_NEWTIME,
                    last: CLONE_NEWTIME,
                };
                return self.post(task, notification, &found.offsets, place);
            }
        };
        match self.join(task, target) {
            Ok(()) => Some(Answer::Value(0)),
            Err(missing) => errno(missing),
        }
    }

    fn join(&mut self, task: &Task<'_>, id: u64) -> Result<(), i32> {
        let service = self.service;
        let proc = service.proc();
        let pid = namespaces::process_of(proc, task.tid()).ok_or(0)?;
        // Who shares its memory counts as a thread (`lib/is_single_threaded.c`).
        let parent = namespaces::parent_of(proc, pid).ok_or(0)?;
        if status::threads(proc, pid).ok_or(0)? > 1 || share_memory(parent, pid) {
            return Err(libc::EUSERS);
        }
        let own = Owner::of(proc, &task.tid().to_string()).ok_or(libc::EPERM)?;
        let owner = service.members().owner_of(id).ok_or(libc::EPERM)?;
        let credentials = Credentials::of(proc, task.tid()).ok_or(libc::EPERM)?;
        let grants = |owner: &Owner| owner.grants(&credentials, CAP_SYS_ADMIN);
        if !grants(&owner) || !grants(&own) {
            return Err(libc::EPERM);
        }
        if !task.is_waiting() {
            return Err(0);
        }
        let nonce = service.journal.timens.nonce(id).unwrap_or(0);
        let offsets = service.members().enter(id, nonce).ok_or(libc::EINVAL)?;
        let mark = Mark {
            own: id,
            children: id,
            pid,
            nonce,
        };
        self.move_to(task, &offsets, &mark)
            .map_err(|_| libc::ENOMEM)
    }

    /// The namespace whose file a descriptor of the caller's is.
    fn namespace_of_file(&self, task: &Task<'_>, fd: u64) -> Option<u64> {
        let path = format!("{}/fd/{fd}", task.tid());
        let live = &self.service.journal.live;
        let id = live.namespace_of(self.service.proc(), &path);
        // What was learnt by the thread's id was its own.
        id.filter(|_| task.is_waiting())
    }
}
