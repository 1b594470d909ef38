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

use super::crew::Crew;
use super::in_place::InPlace;
use super::journal::Journal;
use crate::sys::ptrace::Waiting;
use crate::sys::seccomp;

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
        let visited = visit::pay(self, &slot);
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
