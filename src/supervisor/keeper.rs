//! The keeper (and the anchor of an inner namespace): parent of the tree, never in anyone's way.
//!
//! It does nothing that a guest could make fail: it waits, reaps and starts workers. What only an
//! ancestor may open is opened by a thread of its own (see `inject::Opener`).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::time::Timespec;

use super::message::{End, Incoming, Message, receive};
use super::namespaces::{is_runnable, is_stopped, is_zombie};
use super::redirect::Pool;
use super::status::is_pending;
use super::watchdog::Patience;
use super::worker::{self, Openers, Service};
use super::yama::Opening;
use crate::inject::Opener;
use crate::registry::Registration;
use crate::sys::process::{self, Change, Forked};
use crate::sys::ptrace::Waiting;
use crate::sys::{channel, signal};

/// A keeper at work.
pub(super) struct Keeper {
    /// The front, or who hears of a container's programs, until it has gone.
    front: Option<OwnedFd>,
    /// 0 if there never was one.
    front_pid: i32,
    /// 0 if there never was one.
    command: i32,
    /// SIGCHLD.
    signals: OwnedFd,
    service: Option<Service>,
    /// The tree's record, held as long as this process lives.
    registration: Option<Registration>,
    worker: Option<i32>,
    has_had_worker: bool,
    patience: Patience,
    /// Whether the command has ended.
    ended: bool,
    /// Whether it is stopped.
    stopped: bool,
    /// Whether the tree still had members when last looked at.
    awaits_tree: bool,
    /// The command's end, if the front could not be told yet.
    unheard: Option<Message>,
    /// The threads that redirect, if only an ancestor may.
    pool: Option<Pool>,
}

/// The process that the tree begins with, and who waits for it.
pub(super) struct Command {
    pub(super) pid: i32,
    pub(super) front: OwnedFd,
    pub(super) front_pid: i32,
}

/// What a keeper starts with.
pub(super) struct Setting {
    /// None where the processes were there before.
    pub(super) command: Option<Command>,
    /// Who is warned of programs where there is no command.
    pub(super) warnings: Option<OwnedFd>,
    pub(super) signals: OwnedFd,
    /// What a worker needs; an anchor has none.
    pub(super) service: Option<Service>,
    /// The tree's record, if it has one.
    pub(super) registration: Option<Registration>,
}

impl Keeper {
    /// Makes this process the keeper: it leaves the caller's session and directory.
    pub(super) fn new(setting: Setting) -> Self {
        // The command stays in the session; its process group is then orphaned exactly when it
        // would be without us.
        let _ = rustix::process::setsid();
        let _ = rustix::process::chdir("/");
        let ended = setting.command.is_none();
        let (command, front, front_pid) = match setting.command {
            Some(command) => (command.pid, Some(command.front), command.front_pid),
            None => (0, setting.warnings, 0),
        };
        Self {
            front,
            front_pid,
            command,
            signals: setting.signals,
            service: setting.service,
            registration: setting.registration,
            worker: None,
            has_had_worker: false,
            patience: Patience::default(),
            ended,
            stopped: false,
            awaits_tree: true,
            unheard: None,
            pool: None,
        }
    }

    /// Stays until the last member of the tree has ended; tells `waiting`, the command that has yet
    /// to start or who has handed the processes over, when there is a worker.
    pub(super) fn stay(mut self, waiting: Option<OwnedFd>) -> ! {
        self.let_go(waiting.as_ref());
        if let Some(command) = waiting
            && self.start_worker().is_ok()
        {
            let _ = channel::send(command.as_fd(), b"!", None);
        }
        loop {
            self.wait();
            while signal::next(self.signals.as_fd()).is_some() {}
            let childless = self.reap();
            self.hear_front();
            let is_empty = match &self.service {
                Some(service) => is_hung_up(service.listener.as_fd()),
                None => childless,
            };
            // An exiting process lets go of its filter before its parent can reap it (6.11).
            if is_empty && self.ended && (self.unheard.is_none() || self.front.is_none()) {
                self.finish();
            }
            self.awaits_tree = !is_empty;
            if self.awaits_tree && self.worker.is_none() {
                // Without a worker nothing new can start, but nothing runs unshifted either.
                let _ = self.start_worker();
            }
        }
    }

