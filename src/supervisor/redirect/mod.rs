//! Redirecting threads: a thread that waits in a notified call is made to go on elsewhere, by a short
//! visit of ptrace(2).
//!
//! What is to be done lies in slots of the journal, so that nothing is lost with a worker. Who has
//! received the notification does it, as long as that lasts no time ([`Turn`]); else a few threads take
//! it from there, each with one tracee at a time: one that waits for a tracee that
//! does not come (it is frozen, or gets no CPU) keeps nobody else waiting, and one that waits for
//! the mutex of an execve(2) (`kernel/ptrace.c: ptrace_attach`) does not keep that execve(2) waiting
//! for a sibling to be reaped, as another thread reaps it.
//!
//! They are threads of the worker, or, where only an ancestor may trace, of the keeper.

mod slots;
mod turn;
mod visit;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crew::{Crew, or_instead};
use super::in_place::InPlace;
use super::journal::Journal;
use crate::sys::ptrace::Waiting;
use crate::sys::seccomp::{self, Answer};

pub(super) use slots::{Place, Post, RedirectSlot, Redirects, Request, Slot, Slots};
pub(super) use turn::Turn;
pub(super) use visit::Visited;

/// Threads at most: so many tracees can keep us waiting.
const THREADS: usize = 64;

/// Bytes of each one's stack.
const STACK: usize = 64 << 10;

/// What the threads of one process share.
#[derive(Clone)]
pub(super) struct Pool {
    journal: &'static Journal,
    listener: Arc<OwnedFd>,
    /// For threads that cannot be redirected.
    in_place: InPlace,
    waiting: Waiting,
    started: Instant,
    crew: Crew,
    proc: Arc<OwnedFd>,
}

impl Pool {
    pub(super) fn new(
        journal: &'static Journal,
        listener: OwnedFd,
        proc: OwnedFd,
        waiting: Waiting,
    ) -> Self {
        let (listener, proc) = (Arc::new(listener), Arc::new(proc));
        Self {
            journal,
            in_place: InPlace::new(journal, Arc::clone(&listener), Arc::clone(&proc)),
            listener,
            waiting,
            started: Instant::now(),
            crew: Crew::new(THREADS, STACK),
            proc,
        }
    }

    /// Goes on with what the threads of a dead process had in hand.
    pub(super) fn take_over(&self) -> io::Result<()> {
        self.in_place.take_over();
        match self.journal.redirects.post_again() {
            true => self.wake(),
            false => Ok(()),
        }
    }

    /// Has one thread more wait for work, unless there is one, or there are too many.
    pub(super) fn wake(&self) -> io::Result<()> {
        let pool = self.clone();
        self.crew.wake(move || pool.work())
    }

    /// Whether another thread may be kept waiting.
    pub(super) fn has_room(&self) -> bool {
        self.crew.has_room()
    }

    /// Counts the calling thread, which goes on a visit, among these.
    pub(super) fn join(&self) {
        self.crew.join();
    }

    /// The calling thread, which has joined, has other things to do.
    pub(super) fn part(&self) {
        // When there were too many, a request has woken nobody.
        if self.crew.part() {
            let _ = self.wake();
        }
    }

    /// Has the calling thread, which has joined, be one of these.
    pub(super) fn stay(&self) {
        self.crew.rest();
        self.work();
    }

    /// The calling thread is none of these any more.
    pub(super) fn leave(&self) {
        self.part();
        // The last one does not leave before there is another.
        while self.crew.is_empty() && self.wake().is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Does what a request asks for that the calling thread has taken.
    pub(super) fn visit(&self, slot: RedirectSlot<'_>) -> Visited {
        self.visit_by(slot, |slot| visit::pay(self, slot))
    }

    fn visit_by(
        &self,
        slot: RedirectSlot<'_>,
        pay: impl FnOnce(&RedirectSlot<'_>) -> Visited,
    ) -> Visited {
        let visited = or_instead(
            || pay(&slot),
            || {
                // ENOENT: it has been taken out of its call, or is gone.
                let listener = self.listener.as_fd();
                let _ = seccomp::answer(listener, slot.request().id, Answer::Errno(libc::EINTR));
                // It may be traced still.
                Visited::AtTracee
            },
        );
        slot.free();
        visited
    }

    fn work(&self) {
        loop {
            let slot = self.journal.redirects.take();
            self.crew.begin();
            // If this one has to wait, another is there for the rest.
            let _ = self.wake();
            if !seccomp::is_valid(self.listener.as_fd(), slot.request().id) {
                slot.free();
            } else if self.visit(slot) == Visited::AtTracee {
                self.leave();
                return;
            }
            self.crew.rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ClockOffsets;
    use crate::sys::seccomp::tests::Caller;
    use crate::sys::shared;

    #[test]
    fn who_waits_for_a_visit_that_panics_goes_on_and_its_place_is_free() {
        let journal: &'static Journal = shared::map().unwrap();
        let caller = Caller::start();
        let listener = caller.listener().try_clone_to_owned().unwrap();
        let proc = std::fs::File::open("/proc").unwrap().into();
        let pool = Pool::new(journal, listener, proc, Waiting::Blocked);
        let slot = journal.redirects.keep(Request {
            id: caller.id,
            tid: 1,
            number: 0,
            args: [0; 6],
            offsets: ClockOffsets::default(),
            after: None,
            place: Place::Again { at: 0 },
            interrupted: None,
        });
        let visited = pool.visit_by(slot.unwrap(), |_| panic!("as a test has it"));
        assert_eq!(visited, Visited::AtTracee);
        assert!(!journal.redirects.any());
        assert_eq!(caller.errno(), libc::EINTR);
    }
}
