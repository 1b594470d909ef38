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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::in_place::InPlace;
use super::journal::Journal;
use crate::sys::ptrace::Waiting;
use crate::sys::seccomp;

pub(super) use slots::{Place, Post, RedirectSlot, Redirects, Request, Slot, Slots};
pub(super) use turn::Turn;
pub(super) use visit::Visited;

/// Threads at most: so many tracees can keep us waiting.
const THREADS: usize = 64;

/// What the threads of one process share.
#[derive(Clone)]
pub(super) struct Pool {
    journal: &'static Journal,
    listener: Arc<OwnedFd>,
    /// For threads that cannot be redirected.
    in_place: InPlace,
    waiting: Waiting,
    started: Instant,
    /// Threads that have nothing to do, and all threads.
    idle: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Pool {
    pub(super) fn new(
        journal: &'static Journal,
        listener: OwnedFd,
        proc: OwnedFd,
        waiting: Waiting,
    ) -> Self {
        let listener = Arc::new(listener);
        Self {
            journal,
            in_place: InPlace::new(journal, Arc::clone(&listener), proc),
            listener,
            waiting,
            started: Instant::now(),
            idle: Arc::default(),
            all: Arc::default(),
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
        if self.idle.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
        if self.all.fetch_add(1, Ordering::SeqCst) >= THREADS {
            self.all.fetch_sub(1, Ordering::SeqCst);
            return Ok(());
        }
        self.idle.fetch_add(1, Ordering::SeqCst);
        let pool = self.clone();
        let started = std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || pool.work());
        if let Err(e) = started {
            self.idle.fetch_sub(1, Ordering::SeqCst);
            self.all.fetch_sub(1, Ordering::SeqCst);
            return Err(e);
        }
        Ok(())
    }

    /// Whether another thread may be kept waiting.
    pub(super) fn has_room(&self) -> bool {
        self.all.load(Ordering::SeqCst) < THREADS
    }

    /// Counts the calling thread, which goes on a visit, among these.
    pub(super) fn join(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// The calling thread, which has joined, has other things to do.
    pub(super) fn part(&self) {
        // When there were too many, a request has woken nobody.
        if self.all.fetch_sub(1, Ordering::SeqCst) >= THREADS {
            let _ = self.wake();
        }
    }

    /// Has the calling thread, which has joined, be one of these.
    pub(super) fn stay(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
        self.work();
    }

    /// The calling thread is none of these any more.
    pub(super) fn leave(&self) {
        self.part();
        // The last one does not leave before there is another.
        while self.all.load(Ordering::SeqCst) == 0 && self.wake().is_err() {
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
            self.idle.fetch_sub(1, Ordering::SeqCst);
            // If this one has to wait, another is there for the rest.
            let _ = self.wake();
            if !seccomp::is_valid(self.listener.as_fd(), slot.request().id) {
                slot.free();
            } else if self.visit(slot) == Visited::AtTracee {
                self.leave();
                return;
            }
            self.idle.fetch_add(1, Ordering::SeqCst);
        }
    }
}
