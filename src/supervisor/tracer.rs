//! Strict trees: a program gets its image before its first instruction.
//!
//! The thread that calls execve(2) is traced (ptrace(2)) from the notification of the call to the
//! call's end, and no longer: it stops when the new program is in place, or when the call has
//! failed. All waiting is done here, in one thread of the worker, which never waits for one guest
//! alone; the thread that receives notifications only hands them over.
//!
//! What keeps PTRACE_SEIZE from waiting: it takes the mutex that an execve(2) of the same process
//! holds (`kernel/ptrace.c: ptrace_attach`), and that execve(2) may wait for us to reap a sibling.
//! So at most one thread of a process is traced at a time; calls of its other threads wait for
//! that one's end, as they would in the kernel, for the same mutex.
//!
//! A worker's death frees its tracees, and the kernel lets them run: a new program then has no
//! image until the next worker, which finds it in the journal, has put it there, or until its
//! first `brk(NULL)`. For these few milliseconds it could read the host's time. The other choice,
//! `PTRACE_O_EXITKILL`, would kill programs that have done nothing wrong, for the supervisor's
//! fault; the worker is killed by a person or by memory pressure only.
//!
//! DIFFERENCE: a thread that somebody else traces cannot be traced by us, and its new program
//! gets its image at its first `brk(NULL)`, as outside of strict trees. A thread in a strict tree
//! can be attached to by others only between two calls of execve(2).
//!
//! DIFFERENCE: as with any tracer, a set-user-ID program keeps its privileges only if the
//! supervisor has `CAP_SYS_PTRACE`; one without it has no_new_privs mostly, and then there are
//! none to keep.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::execs::{EXECS, Exec, claim};
use super::journal::Journal;
use super::namespaces::{self, status};
use super::watchdog::{PATIENCE, go_off_in};
use super::worker::{MOST_FAILURES, Service, give_up};
use crate::inject::{Injector, Task};
use crate::sys::errno::ERESTARTSYS;
use crate::sys::ptrace::{self, Change, Running, Stop, Stopped};
use crate::sys::seccomp::{self, Answer};
use crate::sys::{signal, thread};

/// What a call returns that a stop has taken out of its notification.
const RESTART: i64 = -(ERESTARTSYS as i64);

/// The other end of the tracer, for the thread that receives.
pub(super) struct Tracer {
    journal: &'static Journal,
    requests: Sender<&'static Exec>,
    bell: OwnedFd,
    /// Where to look for a free place next.
    next: usize,
}

impl Tracer {
    /// Starts the thread; `watchdog` runs while it could hang.
    pub(super) fn start(service: &Service, watchdog: OwnedFd) -> io::Result<Self> {
        let service = service.try_clone()?;
        let journal = service.journal;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let signals = signal::descriptor(false)?;
        let (requests, inbox) = channel();
        let thread_bell = bell.try_clone()?;
        thread::start(thread::STACK, move || {
            let _end = EndOfWorker;
            let mut tracing = Tracing {
                injector: Injector::new(service.image.clone()),
                service,
                watchdog,
                tracees: HashMap::new(),
                early: true,
            };
            tracing.take_over();
            tracing.run(&inbox, &thread_bell, &signals);
        })?;
        Ok(Self {
            journal,
            requests,
            bell,
            next: 0,
        })
    }

    /// Leaves the answer to notification `id` to the tracer; `None` if it has too many in hand.
    pub(super) fn hand_over(&mut self, id: u64, tid: i32) -> Option<()> {
        let index = claim(self.journal, self.next, id, tid)?;
        self.next = (index + 1) % EXECS;
        // The tracer ends with the process only, and the journal has the request anyway.
        let _ = self.requests.send(&self.journal.execs[index]);
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        Some(())
    }
}

/// A worker without its tracer is worse than none: the keeper starts another.
struct EndOfWorker;

impl Drop for EndOfWorker {
    fn drop(&mut self) {
        give_up()
    }
}

/// A thread between its notification and its end.
struct Tracee {
    running: Running,
    role: Role,
    /// Calls of the process's other threads.
    waiting: Vec<&'static Exec>,
}

