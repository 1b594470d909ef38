//! unshare(2) with `CLONE_NEWTIME`.

use super::split::Split;
use super::{Handlers, errno};
use crate::inject::{Found, Missing, Task};
use crate::supervisor::timens::{self, Credentials, Mark, New, Owner, Who};
use crate::supervisor::{namespaces, status};
use crate::sys::random;
use crate::sys::seccomp::{Answer, Notification};

/// `linux/sched.h`; plain clone(2) has no room for it.
pub(super) const CLONE_NEWTIME: u64 = 0x80;

/// `linux/sched.h`.
pub(super) const CLONE_NEWUSER: u64 = 0x1000_0000;

/// `linux/capability.h`.
pub(super) const CAP_SYS_ADMIN: u32 = 21;

impl Handlers<'_> {
    /// Gives the caller's children a namespace of their own (`kernel/time/namespace.c:
    /// copy_time_ns`).
    pub(super) fn unshare(
        &mut self,
        task: &Task<'_>,
        notification: &Notification,
        found: Found,
    ) -> Option<Answer> {
        let flags = notification.data.args[0];
        let rest = flags & !CLONE_NEWTIME;
        if rest != 0 && self.half_done(task, notification).is_none() {
            // A user namespace is made before all others, and has the right to them.
            let is_granted = rest & CLONE_NEWUSER == 0;
            if is_granted && let Err(missing) = self.may_unshare(task) {
                return errno(missing);
            }
            let split = Split {
                argument: 0,
                first: rest,
                enters: None,
                is_granted,
            };
            return self.split(task, notification, &found.offsets, split);
        }
        match self.new_namespace(task, found) {
            Ok(()) => Some(Answer::Value(0)),
            Err(missing) => errno(missing),
        }
    }

    /// The user namespace that is to own what the caller makes.
    fn may_unshare(&self, task: &Task<'_>) -> Result<Owner, i32> {
        let proc = self.service.proc();
        let owner = Owner::of(proc, &task.tid().to_string()).ok_or(libc::EPERM)?;
        let credentials = Credentials::of(proc, task.tid()).ok_or(libc::EPERM)?;
        match owner.grants(&credentials, CAP_SYS_ADMIN) {
            true => Ok(owner),
            false => Err(libc::EPERM),
        }
    }

    fn new_namespace(&mut self, task: &Task<'_>, found: Found) -> Result<(), i32> {
        let service = self.service;
        let proc = service.proc();
        let pid = namespaces::process_of(proc, task.tid()).ok_or(0)?;
        let owner = self.may_unshare(task)?;
        let has_threads = status::threads(proc, pid).is_none_or(|threads| threads > 1);
        // The namespace of the children gives the offsets, as they are now.
        // Its image is its parent's, and knows nothing of a namespace that the kernel has made.
        let waits = || task.is_waiting();
        let caller = Who::Caller(&waits);
        let (own, _) = service.members().namespace(pid, caller).ok_or(0)?;
        let own = match service.journal.timens.is_adopted(own) {
            true => own,
            false => found.namespace,
        };
        let children = match Mark::of(pid) {
            Some(mark) if mark.pid == pid => mark.children,
            _ => own,
        };
        let offsets = service
            .members()
            .offsets_of(children)
            .unwrap_or(found.offsets);
        let random = random::bytes().map_err(|_| libc::ENOMEM)?;
        let random = u32::from_le_bytes(random);
        let records = &service.journal.timens;
        let new = New {
            offsets: &offsets,
            owner: &owner,
            uid: status::effective_user(proc, task.tid()).ok_or(0)?,
            faults: namespaces::faults_of_children(proc, pid).unwrap_or(0),
            kernels: service.members().kernels(pid).unwrap_or(0),
            is_adopted: false,
        };
        let create = || {
            timens::has_room(proc, records, &owner, new.uid, task.tid())
                .then(|| records.create(&new, random))?
        };
        let (id, nonce) = match create() {
            Some(created) => created,
            None => {
                let since = records.now();
                let in_use = timens::in_use(proc, service.journal).ok_or(libc::ENOSPC)?;
                records.retain(since, |id| in_use.contains(&id));
                create().ok_or(libc::ENOSPC)?
            }
        };
        let mark = Mark {
            own,
            children: id,
            pid,
            nonce,
        };
        let marked = self.give_children(task, &mark, has_threads);
        records.finish(id);
        marked
    }

    /// Has a process's children be in another namespace.
    fn give_children(
        &mut self,
        task: &Task<'_>,
        mark: &Mark,
        has_threads: bool,
    ) -> Result<(), i32> {
        // What was learnt by the thread's id was its own.
        if !task.is_waiting() {
            return Err(0);
        }
        // A closed image without a mark does no harm, a mark without a closed image does.
        match self.injector.close(task, has_threads) {
            // One without a vDSO asks for each read as it is.
            Ok(()) | Err(Missing::NoVdso) => {}
            Err(Missing::Gone) => return Err(0),
            Err(_) => return Err(libc::ENOMEM),
        }
        match task.is_waiting() {
            true => mark.set().map_err(|_| libc::ENOMEM),
            false => Err(0),
        }
    }
}
