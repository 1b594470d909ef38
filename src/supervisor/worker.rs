//! The worker: receives a notification, answers it, and waits for the next.
//!
//! The first thread watches the keeper, and others receive (`receiver`). All that a new worker must
//! know lies in the journal.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, poll};

use super::cgroup::Cgroup;
use super::counters::{Count, Counters};
use super::handlers::Handlers;
use super::journal::Journal;
use super::members::Members;
use super::namespaces;
use super::receiver::Receiver;
use super::redirect::{Pool, Turn};
use super::timens::{Mark, Owner, Who};
use super::tracer::Tracer;
use super::views;
use super::watchdog::{Watchdog, timer};
use super::yama::Opening;
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::inject::{Opener, Task};
use crate::sys::ptrace::Waiting;
use crate::sys::{process, thread};

/// Workers that may fail over one notification before its call fails.
pub(super) const MOST_FAILURES: u32 = 2;

/// What the keeper hands to each worker.
pub(super) struct Service {
    pub(super) listener: OwnedFd,
    pub(super) journal: &'static Journal,
    pub(super) image: Image,
    /// The image of the tree's own namespace, as most programs get it.
    pub(super) own_image: Vec<u8>,
    /// Without those that the kernel keeps.
    pub(super) offsets: ClockOffsets,
    /// Whether the kernel keeps MONOTONIC and BOOTTIME.
    pub(super) leaves_to_kernel: bool,
    /// Whose the tree's own namespace is.
    pub(super) owner: Owner,
    /// `/proc`.
    pub(super) proc: OwnedFd,
    pub(super) watchdog: Watchdog,
    /// The keeper, to be watched.
    pub(super) keeper: OwnedFd,
    pub(super) cgroup: Option<Cgroup>,
    /// Whether calls of execve(2) are notified.
    pub(super) strict: bool,
    /// Whether all numbers that no kernel knows are notified.
    pub(super) traps_unknown: bool,
    /// Whether the kernel has x32's calls, if they are notified.
    pub(super) has_x32: bool,
    /// Who may open programs' memory.
    pub(super) opening: Opening,
    /// Whether the tree is a container's: no program of it runs by the host's clocks for want of a right of ours.
    pub(super) is_container: bool,
    /// Whether files under `/proc` show the namespace's clocks; a profile notifies their opens anyway.
    pub(super) shows_proc: bool,
    /// Where containers' keepers count.
    pub(super) counters: Option<&'static Counters>,
}

/// Who opens programs' memory for a worker that may not: one for those that receive, which never wait for
/// those that open files.
pub(super) struct Openers {
    pub(super) handlers: Opener,
    pub(super) views: Opener,
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
            leaves_to_kernel: self.leaves_to_kernel,
            owner: self.owner,
            proc: self.proc.try_clone()?,
            watchdog: self.watchdog.try_clone()?,
            keeper: self.keeper.try_clone()?,
            cgroup: self.cgroup.clone(),
            strict: self.strict,
            traps_unknown: self.traps_unknown,
            has_x32: self.has_x32,
            opening: self.opening,
            is_container: self.is_container,
            shows_proc: self.shows_proc,
            counters: self.counters,
        })
    }

    /// Counts one more of something, if that is wanted.
    pub(super) fn count(&self, what: impl FnOnce(&'static Counters) -> &'static Count) {
        if let Some(counters) = self.counters {
            what(counters).add();
        }
    }

    /// `/proc`.
    pub(super) fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The threads that open files, none of them started yet.
    fn views(&self, opener: Option<Opener>) -> io::Result<views::Pool> {
        Ok(views::Pool::new(views::Source {
            journal: self.journal,
            listener: self.listener.try_clone()?,
            proc: self.proc.try_clone()?,
            keeper: self.keeper.try_clone()?,
            offsets: self.offsets,
            owner: self.owner,
            leaves_to_kernel: self.leaves_to_kernel,
            opener: opener.map(Mutex::new),
        }))
    }

    /// Who is in which namespace.
    pub(super) fn members(&self) -> Members<'_> {
        Members {
            journal: self.journal,
            proc: self.proc(),
            offsets: self.offsets,
            owner: &self.owner,
            leaves_to_kernel: self.leaves_to_kernel,
        }
    }

    /// The image for a process that has none; `None` if it is gone.
    ///
    /// It has just executed its program, and is where its children, and its parent's, were to be
    /// (`kernel/nsproxy.c: exec_task_namespaces`).
    pub(super) fn new_image(&self, task: &Task<'_>, image: &Image) -> Option<Cow<'_, [u8]>> {
        let pid = task.tid();
        self.count(|counters| &counters.injections);
        let members = self.members();
        // A look at `/proc/PID/ns/time` takes a tenth of an exec. Where no program has made a namespace yet
        // one that the kernel has put into another (clone3(2)) has its parent's clocks, and is
        // adopted when somebody asks where it is.
        if self.journal.timens.any() {
            members.adopt(pid, Who::Caller(&|| task.is_waiting()));
        }
        let (id, offsets) = match members.mark_of(pid) {
            Some(mark) => {
                let own = mark.children;
                let entered = Mark { own, pid, ..mark };
                // If it cannot be marked it is where it is all the same.
                let _ = entered.set();
                (own, members.enter(own, mark.nonce)?)
            }
            None => namespaces::of(self.journal, self.proc(), pid, &self.offsets)?,
        };
        match id {
            0 => Some(Cow::Borrowed(&*self.own_image)),
            id => image.patch(&offsets, id).ok().map(Cow::Owned),
        }
    }
}

/// Serves until no process is left under the filter.
pub(super) fn run(service: &Service, front: Option<OwnedFd>, openers: Option<Openers>) -> ! {
    thread::for_ever(service, |service| serve(service, front, openers))
}

fn serve(service: &'static Service, front: Option<OwnedFd>, openers: Option<Openers>) -> ! {
    let mut keep = service.descriptors().to_vec();
    keep.extend(front.as_ref().map(AsRawFd::as_raw_fd));
    let (opener, of_views) = openers
        .map(|openers| (openers.handlers, openers.views))
        .unzip();
    keep.extend(opener.iter().chain(&of_views).map(AsRawFd::as_raw_fd));
    process::close_all_but(0, &keep);
    let watchdog = service.strict.then(timer);
    let started = watchdog.transpose().and_then(|watchdog| {
        let watched = watchdog.as_ref().map(OwnedFd::try_clone).transpose()?;
        let tracer = watchdog
            .map(|watchdog| Tracer::start(service, watchdog))
            .transpose()?;
        Ok((watched, tracer))
    });
    let Ok((watched, tracer)) = started else {
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
    let Ok(views) = service.views(of_views) else {
        process::exit_now(1);
    };
    let _ = views.take_over();
    let Ok(turn) = Turn::new() else {
        process::exit_now(1);
    };
    let opener = opener.map(|opener| &*Box::leak(Box::new(opener)));
    let handlers = Handlers::new(service, front, tracer, opener, pool.clone(), views);
    let receiver = Box::leak(Box::new(Receiver::new(service, handlers, turn, pool)));
    if receiver.start().is_err() {
        process::exit_now(1);
    }
    watch_keeper(&service.keeper, service.cgroup.as_ref(), watched.as_ref())
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
fn watch_keeper(keeper: &OwnedFd, cgroup: Option<&Cgroup>, watchdog: Option<&OwnedFd>) -> ! {
    if let Some(cgroup) = cgroup {
        cgroup.sweep();
    }
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
    // A thread that hangs where a guest serves files would keep the listener open.
    process::close_all_but(0, &[]);
    process::exit_now(1)
}
