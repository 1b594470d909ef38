//! The calls of execve(2) that the tracer has in hand, in the journal: a new worker goes on with
//! them where the old one has died.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::journal::Journal;

/// How many there can be at a time; the next call of execve(2) fails with `EAGAIN`.
pub(super) const EXECS: usize = 4096;

/// One call, from its notification until its thread is traced no more.
#[repr(C)]
pub(super) struct Exec {
    /// The notification, or 0 if the place is free.
    id: AtomicU64,
    tid: AtomicI32,
    /// The thread's process, or 0 as long as the thread is not traced.
    leader: AtomicI32,
    /// Workers that have begun to work on the call, and have died over it.
    failures: AtomicU32,
}

impl Exec {
    pub(super) fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    pub(super) fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }

    pub(super) fn leader(&self) -> i32 {
        self.leader.load(Ordering::Relaxed)
    }

    /// Notes that the thread, of the process `leader`, is about to be traced.
    pub(super) fn set_leader(&self, leader: i32) {
        self.leader.store(leader, Ordering::Relaxed);
    }

    /// How many workers have died over the call.
    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Does a part of the work; counts as a failure unless `work` returns.
    pub(super) fn attempt<R>(&self, work: impl FnOnce() -> R) -> R {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let result = work();
        self.failures.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Gives the place up: the call needs us no more.
    pub(super) fn free(&self) {
        self.id.store(0, Ordering::Release);
    }
}

/// Takes a free place, looking from `from` on, for the call of thread `tid`; gives its index.
///
/// Only the thread that receives may take places; any may free them.
pub(super) fn claim(journal: &Journal, from: usize, id: u64, tid: i32) -> Option<usize> {
    let index = (from..from + EXECS)
        .map(|i| i % EXECS)
        .find(|i| journal.execs[*i].id() == 0)?;
    let exec = &journal.execs[index];
    exec.tid.store(tid, Ordering::Relaxed);
    exec.leader.store(0, Ordering::Relaxed);
    exec.failures.store(0, Ordering::Relaxed);
    // The id is the commit: without it the place is free.
    exec.id.store(id, Ordering::Release);
    Some(index)
}