/// What a tracee's first stop means.
#[derive(Clone, Copy)]
enum Role {
    /// It was interrupted, and then let go on with its call.
    InterruptedFirst(&'static Exec),
    /// It was let go on with its call, and then interrupted.
    ReleasedFirst(&'static Exec),
    /// A dead worker has let it go on.
    Inherited(&'static Exec),
}

impl Role {
    fn exec(self) -> &'static Exec {
        match self {
            Role::InterruptedFirst(exec) | Role::ReleasedFirst(exec) | Role::Inherited(exec) => {
                exec
            }
        }
    }
}

/// The tracer's own side.
struct Tracing {
    service: Service,
    injector: Injector,
    watchdog: OwnedFd,
    /// By process.
    tracees: HashMap<i32, Tracee>,
    /// Whether to interrupt a thread before its answer.
    ///
    /// Then it stops in this very call whatever happens; afterwards, the call may have failed and
    /// the next one be interrupted. But a kernel may take the interruption for a reason to leave
    /// the notification: all before 5.19, and before 6.17 if the answer follows at once
    /// (`kernel/seccomp.c: should_sleep_killable`).
    early: bool,
}

impl Tracing {
    fn run(&mut self, inbox: &Receiver<&'static Exec>, bell: &OwnedFd, signals: &OwnedFd) {
        loop {
            let mut fds = [
                PollFd::new(bell, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            // EINTR cannot be: all signals are blocked.
            let _ = poll(&mut fds, None);
            let _ = rustix::io::read(bell, &mut [0; 8]);
            while signal::next(signals.as_fd()).is_some() {}
            go_off_in(&self.watchdog, PATIENCE);
            while let Some(change) = ptrace::next_change() {
                go_off_in(&self.watchdog, PATIENCE);
                self.follow(change);
            }
            for exec in inbox.try_iter() {
                go_off_in(&self.watchdog, PATIENCE);
                self.begin(exec);
            }
            go_off_in(&self.watchdog, 0);
        }
    }

    /// Goes on with what a dead worker had in hand.
    fn take_over(&mut self) {
        go_off_in(&self.watchdog, PATIENCE);
        let inherited = || self.service.journal.execs.iter().filter(|e| e.id() != 0);
        let (unanswered, others): (Vec<_>, Vec<_>) =
            inherited().partition(|exec| self.is_waiting(exec));
        for exec in others {
            go_off_in(&self.watchdog, PATIENCE);
            if exec.leader() == 0 || exec.failures() >= MOST_FAILURES {
                exec.free();
            } else {
                self.recover(exec);
            }
        }
        for exec in unanswered {
            go_off_in(&self.watchdog, PATIENCE);
            if exec.failures() >= MOST_FAILURES {
                self.answer(exec, Answer::Errno(libc::ENOSYS));
                exec.free();
            } else {
                self.begin(exec);
            }
        }
        go_off_in(&self.watchdog, 0);
    }

    /// Stops a thread that may be in execve(2) or in its new program already.
    fn recover(&mut self, exec: &'static Exec) {
        let proc = self.service.proc.as_fd();
        let leader = exec.leader();
        let tid = match status(proc, exec.tid()) {
            Some(status) if status.leader == leader => exec.tid(),
            _ => leader,
        };
        let running = match namespaces::is_member(self.service.journal, proc, leader) {
            true if !self.tracees.contains_key(&leader) => {
                exec.attempt(|| ptrace::seize_from_dying(tid)).ok()
            }
            _ => None,
        };
        match running {
            Some(running) => {
                running.interrupt();
                self.trace(leader, running, Role::Inherited(exec));
            }
            None => exec.free(),
        }
    }

    /// Lets a call go on, its thread traced if that can be.
    fn begin(&mut self, exec: &'static Exec) {
        let status = status(self.service.proc.as_fd(), exec.tid());
        let Some(status) = status.filter(|_| self.is_waiting(exec)) else {
            exec.free();
            return;
        };
        match self.tracees.get_mut(&status.leader) {
            // Interrupted earlier, and not stopped since: this call is where it will.
            Some(tracee) if tracee.running.tid() == exec.tid() => {
                exec.set_leader(status.leader);
                tracee.role.exec().free();
                tracee.role = Role::InterruptedFirst(exec);
                self.answer(exec, Answer::Continue);
                return;
            }
            Some(tracee) => {
                tracee.waiting.push(exec);
                return;
            }
            None => {}
        }
        exec.set_leader(status.leader);
        let seized = match status.tracer {
            0 => exec.attempt(|| ptrace::seize(exec.tid())).ok(),
            _ => None,
        };
        let Some(running) = seized else {
            self.answer(exec, Answer::Continue);
            exec.free();
            return;
        };
        // If the call was left before the thread was ours, the thread may be any; it is interrupted
        // in order to be let go of.
        let role = if self.early || !self.is_waiting(exec) {
            running.interrupt();
            self.answer(exec, Answer::Continue);
            Role::InterruptedFirst(exec)
        } else {
            self.answer(exec, Answer::Continue);
            running.interrupt();
            Role::ReleasedFirst(exec)
        };
        self.trace(status.leader, running, role);
    }

    fn trace(&mut self, leader: i32, running: Running, role: Role) {
        let tracee = Tracee {
            running,
            role,
            waiting: Vec::new(),
        };
        self.tracees.insert(leader, tracee);
    }

    /// Lets a tracee go, with its image if it has a new program.
    fn follow(&mut self, change: Change) {
        let Some((leader, mut tracee)) = self.take(change.tid()) else {
            // Not one of ours; never keep what is not looked after.
            if let Change::Stopped(stopped) = change {
                let _ = stopped.detach().map_err(Running::forget);
            }
            return;
        };
        if let Change::Stopped(stopped) = change {
            match (stopped.why(), tracee.role) {
                (Stop::Exec, _) | (_, Role::Inherited(_)) => {
                    tracee.role.exec().attempt(|| self.inject(&stopped));
                }
                (Stop::Trap, Role::InterruptedFirst(_)) if stopped.result() == Some(RESTART) => {
                    self.early = false;
                }
                _ => {}
            }
            if let Err(running) = stopped.detach() {
                // Its end is still to come, and until then its process is not to be waited for.
                let former = std::mem::replace(&mut tracee.running, running);
                former.forget();
                self.tracees.insert(leader, tracee);
                return;
            }
        }
        tracee.running.forget();
        tracee.role.exec().free();
        for exec in tracee.waiting {
            self.begin(exec);
        }
    }

    /// The tracee that waitpid(2) has told of by `tid`.
    fn take(&mut self, tid: i32) -> Option<(i32, Tracee)> {
        // By its process first: a thread that has executed a program has got its process's id.
        let leader = match self.tracees.contains_key(&tid) {
            true => tid,
            false => {
                let by_tid = |(_, tracee): &(&i32, &Tracee)| tracee.running.tid() == tid;
                *self.tracees.iter().find(by_tid)?.0
            }
        };
        Some((leader, self.tracees.remove(&leader)?))
    }

    /// Puts the image in place. What cannot be given one is warned of at its first call.
    fn inject(&mut self, stopped: &Stopped) {
        let service = &self.service;
        // A pid may have been used again between a call and our seizing its thread; a stopped
        // thread is what it is.
        if !namespaces::is_member(service.journal, service.proc.as_fd(), stopped.tid()) {
            return;
        }
        let task = Task::stopped(stopped, service.proc.as_fd());
        // Only a program that has run already, without a worker, can be there; then its first
        // `brk(NULL)` is soon enough.
        let is_in_vdso = |at| self.injector.holds(&task, at);
        if stopped.why() != Stop::Exec && stopped.instruction().is_none_or(is_in_vdso) {
            return;
        }
        let _ = self
            .injector
            .ensure(&task, |image| service.new_image(&task, image));
    }

    fn is_waiting(&self, exec: &Exec) -> bool {
        seccomp::is_valid(self.service.listener.as_fd(), exec.id())
    }

    /// ENOENT: the thread was killed, or a signal has taken it out of the call.
    fn answer(&self, exec: &Exec, answer: Answer) {
        let _ = seccomp::answer(self.service.listener.as_fd(), exec.id(), answer);
    }
}
