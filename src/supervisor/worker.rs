//! The worker: receives a notification, answers it, and waits for the next.
//!
//! One thread blocks in RECV, since the kernel's synchronous wake-up reaches only such a thread. A
//! second one watches the keeper. All that a new worker must know lies in the journal.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::cgroup::Cgroup;
use super::handlers::Handlers;
use super::journal::Journal;
use super::keeper::is_hung_up;
use super::namespaces;
use super::redirect::Pool;
use super::timens::{Mark, Owner};
use super::tracer::Tracer;
use super::watchdog::{Watchdog, timer};
use super::yama::Opening;
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::inject::Opener;
use crate::sys::namespace::share_memory;
use crate::sys::process;
use crate::sys::ptrace::Waiting;
use crate::sys::seccomp::{self, Answer, Notification};

/// Workers that may fail over one notification before its call fails.
pub(super) const MOST_FAILURES: u32 = 2;

/// What the keeper hands to each worker.
pub(super) struct Service {
    pub(super) listener: OwnedFd,
    pub(super) journal: &'static Journal,
    pub(super) image: Image,
    /// The image of the tree's own namespace, as most programs get it.
    pub(super) own_image: Vec<u8>,
    pub(super) offsets: ClockOffsets,
    /// `/proc`.
    pub(super) proc: OwnedFd,
    pub(super) watchdog: Watchdog,
    /// The keeper, to be watched.
    pub(super) keeper: OwnedFd,
    pub(super) cgroup: Option<Cgroup>,
    /// Whether calls of execve(2) are notified.
    pub(super) strict: bool,
    /// Who may open programs' memory.
    pub(super) opening: Opening,
}

impl Service {
    pub(super) fn descriptors(&self) -> [RawFd; 4] {
        [
            self.listener.as_raw_fd(),
            self.proc.as_raw_fd(),
            self.watchdog.timer.as_raw_fd(),
            self.keeper.as_raw_fd(),
        ]
    }

    /// The same with descriptors of its own.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            listener: self.listener.try_clone()?,
            journal: self.journal,
            image: self.image.clone(),
            own_image: self.own_image.clone(),
            offsets: self.offsets,
            proc: self.proc.try_clone()?,
            watchdog: self.watchdog.try_clone()?,
            keeper: self.keeper.try_clone()?,
            cgroup: self.cgroup.clone(),
            strict: self.strict,
            opening: self.opening,
        })
    }

    /// `/proc`.
    pub(super) fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The number (0 is the tree's own) and the offsets of a process's namespace.
    pub(super) fn namespace(&self, pid: i32) -> Option<(u64, ClockOffsets)> {
        if let Some(mark) = self.mark_of(pid) {
            let leader = namespaces::process_of(self.proc(), pid)?;
            let id = match mark.pid == leader || share_memory(mark.pid, leader) {
                true => mark.own,
                false => mark.children,
            };
            return Some((id, self.offsets_of(id)?));
        }
        namespaces::of(self.journal, self.proc(), pid, &self.offsets)
    }

    /// The image for a process that has none; `None` if it is gone.
    ///
    /// It has just executed its program, and is where its children, and its parent's, were to be
    /// (`kernel/nsproxy.c: exec_task_namespaces`).
    pub(super) fn new_image(&self, pid: i32, image: &Image) -> Option<Cow<'_, [u8]>> {
        let (id, offsets) = match self.mark_of(pid) {
            Some(mark) => {
                let own = mark.children;
                let entered = Mark { own, pid, ..mark };
                // If it cannot be marked it is where it is all the same.
                let _ = entered.set();
                (own, self.enter(own, mark.nonce)?)
            }
            None => namespaces::of(self.journal, self.proc(), pid, &self.offsets)?,
        };
        match id {
            0 => Some(Cow::Borrowed(&*self.own_image)),
            id => image.patch(&offsets, id).ok().map(Cow::Owned),
        }
    }

    /// The mark of a process, if it is one of this tree's.
    pub(super) fn mark_of(&self, pid: i32) -> Option<Mark> {
        if !self.journal.timens.any() {
            return None;
        }
        Mark::of(pid).filter(|mark| {
            let id = mark.children;
            namespaces::is_fixed(id) || self.journal.timens.knows(id, mark.nonce)
        })
    }

    /// The offsets of a namespace by its number, as they are now.
    pub(super) fn offsets_of(&self, id: u64) -> Option<ClockOffsets> {
        match id {
            0 => Some(self.offsets),
            id => {
                namespaces::offsets_of(self.journal, id).or_else(|| self.journal.timens.offsets(id))
            }
        }
    }

    /// The same for one that is entered now, so that they stay as they are.
    pub(super) fn enter(&self, id: u64, nonce: u32) -> Option<ClockOffsets> {
        match namespaces::is_fixed(id) {
            true => self.offsets_of(id),
            false if self.journal.timens.knows(id, nonce) => self.journal.timens.enter(id),
            false => None,
        }
    }

    /// Who owns a namespace: this process's user namespace, unless a program has made it.
    pub(super) fn owner_of(&self, id: u64) -> Option<Owner> {
        match namespaces::is_fixed(id) {
            true => Owner::of(self.proc(), "self"),
            false => self.journal.timens.owner(id),
        }
    }
}

