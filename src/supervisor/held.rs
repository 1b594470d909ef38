//! Sleeps until an absolute time, of threads that cannot sleep by themselves as somebody else traces
//! them: their notifications are answered when the time has come, or a signal.
//!
//! The calls in hand lie in the journal, so that the next worker goes on with them. One thread looks
//! at all of them, at least a hundred times in a second as long as there are any: nothing tells us of
//! a signal, or of a change of the host's clock.
//!
//! DIFFERENCE: a signal interrupts such a sleep up to some 10 ms late, and one that is sent to a
//! process with several threads and has no handler makes it fail with `EINTR`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::journal::Journal;
use super::status::{Signals, signals};
use crate::sys::errno::ERESTARTNOHAND;
use crate::sys::seccomp::{self, Answer};
use crate::sys::{clock, thread};

/// Sleeps that can be in hand.
const SLEEPS: usize = 1024;

/// The longest time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// The share of its time that the thread looks, at most: one part of this.
const SHARE: u32 = 10;

/// Marks a place that is being filled.
const BUSY: u64 = u64::MAX;

/// The sleeps, in the journal.
#[repr(C)]
pub(super) struct Sleeps([Sleep; SLEEPS]);

/// A sleep.
#[repr(C)]
struct Sleep {
    /// The notification, or 0 if the place is free.
    id: AtomicU64,
    tid: AtomicI32,
    /// The host's clock and its time.
    clock: AtomicI32,
    sec: AtomicI64,
    nsec: AtomicI64,
    /// How many looks in a row have seen a signal that may be another thread's to take.
    signals: AtomicU32,
}

/// The thread that looks, and how to call it.
#[derive(Clone)]
pub(super) struct Held(Arc<Inner>);

struct Inner {
    journal: &'static Journal,
    listener: Arc<OwnedFd>,
    proc: Arc<OwnedFd>,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    is_running: bool,
    is_rung: bool,
}

impl Held {
    pub(super) fn new(
        journal: &'static Journal,
        listener: Arc<OwnedFd>,
        proc: Arc<OwnedFd>,
    ) -> Self {
        Self(Arc::new(Inner {
            journal,
            listener,
            proc,
            state: Mutex::default(),
            bell: Condvar::new(),
        }))
    }

    /// Answers the call `id` of thread `tid` when the host's `clock` reads `sec` and `nsec`: it returns 0
    /// then, or earlier as clock_nanosleep(2) does for a signal.
    ///
    /// Any thread may call this; it never waits. `None` if there are too many such calls.
    pub(super) fn hold(
        &self,
        id: u64,
        tid: i32,
        clock: i32,
        (sec, nsec): (i64, i64),
    ) -> Option<()> {
        let sleeps = &self.0.journal.sleeps.0;
        let claim = |sleep: &&Sleep| {
            let free = sleep
                .id
                .compare_exchange(0, BUSY, Ordering::AcqRel, Ordering::Relaxed);
            free.is_ok()
        };
        let sleep = sleeps.iter().find(claim)?;
        sleep.tid.store(tid, Ordering::Relaxed);
        sleep.clock.store(clock, Ordering::Relaxed);
        sleep.sec.store(sec, Ordering::Relaxed);
        sleep.nsec.store(nsec, Ordering::Relaxed);
        sleep.signals.store(0, Ordering::Relaxed);
        // The id is the commit.
        sleep.id.store(id, Ordering::Release);
        if self.ring().is_err() {
            sleep.free(id);
            return None;
        }
        Some(())
    }

    /// Goes on with what a dead worker had in hand.
    pub(super) fn take_over(&self) {
        let is_any = |sleep: &Sleep| sleep.id.load(Ordering::Relaxed) != 0;
        if self.0.journal.sleeps.0.iter().any(is_any) {
            // What cannot be done now is done with the next sleep.
            let _ = self.ring();
        }
    }

    /// Has the thread look at once; starts it if there is none.
    fn ring(&self) -> std::io::Result<()> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_running {
            let inner = Arc::clone(&self.0);
            thread::start(64 << 10, move || inner.run())?;
            state.is_running = true;
        }
        state.is_rung = true;
        self.0.bell.notify_one();
        Ok(())
    }
}

impl Inner {
    fn run(&self) -> ! {
        loop {
            let started = Instant::now();
            let next = self.look();
            let spent = started.elapsed();
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = match next {
                None => self
                    .bell
                    .wait_while(state, |state| !state.is_rung)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let next = next.min(LOOK).max(spent * SHARE);
                    let waited = self
                        .bell
                        .wait_timeout_while(state, next, |state| !state.is_rung);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.is_rung = false;
        }
    }

    /// Answers what is due, and says when the next will be; `None` if there is none.
    fn look(&self) -> Option<Duration> {
        let sleeps = self.journal.sleeps.0.iter();
        sleeps.filter_map(|sleep| self.attend(sleep)).min()
    }

    /// How long a sleep will still take; `None` if it is over, or there is none.
    fn attend(&self, sleep: &Sleep) -> Option<Duration> {
        let id = sleep.id.load(Ordering::Acquire);
        if id == 0 || id == BUSY {
            return None;
        }
        let listener = self.listener.as_fd();
        let answer = match sleep.remaining() {
            None => Answer::Value(0),
            Some(remaining) => match sleep.interruption(self.proc.as_fd()) {
                None if seccomp::is_valid(listener, id) => return Some(remaining),
                None => {
                    sleep.free(id);
                    return None;
                }
                Some(errno) => Answer::Errno(errno),
            },
        };
        // ENOENT: the thread was killed, or a signal has taken it out of the call. What was read may
        // have been another thread's then.
        let _ = seccomp::answer(listener, id, answer);
        sleep.free(id);
        None
    }
}

impl Sleep {
    /// `None` if the time has come.
    fn remaining(&self) -> Option<Duration> {
        let Ok(now) = clock::read(self.clock.load(Ordering::Relaxed)) else {
            return Some(LOOK);
        };
        let nanos = |sec, nsec| i128::from(sec) * 1_000_000_000 + i128::from(nsec);
        let end = nanos(
            self.sec.load(Ordering::Relaxed),
            self.nsec.load(Ordering::Relaxed),
        );
        let left = end - nanos(now.tv_sec, now.tv_nsec);
        let left = u64::try_from(left.max(0)).unwrap_or(u64::MAX);
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// With which error a signal ends the sleep, if one does.
    fn interruption(&self, proc: BorrowedFd<'_>) -> Option<i32> {
        let Signals { own, shared } = signals(proc, self.tid.load(Ordering::Relaxed))?;
        if own {
            // It has a signal to take on its way out.
            return Some(ERESTARTNOHAND);
        }
        if !shared {
            self.signals.store(0, Ordering::Relaxed);
            return None;
        }
        // Perhaps another thread is about to take it; one that nobody takes is meant for this one.
        (self.signals.fetch_add(1, Ordering::Relaxed) > 0).then_some(libc::EINTR)
    }

    /// Frees the place, unless it has another's sleep by now.
    fn free(&self, id: u64) {
        let _ = self
            .id
            .compare_exchange(id, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}
