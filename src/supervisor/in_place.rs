//! Calls of threads that cannot be redirected, since somebody else traces them: what the supervisor
//! can do in their place.
//!
//! DIFFERENCE: all other absolute waits of such threads end by the host's clock.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::handlers::{Call, Failure, Reply, timerfd_settime};
use super::held::Held;
use super::journal::Journal;
use super::redirect::Request;
use crate::arch::nr;
use crate::inject::{Fault, GuestPtr, Task};
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
    pub(super) fn new(journal: &'static Journal, listener: Arc<OwnedFd>, proc: OwnedFd) -> Self {
        let proc = Arc::new(proc);
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
        match request.number {
            nr::CLOCK_NANOSLEEP => self.sleep(request.id, &call),
            nr::TIMERFD_SETTIME => match timerfd_settime::settime(&call) {
                Err(Failure::Errno(libc::ENOSYS)) => Some(Answer::Continue),
                reply => answer(reply),
            },
            _ => Some(Answer::Continue),
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

fn answer(reply: Reply) -> Option<Answer> {
    match reply {
        Ok(value) => Some(Answer::Value(value)),
        Err(Failure::Errno(errno)) => Some(Answer::Errno(errno)),
        Err(Failure::Gone) => None,
    }
}