    /// Starts a worker.
    fn start_worker(&mut self) -> std::io::Result<()> {
        let Some(service) = &self.service else {
            return Ok(());
        };
        // The last one may have died before it had started the timer that it said it would.
        service.journal.note_rest();
        service.journal.set_receiver(0);
        let openers = match service.opening {
            Opening::ByWorker => None,
            Opening::ByKeeper => {
                if self.pool.is_none() {
                    let listener = service.listener.try_clone()?;
                    let proc = service.proc.try_clone()?;
                    let pool = Pool::new(service.journal, listener, proc, Waiting::Polling);
                    pool.wake()?;
                    self.pool = Some(pool);
                }
                let start = || Opener::start(service.proc.try_clone()?);
                Some(Openers {
                    handlers: start()?,
                    views: start()?,
                })
            }
        };
        match process::fork()? {
            Forked::Parent(pid) => {
                self.worker = Some(pid);
                if std::mem::replace(&mut self.has_had_worker, true) {
                    service.count(|counters| &counters.replaced);
                }
            }
            Forked::Child => {
                let front = self.front.take();
                worker::run(service, front, openers)
            }
        }
        Ok(())
    }

    fn wait(&mut self) {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(front) = &self.front {
            fds.push(PollFd::new(front, PollFlags::IN));
        }
        if let Some(service) = &self.service {
            if self.awaits_tree {
                fds.push(PollFd::new(&service.listener, PollFlags::empty()));
            }
            fds.push(PollFd::new(&service.watchdog.timer, PollFlags::IN));
        }
        // What could not be done is tried again soon.
        let soon = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        let is_behind = self.unheard.is_some() || self.service.is_some() && self.worker.is_none();
        let _ = poll(&mut fds, is_behind.then_some(&soon));
        self.say_again();
        let has_ticked = |service: &Service| service.watchdog.has_ticked();
        if !self.service.as_ref().is_some_and(has_ticked) {
            return;
        }
        self.bury_worker();
        if self
            .service
            .as_ref()
            .is_some_and(|service| self.patience.is_over(&service.watchdog, service.journal))
        {
            self.judge_late_worker();
        }
    }

    /// Takes note of a worker that has ended but for a thread which hangs where a guest serves files, and
    /// which nobody can kill there (FUSE): the kernel does not tell of such an end.
    fn bury_worker(&mut self) {
        if let (Some(worker), Some(service)) = (self.worker, &self.service)
            && is_zombie(service.proc.as_fd(), worker)
        {
            // It is reaped like any orphan.
            self.worker = None;
        }
    }

    /// Replaces a worker that hangs in a guest's memory, but not one that only waits for a CPU.
    fn judge_late_worker(&mut self) {
        let (Some(worker), Some(service)) = (self.worker, &self.service) else {
            return;
        };
        let thread = service.journal.receiver().unwrap_or(worker);
        if is_runnable(service.proc.as_fd(), thread) {
            return;
        }
        service.journal.note_failure();
        process::kill(worker, libc::SIGKILL);
        // Its page fault may not be killable (FUSE, NFS), so it is not waited for: it never comes
        // back to user mode, and is reaped like any orphan.
        self.worker = None;
    }

    /// Takes note of what children did; true if there are none left.
    fn reap(&mut self) -> bool {
        loop {
            match process::next_change() {
                Ok(Some((pid, change))) if pid == self.command && !self.ended => {
                    self.tell_of_command(change);
                }
                Ok(Some((pid, change))) if Some(pid) == self.worker => {
                    self.replace_worker(change);
                }
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(e) => return e.raw_os_error() == Some(libc::ECHILD),
            }
        }
    }

    fn tell_of_command(&mut self, change: Change) {
        self.stopped = matches!(change, Change::Stopped(_));
        let message = match change {
            Change::Exited(code) => self.command_ended(End::Exited(code)),
            Change::Killed(signal) => self.command_ended(End::Killed(signal)),
            // It cannot be held back until the front has looked whether the command goes on
            // already; sent from here, its stop and its going on keep their order.
            Change::Stopped(libc::SIGSTOP) => return self.stop_front(),
            Change::Stopped(signal) => Message::Stopped(signal),
            Change::Continued => Message::Continued,
        };
        if let Some(front) = &self.front
            && !message.try_send(front.as_fd())
            && matches!(message, Message::Ended { .. })
        {
            self.unheard = Some(message);
        }
        if !matches!(message, Message::Stopped(_)) {
            // A stopped front would not hear of it.
            self.signal_front(libc::SIGCONT);
        }
    }

