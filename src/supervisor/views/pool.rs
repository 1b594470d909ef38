//! The threads that open files in other threads' place.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Open, OpenSlot, Outcome, Source, not_ours};
use crate::supervisor::crew::{Crew, or_instead};
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
            self.finish(slot, |call| self.serve(&own, call));
            self.crew.rest();
        }
    }

    /// Does what a request asks for that the calling thread has taken.
    fn finish(&self, slot: OpenSlot<'_>, serve: impl FnOnce(&Open)) {
        let call = slot.request();
        or_instead(
            || serve(&call),
            || {
                // ENOENT: it is gone.
                let _ = seccomp::answer(self.source.listener(), call.id, Answer::Errno(libc::EIO));
            },
        );
        slot.free();
        // Whoever waits for a share of this user's is found by the next look.
        let mut in_hand = self.in_hand();
        if let Some(count) = in_hand.get_mut(&call.uid) {
            *count -= 1;
        }
        in_hand.retain(|_, count| *count > 0);
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

#[cfg(test)]
mod tests {
    use super::super::Asks;
    use super::*;
    use crate::clock::ClockOffsets;
    use crate::supervisor::timens::Owner;
    use crate::supervisor::views::path::Path;
    use crate::sys::seccomp::tests::Caller;
    use crate::sys::shared;

    #[test]
    fn who_waits_for_an_open_that_panics_goes_on_and_its_place_is_free() {
        let journal: &'static Journal = shared::map().unwrap();
        let caller = Caller::start();
        let proc = || std::fs::File::open("/proc").unwrap().into();
        let pool = Pool::new(Source {
            journal,
            listener: caller.listener().try_clone_to_owned().unwrap(),
            proc: proc(),
            keeper: proc(),
            offsets: ClockOffsets::default(),
            owner: Owner::default(),
            leaves_to_kernel: false,
            opener: None,
        });
        let posted = journal.opens.post(Open {
            id: caller.id,
            tid: 1,
            uid: 7,
            directory: libc::AT_FDCWD,
            flags: 0,
            resolve: 0,
            instead: None,
            asks: Asks::File,
            path: Path::NONE,
        });
        assert_eq!(posted, Some(()));
        pool.finish(pool.take(), |_| panic!("as a test has it"));
        assert!(!journal.opens.any() && pool.in_hand().is_empty());
        assert_eq!(caller.errno(), libc::EIO);
    }
}