/// Serves until no process is left under the filter.
pub(super) fn run(service: &Service, front: Option<OwnedFd>, opener: Option<Opener>) -> ! {
    let mut keep = service.descriptors().to_vec();
    keep.extend(front.as_ref().map(AsRawFd::as_raw_fd));
    keep.extend(opener.as_ref().map(AsRawFd::as_raw_fd));
    process::close_all_but(0, &keep);
    // A worker that could not watch its keeper would outlive it: better none.
    let cgroup = service.cgroup.clone();
    let watchdog = service.strict.then(timer);
    let started = watchdog.transpose().and_then(|watchdog| {
        let watched = watchdog.as_ref().map(OwnedFd::try_clone).transpose()?;
        let keeper = service.keeper.try_clone()?;
        std::thread::Builder::new()
            .spawn(move || watch_keeper(&keeper, cgroup.as_ref(), watched.as_ref()))?;
        watchdog
            .map(|watchdog| Tracer::start(service, watchdog))
            .transpose()
    });
    let Ok(tracer) = started else {
        process::exit_now(1);
    };
    let pool = match service.opening {
        Opening::ByWorker => match (service.listener.try_clone(), service.proc.try_clone()) {
            (Ok(listener), Ok(proc)) => {
                Some(Pool::new(service.journal, listener, proc, Waiting::Blocked))
            }
            _ => None,
        },
        Opening::ByKeeper => None,
    };
    if let Some(pool) = &pool {
        // What cannot be done now is done with the next request.
        let _ = pool.take_over();
    }
    let mut handlers = Handlers::new(service, front, tracer, opener.as_ref(), pool);
    if let Some(pending) = service.journal.pending() {
        handle(service, &mut handlers, &pending);
    }
    loop {
        match seccomp::receive(service.listener.as_fd(), service.journal.receive_into()) {
            Ok(()) => {
                if let Some(pending) = service.journal.pending() {
                    handle(service, &mut handlers, &pending);
                }
            }
            // All are gone: the keeper ends this process, or the thread that watches for the keeper's
            // death does when it has cleared up.
            Err(_) if is_hung_up(service.listener.as_fd()) => loop {
                std::thread::park();
            },
            Err(_) => {}
        }
    }
}

fn handle(service: &Service, handlers: &mut Handlers<'_>, notification: &Notification) {
    let Service {
        journal, watchdog, ..
    } = service;
    watchdog.begin(journal, notification.id);
    let mut answer = if journal.failures() < MOST_FAILURES {
        handlers.answer(notification)
    } else {
        Some(Answer::Errno(libc::ENOSYS))
    };
    // Whoever was taken for gone by mistake, for want of descriptors perhaps, is not to wait for ever.
    let listener = service.listener.as_fd();
    if answer.is_none() && !handlers.is_elsewhere() && seccomp::is_valid(listener, notification.id)
    {
        answer = Some(Answer::Errno(libc::EINTR));
    }
    if let Some(answer) = answer {
        // ENOENT: the thread was killed meanwhile, which needs no answer.
        let _ = seccomp::answer(service.listener.as_fd(), notification.id, answer);
    }
    journal.clear();
}

/// Ends the worker for a fault of its tracer, which the notification received last has no part in:
/// the keeper takes it for a worker that was killed.
pub(super) fn give_up() -> ! {
    process::kill(
        rustix::process::getpid().as_raw_nonzero().get(),
        libc::SIGKILL,
    );
    process::exit_now(1)
}

/// Ends the tree when the keeper has died; what cannot be ended fails at its next start, as the
/// listener closes with this process. Ends the worker alone when its tracer hangs.
fn watch_keeper(keeper: &OwnedFd, cgroup: Option<&Cgroup>, watchdog: Option<&OwnedFd>) {
    let mut fds = vec![PollFd::new(keeper, PollFlags::IN)];
    fds.extend(watchdog.map(|timer| PollFd::new(timer, PollFlags::IN)));
    while poll(&mut fds, None).is_err() {}
    if fds[0].revents().is_empty() {
        give_up();
    }
    if let Some(cgroup) = cgroup {
        cgroup.kill();
        cgroup.remove();
    }
    process::exit_now(1)
}
