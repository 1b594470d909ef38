//! The worker: receives a notification, answers it, and waits for the next.
//!
//! One thread blocks in RECV, since the kernel's synchronous wake-up reaches only such a thread. A
//! second one watches the keeper. All that a new worker must know lies in the journal.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::cgroup::Cgroup;
use super::handlers::Handlers;
use super::journal::Journal;
use super::keeper::is_hung_up;
use super::watchdog::Watchdog;
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::sys::process;
use crate::sys::seccomp::{self, Answer, Notification};

/// Workers that may fail over one notification before its call fails.
const MOST_FAILURES: u32 = 3;

/// What the keeper hands to each worker.
pub(super) struct Service {
    pub(super) listener: OwnedFd,
    pub(super) journal: &'static Journal,
    pub(super) image: Image,
    /// The image of the tree's own namespace, as most programs get it.
    pub(super) own_image: Vec<u8>,
    pub(super) offsets: ClockOffsets,
    /// `/proc`.
    pub(super) proc: OwnedFd,
    pub(super) watchdog: Watchdog,
    /// The keeper, to be watched.
    pub(super) keeper: OwnedFd,
    pub(super) cgroup: Option<Cgroup>,
}

impl Service {
    pub(super) fn descriptors(&self) -> [RawFd; 4] {
        [
            self.listener.as_raw_fd(),
            self.proc.as_raw_fd(),
            self.watchdog.timer.as_raw_fd(),
            self.keeper.as_raw_fd(),
        ]
    }
}

/// Serves until no process is left under the filter.
pub(super) fn run(service: &Service) -> ! {
    process::close_all_but(0, &service.descriptors());
    // A worker that could not watch its keeper would outlive it: better none.
    let cgroup = service.cgroup.clone();
    let watching = service.keeper.try_clone().and_then(|keeper| {
        std::thread::Builder::new().spawn(move || watch_keeper(&keeper, cgroup.as_ref()))
    });
    if watching.is_err() {
        process::exit_now(1);
    }
    let mut handlers = Handlers::new(service);
    if let Some(pending) = service.journal.pending() {
        handle(service, &mut handlers, &pending);
    }
    loop {
        match seccomp::receive(service.listener.as_fd(), service.journal.receive_into()) {
            Ok(()) => {
                if let Some(pending) = service.journal.pending() {
                    handle(service, &mut handlers, &pending);
                }
            }
            // The caller is gone, or all are.
            Err(_) if is_hung_up(service.listener.as_fd()) => process::exit_now(0),
            Err(_) => {}
        }
    }
}

fn handle(service: &Service, handlers: &mut Handlers<'_>, notification: &Notification) {
    let Service {
        journal, watchdog, ..
    } = service;
    watchdog.begin(journal, notification.id);
    let answer = if journal.failures() < MOST_FAILURES {
        handlers.answer(notification)
    } else {
        Some(Answer::Errno(libc::ENOSYS))
    };
    if let Some(answer) = answer {
        // ENOENT: the thread was killed meanwhile, which needs no answer.
        let _ = seccomp::answer(service.listener.as_fd(), notification.id, answer);
    }
    journal.clear();
}

/// Ends the tree when the keeper has died; what cannot be ended fails at its next start, as the
/// listener closes with this process.
fn watch_keeper(keeper: &OwnedFd, cgroup: Option<&Cgroup>) {
    let mut fds = [PollFd::new(keeper, PollFlags::IN)];
    while poll(&mut fds, None).is_err() {}
    if let Some(cgroup) = cgroup {
        cgroup.kill();
        cgroup.remove();
    }
    process::exit_now(1)
}
