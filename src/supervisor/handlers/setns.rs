//! setns(2) to one of our time namespaces, by a pidfd of a member or a file of the namespace.

use std::os::fd::BorrowedFd;

use super::split::Split;
use super::unshare::{CAP_SYS_ADMIN, CLONE_NEWTIME, CLONE_NEWUSER};
use super::{Handlers, errno};
use crate::inject::{Found, Task};
use crate::supervisor::redirect::Place;
use crate::supervisor::timens::{Credentials, Mark, Owner, Who};
use crate::supervisor::views::may_look_at;
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
        let first = types & !CLONE_NEWTIME;
        let entered = match self.half_done(task, notification) {
            Some(Place::Split {
                enters: Some(target),
                is_granted,
                ..
            }) => self.enter(task, Entering { target, is_granted }),
            _ => {
                let id = match namespaces::of_pidfd(proc, task.tid(), fd) {
                    // A file of a namespace, or nothing of ours.
                    None => match self.namespace_of_file(task, fd) {
                        Some(id) if first == 0 => id,
                        Some(_) => return Some(Answer::Errno(libc::EINVAL)),
                        None => return Some(Answer::Continue),
                    },
                    Some(_) if types & CLONE_NEWTIME == 0 => return Some(Answer::Continue),
                    // `kernel/nsproxy.c: validate_nsset`.
                    Some(pid) if !may_look_at(proc, task.tid(), pid) => {
                        return Some(Answer::Errno(libc::EPERM));
                    }
                    Some(pid) => {
                        let waits = || task.is_waiting();
                        let who = Who::asked(proc, task.tid(), pid, &waits);
                        match self.service.members().namespace(pid, who) {
                            Some((id, _)) => id,
                            // ESRCH if it is gone.
                            None => return Some(Answer::Continue),
                        }
                    }
                };
                let nonce = self.service.journal.timens.nonce(id).unwrap_or(0);
                let target = (id, nonce);
                match first {
                    0 => self.enter(
                        task,
                        Entering {
                            target,
                            is_granted: false,
                        },
                    ),
                    _ => return self.enter_with(task, notification, found, first, target),
                }
            }
        };
        match entered {
            Ok(()) => Some(Answer::Value(0)),
            Err(missing) => errno(missing),
        }
    }

    /// Has the caller enter a process's namespaces of these types `first`, all of them or none
    /// (`kernel/nsproxy.c: validate_nsset`), and then `target`.
    fn enter_with(
        &mut self,
        task: &Task<'_>,
        notification: &Notification,
        found: Found,
        first: u64,
        target: (u64, u32),
    ) -> Option<Answer> {
        // Who enters a user namespace may get the right with it.
        let has_user_namespace = first & CLONE_NEWUSER != 0;
        let entering = Entering {
            target,
            is_granted: false,
        };
        let is_granted = match self.may_enter(task, entering, has_user_namespace) {
            Ok(_) => true,
            Err(libc::EPERM) if has_user_namespace => false,
            Err(missing) => return errno(missing),
        };
        let split = Split {
            argument: 1,
            first,
            enters: Some(target),
            is_granted,
        };
        self.split(task, notification, &found.offsets, split)
    }

    /// The caller's process, if it may enter a namespace; if it is to enter a user namespace with it, its own
    /// does not count.
    fn may_enter(
        &self,
        task: &Task<'_>,
        entering: Entering,
        with_user_namespace: bool,
    ) -> Result<i32, i32> {
        let service = self.service;
        let proc = service.proc();
        let pid = namespaces::process_of(proc, task.tid()).ok_or(0)?;
        if status::threads(proc, pid).ok_or(0)? > 1 || shares_memory(proc, pid) {
            return Err(libc::EUSERS);
        }
        if entering.is_granted {
            return Ok(pid);
        }
        let own = Owner::of(proc, &task.tid().to_string()).ok_or(libc::EPERM)?;
        let owner = service.members().owner_of(entering.target.0);
        let owner = owner.ok_or(libc::EPERM)?;
        let credentials = Credentials::of(proc, task.tid()).ok_or(libc::EPERM)?;
        let grants = |owner: &Owner| owner.grants(&credentials, CAP_SYS_ADMIN);
        match grants(&owner) && (with_user_namespace || grants(&own)) {
            true => Ok(pid),
            false => Err(libc::EPERM),
        }
    }

    fn enter(&mut self, task: &Task<'_>, entering: Entering) -> Result<(), i32> {
        let pid = self.may_enter(task, entering, false)?;
        if !task.is_waiting() {
            return Err(0);
        }
        let (id, nonce) = entering.target;
        let members = self.service.members();
        let offsets = members.enter(id, nonce).ok_or(libc::EINVAL)?;
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

/// What is to be entered.
#[derive(Clone, Copy)]
struct Entering {
    /// A time namespace and its nonce.
    target: (u64, u32),
    /// Whether the caller was found to have the right to it before it entered others.
    is_granted: bool,
}

/// Whether another process has the memory of this one, whose threads count as its own
/// (`lib/is_single_threaded.c: current_is_single_threaded`).
fn shares_memory(proc: BorrowedFd<'_>, pid: i32) -> bool {
    let mut others = namespaces::processes(proc).into_iter().flatten();
    others.any(|other| other != pid && share_memory(other, pid))
}
