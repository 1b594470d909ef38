//! Requests in the journal, from the thread that receives notifications to those that trace.
//!
//! # Safety
//! A request is written by the one thread that has the turn to receive notifications, while its slot is
//! free; it is read by the one thread that has taken the slot, and by who receives if it is half done.
#![expect(unsafe_code, reason = "requests in shared memory")]

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::ClockOffsets;
use crate::sys::futex;

/// Threads that can wait for a redirect at a time; a further one waits to be noticed.
const SLOTS: usize = 1024;

const FREE: u32 = 0;
const POSTED: u32 = 1;
const TAKEN: u32 = 2;
/// The thread is about to make its call again, for the other half.
const HALF_DONE: u32 = 3;

/// Where a thread is to go on, and with what.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in super::super) struct Request {
    /// The notification.
    pub(in super::super) id: u64,
    pub(in super::super) tid: i32,
    /// The call as it was made.
    pub(in super::super) number: u32,
    pub(in super::super) args: [u64; 6],
    /// Of the thread's clocks.
    pub(in super::super) offsets: ClockOffsets,
    /// The address behind its `syscall`, if the kernel has told it.
    pub(in super::super) after: Option<u64>,
    pub(in super::super) place: Place,
    /// With which error of the kernel's own (`sys::errno`) a handler that runs first ends the call; `None`:
    /// the call is made after the handler.
    pub(in super::super) interrupted: Option<i32>,
}

/// Where a thread is to go on.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in super::super) enum Place {
    /// In the gate, at this address, which is told this of the call.
    Gate { at: u64, call: u16 },
    /// At this address.
    Again { at: u64 },
    /// At the same call with `first` for this argument, and if that succeeds at the same once more as
    /// the program has made it.
    Split {
        argument: u8,
        first: u64,
        /// When the thread was started, since ids are used again.
        started: u64,
        /// The time namespace that is to be entered, with its nonce, if the call enters one.
        enters: Option<(u64, u32)>,
        /// Whether the caller has been found to have the right to do that.
        is_granted: bool,
    },
    /// At the same call with converted times and the cookie: for a site where the thread must be seen
    /// waiting, and whose registers and red zone nobody needs.
    Here {
        call: u16,
        cookie: u64,
        /// The host's time and the program's own, as a `timespec` each; `None`: as it is.
        times: Option<[[i64; 2]; 2]>,
    },
}

impl Place {
    /// When the thread was started of which one half is to be made after the other.
    pub(in super::super) fn started(&self) -> Option<u64> {
        match self {
            Self::Split { started, .. } => Some(*started),
            _ => None,
        }
    }
}

/// What answers a notification.
pub(in super::super) trait Post: Copy {
    /// The notification.
    fn id(&self) -> u64;
}

impl Post for Request {
    fn id(&self) -> u64 {
        self.id
    }
}

/// All requests of a kind: places for `N` of them.
#[repr(C)]
pub(in super::super) struct Slots<R, const N: usize> {
    states: [AtomicU32; N],
    /// How many were ever posted; threads sleep on it.
    posted: AtomicU32,
    requests: [UnsafeCell<R>; N],
}

/// Those of redirects.
pub(in super::super) type Redirects = Slots<Request, SLOTS>;

/// One of them that this thread has taken.
pub(in super::super) type RedirectSlot<'a> = Slot<'a, Request, SLOTS>;

// SAFETY: see the module's description for the requests; all else is atomic.
unsafe impl<R: Post, const N: usize> Sync for Slots<R, N> {}

