//! Calls of threads that cannot be redirected, since somebody else traces them: what the supervisor
//! can do in their place.
//!
//! DIFFERENCE: all other absolute waits of such threads end by the host's clock.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::handlers::{Call, Failure, Reply, timerfd_settime};
use super::held::Held;
use super::journal::Journal;
use super::redirect::{Place, Request};
use crate::arch::nr;
use crate::clock::Offset;
use crate::inject::{Fault, GuestPtr, Task};
use crate::sys::clock as host_clock;
use crate::sys::futex;
use crate::sys::seccomp::Answer;

/// What it takes to make calls.
#[derive(Clone)]
pub(super) struct InPlace {
    journal: &'static Journal,
    listener: Arc<OwnedFd>,
    proc: Arc<OwnedFd>,
    held: Held,
}

impl InPlace {
    pub(super) fn new(
        journal: &'static Journal,
        listener: Arc<OwnedFd>,
        proc: Arc<OwnedFd>,
    ) -> Self {
        Self {
            journal,
            held: Held::new(journal, Arc::clone(&listener), Arc::clone(&proc)),
            listener,
            proc,
        }
    }

    /// Goes on with what a dead worker had in hand.
    pub(super) fn take_over(&self) {
        self.held.take_over();
    }

    /// The answer to a call; `None` if it will come later, or nobody waits for it.
    pub(super) fn make(&self, request: &Request) -> Option<Answer> {
        let (listener, proc) = (self.listener.as_fd(), self.proc.as_fd());
        let call = Call {
            task: Task::new(listener, proc, request.id, request.tid, None),
            args: request.args,
            offsets: request.offsets,
            journal: self.journal,
            proc,
        };
        // A made-up number, of a site that leads to the gate by now: the kernel must not see it.
        if matches!(request.place, Place::Again { .. }) {
            return Some(Answer::Errno(libc::EINTR));
        }
        // DIFFERENCE: unshare(2) and setns(2) with more flags, of a thread that somebody else traces, fail
        // as on a kernel without time namespaces: half of it would be worse.
        if matches!(request.place, Place::Split { .. }) {
            return Some(Answer::Errno(libc::EINVAL));
        }
        match request.number {
            nr::CLOCK_NANOSLEEP => self.sleep(request.id, &call),
            nr::FUTEX if futex::command(&call.args) == futex::WAIT_BITSET => {
                self.wait(request.id, &call)
            }
            nr::TIMERFD_SETTIME => match timerfd_settime::settime(&call) {
                Err(Failure::Errno(libc::ENOSYS)) => Some(Answer::Continue),
                reply => answer(reply),
            },
            _ => Some(Answer::Continue),
        }
    }

    /// `FUTEX_WAIT_BITSET`: woken for nothing, as every wait may be (futex(2)), after a nap, to look at
    /// the word again and wait again, until the time has come.
    fn wait(&self, id: u64, call: &Call<'_>) -> Option<Answer> {
        let clock = match futex::operation(&call.args) & futex::CLOCK_REALTIME {
            0 => libc::CLOCK_MONOTONIC,
            _ => libc::CLOCK_REALTIME,
        };
        let time = call.task.read(GuestPtr::<[i64; 2]>::new(call.args[3]));
        let word = call.task.read(GuestPtr::<u32>::new(call.args[0]));
        let (Ok([sec, nsec]), Ok(word)) = (time, word) else {
            return call.task.is_waiting().then_some(Answer::Continue);
        };
        let host = call.offsets.of(clock).and_then(|o| o.to_host(sec, nsec));
        let is_bad = call.args[5] & 0xffff_ffff == 0 || !call.args[0].is_multiple_of(4);
        let (Some(host), false) = (host, is_bad) else {
            return Some(Answer::Continue);
        };
        if u64::from(word) != call.args[2] & 0xffff_ffff {
            return Some(Answer::Errno(libc::EAGAIN));
        }
        let now = host_clock::read(clock).ok()?;
        if (now.tv_sec, now.tv_nsec) >= host {
            return Some(Answer::Errno(libc::ETIMEDOUT));
        }
        let nap = Offset::from_nanos(NAP.into())?.add_to(now.tv_sec, now.tv_nsec);
        let end = host.min((nap.0, nap.1.into()));
        match self.held.hold(id, call.task.tid(), clock, end) {
            Some(()) => None,
            None => Some(Answer::Errno(libc::EINTR)),
        }
    }

    /// clock_nanosleep(2). What is wrong with it, and clocks that wake the machine, are the kernel's.
    fn sleep(&self, id: u64, call: &Call<'_>) -> Option<Answer> {
        let clock = i32::try_from(call.args[0] & 0xffff_ffff).unwrap_or(-1);
        let (libc::CLOCK_REALTIME | libc::CLOCK_TAI | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME) =
            clock
        else {
            return Some(Answer::Continue);
        };
        let [sec, nsec] = match call.task.read(GuestPtr::<[i64; 2]>::new(call.args[2])) {
            Ok(time) => time,
            Err(Fault::Gone) => return None,
            Err(_) => return Some(Answer::Continue),
        };
        let host = call.offsets.of(clock).and_then(|o| o.to_host(sec, nsec));
        let Some(host) = host else {
            return Some(Answer::Continue);
        };
        match self.held.hold(id, call.task.tid(), clock, host) {
            Some(()) => None,
            None => Some(Answer::Errno(libc::EINTR)),
        }
    }
}

/// How long a thread that waits for a futex is held before it looks at the word again.
const NAP: i64 = 2_000_000;

fn answer(reply: Reply) -> Option<Answer> {
    match reply {
        Ok(value) => Some(Answer::Value(value)),
        Err(Failure::Errno(errno)) => Some(Answer::Errno(errno)),
        Err(Failure::Gone) => None,
    }
}