    /// Says the last word again if the front's ears were full.
    fn say_again(&mut self) {
        if let (Some(message), Some(front)) = (self.unheard, &self.front)
            && message.try_send(front.as_fd())
        {
            self.unheard = None;
        }
    }

    /// Says whether the command is stopped now: what it has done since comes first.
    fn answer_still(&mut self) {
        self.reap();
        if self.stopped
            && let Some(front) = &self.front
        {
            Message::Still.send(front.as_fd());
        }
    }

    /// Stops the front, unless it was stopped with the command and goes on already: a stop would take back the
    /// signal by which it does, and the command would never hear of that.
    fn stop_front(&self) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let has_its_own = open("/proc", flags, Mode::empty()).is_ok_and(|proc| {
            let proc = proc.as_fd();
            is_stopped(proc, self.front_pid) || is_pending(proc, self.front_pid, libc::SIGCONT)
        });
        if !has_its_own {
            self.signal_front(libc::SIGSTOP);
        }
    }

    fn signal_front(&self, signal: i32) {
        let parent = rustix::process::getppid().map(|p| p.as_raw_nonzero().get());
        if parent == Some(self.front_pid) {
            process::kill(self.front_pid, signal);
        }
    }

    fn command_ended(&mut self, how: End) -> Message {
        self.ended = true;
        let alone = match &self.service {
            Some(service) => is_hung_up(service.listener.as_fd()),
            None => {
                matches!(process::peek_children(), Err(e) if e.raw_os_error() == Some(libc::ECHILD))
            }
        };
        Message::Ended { how, alone }
    }

    fn replace_worker(&mut self, change: Change) {
        let Some(service) = &self.service else {
            return;
        };
        match change {
            Change::Exited(_) | Change::Killed(_) => {}
            Change::Continued => return,
            Change::Stopped(_) => {
                // A stopped worker would stop every start in the tree.
                if let Some(worker) = self.worker {
                    process::kill(worker, libc::SIGKILL);
                }
                return;
            }
        }
        self.worker = None;
        if !matches!(change, Change::Killed(libc::SIGKILL)) {
            if service.journal.serving() != 0 {
                service.journal.note_failure();
            }
            // It may have failed at its start, for want of something that comes back with time.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn hear_front(&mut self) {
        loop {
            let Some(front) = &self.front else {
                return;
            };
            match receive(front.as_fd()) {
                Incoming::Message(Message::Signal(signal)) if !self.ended => {
                    process::kill(self.command, signal);
                }
                // A shell makes a group of its own; without us it would lead the front's.
                Incoming::Message(Message::GroupSignal(signal)) if !self.ended => {
                    if !process::share_group(self.command, self.front_pid) {
                        process::kill(self.command, signal);
                    }
                }
                Incoming::Message(Message::Still) => self.answer_still(),
                Incoming::Message(_) | Incoming::Warning(_) => {}
                Incoming::Nothing => return,
                Incoming::Closed => {
                    // Only SIGKILL ends a front before its command: the caller wants it dead.
                    if !self.ended {
                        process::kill(self.command, libc::SIGKILL);
                    }
                    self.front = None;
                }
            }
        }
    }

    fn finish(&mut self) -> ! {
        if let Some(registration) = &self.registration {
            registration.remove();
        }
        if let Some(worker) = self.worker {
            process::kill(worker, libc::SIGKILL);
            // As a rule it is gone at once; a hung one is left to whoever adopts it.
            for _ in 0..100 {
                if process::has_ended(worker).is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if let Some(cgroup) = self.service.as_ref().and_then(|s| s.cgroup.as_ref()) {
            cgroup.remove();
        }
        process::exit_now(0)
    }

    /// Closes what the caller had open.
    fn let_go(&self, but: Option<&OwnedFd>) {
        let mut keep = vec![self.signals.as_raw_fd()];
        keep.extend(but.map(AsRawFd::as_raw_fd));
        keep.extend(self.front.as_ref().map(AsRawFd::as_raw_fd));
        if let Some(service) = &self.service {
            keep.extend(service.descriptors());
        }
        if let Some(registration) = &self.registration {
            keep.extend(registration.descriptors());
        }
        process::close_all_but(0, &keep);
    }
}

/// Whether no process is left under the listener's filter.
pub(crate) fn is_hung_up(listener: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&listener, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}
