//! Threads that are started as there is work, and stay.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::process::exit_now;
use crate::sys::thread;

/// The threads of a pool.
#[derive(Clone)]
pub(super) struct Crew {
    /// Threads at most.
    most: usize,
    /// Bytes that each has for its stack.
    stack: usize,
    /// Those that have nothing to do, and all.
    idle: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

/// Does a piece of work of somebody's who waits for it; `instead`, if it panics: he is not to wait for ever.
///
/// What it has changed must bear being left half done.
pub(super) fn or_instead<R>(work: impl FnOnce() -> R, instead: impl FnOnce() -> R) -> R {
    let process = std::process::id();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        // A child that was forked amid the work has no part in what its parent has in hand.
        if std::process::id() != process {
            exit_now(101);
        }
        instead()
    })
}

impl Crew {
    pub(super) fn new(most: usize, stack: usize) -> Self {
        Self {
            most,
            stack,
            idle: Arc::default(),
            all: Arc::default(),
        }
    }

    /// Has one thread more `wait` for work, unless there is one, or there are too many.
    pub(super) fn wake(&self, wait: impl FnOnce() + Send + 'static) -> io::Result<()> {
        if self.idle.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
        if self.all.fetch_add(1, Ordering::SeqCst) >= self.most {
            self.all.fetch_sub(1, Ordering::SeqCst);
            return Ok(());
        }
        self.rest();
        if let Err(e) = thread::start(self.stack, wait) {
            self.begin();
            self.all.fetch_sub(1, Ordering::SeqCst);
            return Err(e);
        }
        Ok(())
    }

    /// A thread has work.
    pub(super) fn begin(&self) {
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// A thread has none any more.
    pub(super) fn rest(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether there may be another thread.
    pub(super) fn has_room(&self) -> bool {
        self.all.load(Ordering::SeqCst) < self.most
    }

    /// Counts the calling thread, which has work, among these, though they may be too many then.
    pub(super) fn join(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// The calling thread is none of these any more; whether it made them too many, or just enough.
    pub(super) fn part(&self) -> bool {
        self.all.fetch_sub(1, Ordering::SeqCst) >= self.most
    }

    /// Whether there is no thread at all.
    pub(super) fn is_empty(&self) -> bool {
        self.all.load(Ordering::SeqCst) == 0
    }
}
