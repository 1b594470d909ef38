//! The threads that open files in other threads' place.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Open, OpenSlot, Outcome, Source, not_ours};
use crate::supervisor::crew::Crew;
use crate::supervisor::journal::Journal;
use crate::sys::rights::Own;
use crate::sys::seccomp::{self, Answer};

/// Threads at most: so many guests that do not run can keep us waiting.
const THREADS: usize = 64;

/// Those of them that one user's can keep waiting: a guest may serve the files on the way, and never answer.
const SHARE: usize = THREADS / 2;

/// A path and a status file lie on the stack.
const STACK: usize = 128 << 10;

/// What the threads share.
#[derive(Clone)]
pub(in super::super) struct Pool {
    source: Arc<Source>,
    crew: Crew,
    /// How many threads are at it for each user.
    in_hand: Arc<Mutex<HashMap<u32, usize>>>,
}

impl Pool {
    pub(in super::super) fn new(source: Source) -> Self {
        Self {
            source: Arc::new(source),
            crew: Crew::new(THREADS, STACK),
            in_hand: Arc::default(),
        }
    }

    pub(super) fn proc(&self) -> BorrowedFd<'_> {
        self.source.proc.as_fd()
    }

    pub(super) fn journal(&self) -> &'static Journal {
        self.source.journal
    }

    /// Goes on with what a dead worker had in hand.
    pub(in super::super) fn take_over(&self) -> io::Result<()> {
        match self.journal().opens.post_again() {
            true => self.wake(),
            false => Ok(()),
        }
    }

    /// Has one thread more wait for work, unless there is one, or there are too many.
    pub(super) fn wake(&self) -> io::Result<()> {
        let pool = self.clone();
        self.crew.wake(move || pool.work())
    }

    fn work(&self) -> ! {
        let own = loop {
            if let Some(own) = Own::read(self.proc()) {
                break own;
            }
            // For want of a descriptor or of memory.
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        loop {
            let slot = self.take();
            self.crew.begin();
            // If this one has to wait, another is there for the rest.
            let _ = self.wake();
            let call = slot.request();
            self.serve(&own, &call);
            slot.free();
            self.crew.rest();
            // Whoever waits for a share of this user's is found by the next look.
            let mut in_hand = self.in_hand();
            if let Some(count) = in_hand.get_mut(&call.uid) {
                *count -= 1;
            }
            in_hand.retain(|_, count| *count > 0);
        }
    }

    /// Waits for a request of a user who has not too many in hand, and takes it.
    fn take(&self) -> OpenSlot<'_> {
        let opens = &self.journal().opens;
        loop {
            let seen = opens.seen();
            {
                // Held all the while: what is looked at, and not taken, does not show to others.
                let mut in_hand = self.in_hand();
                let is_wanted = |open: &Open| in_hand.get(&open.uid).is_none_or(|n| *n < SHARE);
                if let Some(slot) = opens.try_take(seen, is_wanted) {
                    *in_hand.entry(slot.request().uid).or_default() += 1;
                    return slot;
                }
            }
            opens.wait(seen);
        }
    }

    fn in_hand(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, own: &Own, call: &Open) {
        let source = &self.source;
        let (listener, id) = (source.listener(), call.id);
        if !seccomp::is_valid(listener, id) {
            return;
        }
        let file = source.open(own, call);
        // What was looked at by the thread's id was its own as long as it waits. ENOENT: it is gone.
        let answered = match file {
            Some(Outcome::File(file)) => {
                let close_on_exec = call.flags & libc::O_CLOEXEC != 0;
                seccomp::answer_with(listener, id, file.as_fd(), call.instead, close_on_exec)
            }
            // The gate has a descriptor already, by the same rule.
            Some(Outcome::Errno(_)) if call.instead.is_some() => {
                seccomp::answer(listener, id, not_ours(call.instead))
            }
            Some(Outcome::Value(value)) => seccomp::answer(listener, id, Answer::Value(value)),
            Some(Outcome::Errno(errno)) => seccomp::answer(listener, id, Answer::Errno(errno)),
            None => seccomp::answer(listener, id, not_ours(call.instead)),
        };
        if let Err(e) = answered {
            let errno = Answer::Errno(e.raw_os_error().unwrap_or(libc::ENFILE));
            let answer = call.instead.map_or(errno, |_| not_ours(call.instead));
            let _ = seccomp::answer(listener, id, answer);
        }
    }
}