impl<R: Post, const N: usize> Slots<R, N> {
    /// Puts a request down as taken by the caller; `None` if there is no room.
    ///
    /// Only the thread that receives notifications may call this.
    pub(in super::super) fn keep(&self, request: R) -> Option<Slot<'_, R, N>> {
        let index = self.put(request, TAKEN)?;
        Some(Slot::new(self, index))
    }

    /// Posts a request; `None` if there is no room.
    ///
    /// Only the thread that receives notifications may call this.
    pub(in super::super) fn post(&self, request: R) -> Option<()> {
        self.put(request, POSTED)?;
        self.announce();
        Some(())
    }

    fn put(&self, request: R, state: u32) -> Option<usize> {
        let first = self.posted.load(Ordering::Relaxed) as usize;
        let index = (first..first + N)
            .map(|i| i % N)
            .find(|i| self.states[*i].load(Ordering::Acquire) == FREE)?;
        // SAFETY: the slot is free, and only this thread writes to free slots.
        unsafe { *self.requests[index].get() = request };
        self.states[index].store(state, Ordering::Release);
        Some(index)
    }

    fn announce(&self) {
        self.posted.fetch_add(1, Ordering::SeqCst);
        futex::wake_one(&self.posted);
    }

    /// Waits for a request, and takes it.
    pub(in super::super) fn take(&self) -> Slot<'_, R, N> {
        loop {
            let seen = self.seen();
            if let Some(slot) = self.try_take(seen, |_| true) {
                return slot;
            }
            self.wait(seen);
        }
    }

    /// How many were posted so far.
    pub(in super::super) fn seen(&self) -> u32 {
        self.posted.load(Ordering::SeqCst)
    }

    /// Waits until more were posted than were `seen`; may also return without cause.
    pub(in super::super) fn wait(&self, seen: u32) {
        futex::wait(&self.posted, seen);
    }

    /// Takes a request that is wanted; `None` if there is none. One that is not wanted does not show to
    /// others while it is looked at.
    pub(in super::super) fn try_take(
        &self,
        seen: u32,
        is_wanted: impl Fn(&R) -> bool,
    ) -> Option<Slot<'_, R, N>> {
        // The last one first: it is most often the only one.
        let last = seen.wrapping_sub(1) as usize;
        (0..N).find_map(|i| {
            let index = last.wrapping_sub(i) % N;
            if !self.change(index, POSTED, TAKEN) {
                return None;
            }
            let slot = Slot::new(self, index);
            if is_wanted(&slot.request()) {
                return Some(slot);
            }
            self.states[index].store(POSTED, Ordering::Release);
            None
        })
    }

    fn change(&self, index: usize, from: u32, to: u32) -> bool {
        self.states[index].load(Ordering::Relaxed) == from
            && self.states[index]
                .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Posts again what the threads of a dead process had taken; whether there was any.
    pub(in super::super) fn post_again(&self) -> bool {
        let mut any = false;
        for index in 0..N {
            if self.change(index, TAKEN, POSTED) {
                any = true;
                self.announce();
            } else {
                any |= self.states[index].load(Ordering::Relaxed) != FREE;
            }
        }
        any
    }

    /// Takes what is half done and what `is_wanted` says yes to off the list; the last of these.
    ///
    /// Only the thread that receives notifications may call this.
    pub(in super::super) fn take_half_done(&self, is_wanted: impl Fn(&R) -> bool) -> Option<R> {
        let mut last = None;
        for index in 0..N {
            if self.states[index].load(Ordering::Acquire) == HALF_DONE {
                // SAFETY: nobody has taken the slot, and only this thread makes it free.
                let request = unsafe { *self.requests[index].get() };
                if is_wanted(&request) {
                    self.states[index].store(FREE, Ordering::Release);
                    last = Some(request);
                }
            }
        }
        last
    }

    /// How many requests in hand are such.
    ///
    /// Only the thread that receives notifications may call this.
    pub(in super::super) fn count(&self, is_such: impl Fn(&R) -> bool) -> usize {
        let is_in_hand = |i: &usize| {
            self.states[*i].load(Ordering::Acquire) != FREE
                // SAFETY: only the calling thread, which receives notifications, writes requests.
                && is_such(unsafe { &*self.requests[*i].get() })
        };
        (0..N).filter(is_in_hand).count()
    }

    /// Whether any request is in hand.
    pub(in super::super) fn any(&self) -> bool {
        let is_in_hand = |state: &AtomicU32| state.load(Ordering::SeqCst) != FREE;
        self.states.iter().any(is_in_hand)
    }

    /// Whether a request for this notification is in hand.
    pub(in super::super) fn has(&self, id: u64) -> bool {
        (0..N).any(|i| {
            self.states[i].load(Ordering::Acquire) != FREE
                // SAFETY: only the calling thread, which receives notifications, writes requests.
                && unsafe { (*self.requests[i].get()).id() } == id
        })
    }
}

/// A request that this thread has taken.
pub(in super::super) struct Slot<'a, R, const N: usize> {
    slots: &'a Slots<R, N>,
    index: usize,
    is_half_done: Cell<bool>,
}

impl<'a, R: Post, const N: usize> Slot<'a, R, N> {
    fn new(slots: &'a Slots<R, N>, index: usize) -> Self {
        Self {
            slots,
            index,
            is_half_done: Cell::new(false),
        }
    }

    pub(in super::super) fn request(&self) -> R {
        // SAFETY: this thread has taken the slot, so that nobody writes to it.
        unsafe { *self.slots.requests[self.index].get() }
    }

    /// The first half is done: the request remains on the list as long as the thread is held, and after
    /// it, until who receives takes it off.
    pub(in super::super) fn leave_half_done(&self) {
        self.is_half_done.set(true);
        self.slots.states[self.index].store(HALF_DONE, Ordering::Release);
    }

    /// The request has been dealt with.
    pub(in super::super) fn free(self) {
        if !self.is_half_done.get() {
            self.slots.states[self.index].store(FREE, Ordering::Release);
        }
    }
}
