//! The threads of a worker that receive notifications, one at a time.
//!
//! Who has the turn blocks in RECV, since the kernel's synchronous wake-up reaches only such a thread,
//! and makes visits itself, as long as nobody else waits and the visits end at once.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::handlers::{Errand, Handlers};
use super::journal::Journal;
use super::keeper::is_hung_up;
use super::redirect::{Pool, RedirectSlot, Turn, Visited};
use super::worker::{MOST_FAILURES, Service};
use crate::sys::seccomp::{self, Answer, Notification};
use crate::sys::{process, thread};

/// What the threads share.
pub(super) struct Receiver {
    service: &'static Service,
    journal: &'static Journal,
    handlers: Mutex<Handlers<'static>>,
    turn: Turn,
    /// The threads that redirect, if they are this process's.
    pool: Option<Pool>,
}

impl Receiver {
    pub(super) fn new(
        service: &'static Service,
        handlers: Handlers<'static>,
        turn: Turn,
        pool: Option<Pool>,
    ) -> Self {
        Self {
            service,
            journal: service.journal,
            handlers: Mutex::new(handlers),
            turn,
            pool,
        }
    }

    /// Starts the first thread, which goes on with what a dead worker had in hand.
    pub(super) fn start(&'static self) -> std::io::Result<()> {
        let first = move || {
            let _end = EndOfProcess;
            self.note_turn();
            if let Some(pending) = self.journal.pending() {
                self.handle(&pending, true);
            }
            self.receive();
        };
        thread::start(thread::STACK, first)
    }

    /// Receives as long as the turn is this thread's.
    fn receive(&'static self) {
        let listener = self.service.listener.as_fd();
        loop {
            let errand = match seccomp::receive(listener, self.journal.receive_into()) {
                Ok(()) => self
                    .journal
                    .pending()
                    .and_then(|pending| self.handle(&pending, false)),
                // All are gone: the keeper ends this process, or the thread that watches for the
                // keeper's death does when it has cleared up.
                Err(_) if is_hung_up(listener) => loop {
                    std::thread::park();
                },
                Err(_) => None,
            };
            let goes_on = match errand {
                Some(errand) => self.run(errand),
                None => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Does what a call has left to be done; false if this thread is not to receive any more.
    fn run(&'static self, errand: Errand) -> bool {
        match (errand, &self.pool) {
            (Errand::Visit(slot, mem), Some(pool)) => self.visit(pool, slot, mem),
            (Errand::ByPool, Some(_)) if !self.turn.is_watched() => {
                self.have_watched();
                true
            }
            _ => true,
        }
    }

    /// Goes on a visit; false if this thread is not to receive any more.
    fn visit(&self, pool: &Pool, slot: RedirectSlot<'static>, mem: Option<File>) -> bool {
        self.service.count(|counters| &counters.visits);
        // One that lasts is one of theirs.
        pool.join();
        let (visit, since) = (self.turn.leave(), Instant::now());
        let visited = pool.visit(slot);
        if visited == Visited::AtTracee {
            self.turn.give_up(visit);
            drop(mem);
            pool.leave();
            return false;
        }
        if self.turn.come_back(visit, since) {
            pool.part();
            return true;
        }
        // A program's memory is not to be held for ever.
        drop(mem);
        pool.stay();
        false
    }

    /// Has a thread stand by; without one there are no visits.
    fn have_watched(&'static self) {
        self.turn.set_watched(true);
        let stand_by = move || {
            let _end = EndOfProcess;
            self.turn.stand_by();
            self.note_turn();
            self.receive();
        };
        let started = thread::start(thread::STACK, stand_by);
        self.turn.set_watched(started.is_ok());
    }

    /// Tells the keeper which thread to look at.
    fn note_turn(&self) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        self.journal.set_receiver(tid);
    }

    /// Answers a notification; what it leaves to be done.
    fn handle(&self, notification: &Notification, is_inherited: bool) -> Option<Errand> {
        let Service {
            journal, watchdog, ..
        } = self.service;
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        watchdog.begin(journal, notification.id);
        self.service.count(|counters| &counters.traps);
        handlers.prepare(is_inherited, self.may_visit());
        let mut answer = if journal.failures() < MOST_FAILURES {
            handlers.answer(notification)
        } else {
            Some(Answer::Errno(libc::ENOSYS))
        };
        let errand = handlers.take_errand();
        // Whoever was taken for gone by mistake, for want of descriptors perhaps, is not to wait for
        // ever.
        let listener = self.service.listener.as_fd();
        if answer.is_none() && errand.is_none() && seccomp::is_valid(listener, notification.id) {
            answer = Some(Answer::Errno(libc::EINTR));
        }
        if let Some(answer) = answer {
            // ENOENT: the thread was killed meanwhile, which needs no answer.
            let _ = seccomp::answer(listener, notification.id, answer);
        }
        journal.clear();
        errand
    }

    fn may_visit(&self) -> bool {
        let has_room = |pool: &Pool| pool.has_room();
        self.turn.may_leave() && self.pool.as_ref().is_some_and(has_room)
    }
}

/// Without a thread that receives a worker is worse than none.
struct EndOfProcess;

impl Drop for EndOfProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            process::exit_now(101);
        }
    }
}
