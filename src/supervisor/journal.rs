//! What a new worker must know when the old one has died: a page that the keeper shares with it.
//!
//! # Safety
//! The notification is written and read by the one thread of the one worker that has the turn to
//! receive (`redirect::Turn`): a new worker starts only after the keeper has reaped the old one, or has killed one that hangs in the kernel, in a program's
//! memory, and never comes back from there. All else is atomic, but for what its own module answers for.
#![expect(unsafe_code, reason = "a notification received into shared memory")]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::execs::{EXECS, Exec};
use super::held::Sleeps;
use super::namespaces::Slot;
use super::redirect::Redirects;
use super::settings::Settings;
use super::timens::Records;
use super::views::{Live, Opens};
use crate::sys::seccomp::Notification;
use crate::sys::shared::Shared;

/// Namespaces that one supervisor serves besides its own.
pub(super) const SLOTS: usize = 64;

#[repr(C)]
pub(super) struct Journal {
    pending: UnsafeCell<Notification>,
    /// The id of the notification that the worker serves, or 0.
    serving: AtomicU64,
    /// The thread that receives, or 0.
    receiver: AtomicI32,
    /// Whether the watchdog's timer ticks.
    ticking: AtomicBool,
    /// Workers that died or hung over the pending notification.
    failures: AtomicU32,
    /// Whether a slot was ever taken.
    inner: AtomicBool,
    /// Whether the tree does not descend from the keeper.
    adopted: AtomicBool,
    /// The process that such a tree begins with, or 0.
    first: AtomicI32,
    /// Its start time, since pids are used again.
    first_started: AtomicU64,
    /// The kernel's time namespace that the tree's own stands for, by inode number, or 0.
    kernels: AtomicU64,
    pub(super) slots: [Slot; SLOTS],
    pub(super) execs: [Exec; EXECS],
    /// Threads that are to go on elsewhere.
    pub(super) redirects: Redirects,
    /// What timers are set to.
    pub(super) settings: Settings,
    /// Sleeps that are made in a thread's place.
    pub(super) sleeps: Sleeps,
    /// Namespaces that programs have made.
    pub(super) timens: Records,
    /// Files that are opened in a thread's place.
    pub(super) opens: Opens,
    /// Who gives the contents of those that change.
    pub(super) live: Live,
}

// SAFETY: zeroes are a notification with id 0 (none), counters at 0, and free slots, places and
// requests; see above for who uses what.
unsafe impl Shared for Journal {}
// SAFETY: of a worker's threads only the one that receives uses the notification.
unsafe impl Sync for Journal {}

impl Journal {
    /// Where RECV puts the next notification.
    pub(super) fn receive_into(&self) -> *mut Notification {
        self.pending.get()
    }

    /// The notification that waits for an answer, unless there is none.
    pub(super) fn pending(&self) -> Option<Notification> {
        // SAFETY: only the one living worker calls this, and RECV is over.
        let notification = unsafe { std::ptr::read(self.pending.get()) };
        (notification.id != 0).then_some(notification)
    }

    /// Notes that the pending notification is answered.
    pub(super) fn clear(&self) {
        // SAFETY: only the one living worker calls this.
        unsafe { (*self.pending.get()).id = 0 };
        self.serving.store(0, Ordering::Release);
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Notes that notification `id` is being served; whether the watchdog was said to tick.
    ///
    /// In one order with [`note_rest`](Self::note_rest) and a look at [`serving`](Self::serving)
    /// after it: either the keeper sees the id or this sees that the timer rests.
    pub(super) fn begin(&self, id: u64) -> bool {
        self.serving.store(id, Ordering::SeqCst);
        self.ticking.load(Ordering::SeqCst) || self.ticking.swap(true, Ordering::SeqCst)
    }

    /// What the worker serves now, or 0.
    pub(super) fn serving(&self) -> u64 {
        self.serving.load(Ordering::SeqCst)
    }

    /// Notes which thread receives, of the worker that runs; 0: none yet.
    pub(super) fn set_receiver(&self, tid: i32) {
        self.receiver.store(tid, Ordering::Relaxed);
    }

    /// The thread that receives.
    pub(super) fn receiver(&self) -> Option<i32> {
        Some(self.receiver.load(Ordering::Relaxed)).filter(|tid| *tid != 0)
    }

    /// Notes that the watchdog's timer must be started by the next who needs it.
    pub(super) fn note_rest(&self) {
        self.ticking.store(false, Ordering::SeqCst);
    }

    /// Notes that a slot is about to be taken.
    pub(super) fn note_inner(&self) {
        self.inner.store(true, Ordering::Release);
    }

    /// Whether there is, or was, a namespace besides the tree's own.
    pub(super) fn has_inner(&self) -> bool {
        self.inner.load(Ordering::Acquire)
    }

    /// Notes that the tree was there before its keeper, and the process that it begins with.
    pub(super) fn note_adopted(&self, first: Option<(i32, u64)>) {
        let (pid, started) = first.unwrap_or((0, 0));
        self.first.store(pid, Ordering::Relaxed);
        self.first_started.store(started, Ordering::Relaxed);
        self.adopted.store(true, Ordering::Release);
    }

    /// The process that an adopted tree begins with, and when it was started.
    pub(super) fn first(&self) -> Option<(i32, u64)> {
        let started = self.first_started.load(Ordering::Relaxed);
        Some((self.first.load(Ordering::Relaxed), started)).filter(|(pid, _)| *pid != 0)
    }

    /// Whether the tree was there before its keeper, and does not descend from it.
    pub(super) fn is_adopted(&self) -> bool {
        self.adopted.load(Ordering::Acquire)
    }

    /// The kernel's time namespace that the tree's own stands for: `first` if none was named before.
    pub(super) fn kernels(&self, first: u64) -> u64 {
        let order = (Ordering::AcqRel, Ordering::Acquire);
        match self.kernels.compare_exchange(0, first, order.0, order.1) {
            Ok(_) => first,
            Err(named) => named,
        }
    }

    /// Notes that a worker has failed over the pending notification.
    pub(super) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How many workers have failed over the pending notification.
    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }
}
