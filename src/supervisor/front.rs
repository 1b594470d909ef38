//! The front: the process the caller started and waits for.
//!
//! It stands for the command: it ends as the command ends, stops when the command stops, and
//! passes on the signals that were sent to it alone. What the terminal sends to a process group
//! reaches the command without help, since the command is in the front's group.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use super::message::{End, Incoming, Message, receive};
use super::witness::{Sorted, Witness};
use crate::sys::process;
use crate::sys::signal::{self, Set};

/// Waits for the command and ends this process in its stead. Every signal must be blocked.
pub(super) fn run(keeper: i32, channel: OwnedFd) -> ! {
    let (Ok(channel), Ok(signals)) = (
        above_streams(channel),
        signal::descriptor(true).and_then(above_streams),
    ) else {
        give_up("no descriptor for signals is to be had");
    };
    process::close_all_but(3, &[channel.as_raw_fd(), signals.as_raw_fd()]);
    release_streams();
    let mut front = Front {
        keeper,
        keeper_end: None,
        witness: Witness::start(),
        channel,
        signals,
        from_terminal: Vec::new(),
    };
    front.await_command();
    loop {
        front.wait();
        front.pass_signals_on();
        front.hear_keeper();
    }
}

struct Front {
    keeper: i32,
    /// How the keeper has ended.
    keeper_end: Option<process::Change>,
    channel: OwnedFd,
    signals: OwnedFd,
    /// None if no process was to be had: signals to the group then reach the command twice.
    witness: Option<Witness>,
    /// The signals that the terminal has sent to the group.
    from_terminal: Vec<i32>,
}

impl Front {
    /// Passes on all that has come until the command's process was there.
    ///
    /// What the group was sent until then has not reached the command; what came since waits there, and is
    /// one with what is passed on now.
    fn await_command(&mut self) {
        loop {
            let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
            let _ = poll(&mut fds, None);
            match receive(self.channel.as_fd()) {
                Incoming::Message(Message::Born) => break,
                Incoming::Closed => self.keeper_gone(),
                Incoming::Warning(line) => warn(&line),
                Incoming::Message(_) | Incoming::Nothing => {}
            }
        }
        // Those that are counted one by one are left to the witness.
        let mut wanted = Set::NOT_QUEUED.without(libc::SIGCHLD);
        while let Some(arrived) = signal::take(wanted) {
            wanted = wanted.without(arrived.signal);
            Message::Signal(arrived.signal).send(self.channel.as_fd());
            if arrived.by_kernel {
                self.from_terminal.push(arrived.signal);
            }
        }
        Message::Ready.send(self.channel.as_fd());
        // What the witness has of it is forgotten.
        self.pass_signals_on();
    }

    fn wait(&self) {
        let mut fds = [
            PollFd::new(&self.channel, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let is_behind = self.witness.as_ref().is_some_and(Witness::is_behind);
        // EINTR cannot be: all signals are blocked. Any other error shows up at the reads.
        let _ = poll(&mut fds, is_behind.then_some(&now));
    }

    /// Passes on what was sent to this process alone; the keeper judges what its group was sent.
    fn pass_signals_on(&mut self) {
        let sorted = self.arrived();
        for arrived in sorted.by_kernel {
            match arrived.signal {
                // A terminal's hangup is told to the session's leader alone, which the command
                // would be in our place.
                libc::SIGHUP | libc::SIGCONT if process::leads_session() => {
                    Message::Signal(arrived.signal).send(self.channel.as_fd());
                }
                signal => {
                    Message::GroupSignal(signal).send(self.channel.as_fd());
                    if !self.from_terminal.contains(&signal) {
                        self.from_terminal.push(signal);
                    }
                }
            }
        }
        for arrived in sorted.to_group {
            Message::GroupSignal(arrived.signal).send(self.channel.as_fd());
        }
        let mut child_changed = false;
        for arrived in sorted.to_front {
            match arrived.signal {
                libc::SIGCHLD => child_changed = true,
                // The keeper sends it when the command goes on or ends behind our back.
                libc::SIGCONT if arrived.sender == self.keeper => {}
                // Our own doing: a stop taken back, or a warning that nobody reads.
                _ if arrived.sender == own_pid() => {}
                signal => Message::Signal(signal).send(self.channel.as_fd()),
            }
        }
        // The worker holds the other end too, so a keeper's death is not seen there at once.
        if child_changed && let Some(how) = process::has_ended(self.keeper) {
            // The last word may still lie in the channel.
            self.keeper_end = Some(how);
            self.hear_keeper();
            self.keeper_gone();
        }
    }

    fn arrived(&mut self) -> Sorted {
        if let Some(witness) = &mut self.witness {
            return witness.sort();
        }
        let mut sorted = Sorted::default();
        while let Some(arrived) = signal::next(self.signals.as_fd()) {
            if arrived.by_kernel {
                sorted.by_kernel.push(arrived);
            } else {
                sorted.to_front.push(arrived);
            }
        }
        sorted
    }

    fn hear_keeper(&mut self) {
        loop {
            match receive(self.channel.as_fd()) {
                Incoming::Nothing => break,
                Incoming::Closed => self.keeper_gone(),
                Incoming::Message(Message::Ended { how, alone }) => self.end(how, alone),
                Incoming::Message(Message::Stopped(signal)) => self.stop_by(signal),
                Incoming::Warning(line) => warn(&line),
                Incoming::Message(_) => {}
            }
        }
    }

    /// Stops as the command did, unless it goes on by now.
    ///
    /// Even a short stop would be seen, and a shell would take its terminal back. So the signal is
    /// held first: one that continues the group takes it back by itself. One that came before
    /// that has continued the command as well, which the keeper is asked for.
    fn stop_by(&mut self, mut signal: i32) {
        signal::hold(signal);
        Message::Still.send(self.channel.as_fd());
        let mut questions = 1;
        loop {
            match receive(self.channel.as_fd()) {
                Incoming::Nothing => {
                    let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
                    let _ = poll(&mut fds, None);
                }
                Incoming::Message(Message::Still) if questions > 1 => questions -= 1,
                Incoming::Message(Message::Still) => return signal::let_through(signal),
                Incoming::Message(Message::Stopped(again)) => {
                    signal = again;
                    signal::hold(signal);
                    Message::Still.send(self.channel.as_fd());
                    questions += 1;
                }
                Incoming::Message(Message::Continued) => {
                    process::kill(own_pid(), libc::SIGCONT);
                    return;
                }
                Incoming::Message(Message::Ended { how, alone }) => self.end(how, alone),
                Incoming::Closed => self.keeper_gone(),
                Incoming::Message(_) => {}
                Incoming::Warning(line) => warn(&line),
            }
        }
    }

    /// Ends as the command has ended.
    fn end(&mut self, how: End, alone: bool) -> ! {
        while let Some(arrived) = signal::next(self.signals.as_fd()) {
            if arrived.by_kernel {
                self.from_terminal.push(arrived.signal);
            }
        }
        self.leave(alone);
        match how {
            End::Exited(code) => process::exit_now(code),
            // The key was pressed for us too: a shell's loop goes on after a Ctrl-C unless the
            // program that it waits for died of it.
            End::Killed(signal @ (libc::SIGINT | libc::SIGQUIT))
                if self.from_terminal.contains(&signal) =>
            {
                process::dump_no_core();
                signal::hold(signal);
                signal::let_through(signal);
                process::exit_now(128 + signal)
            }
            End::Killed(signal) => process::exit_now(128 + signal),
        }
    }

    /// Nothing of ours is to be left when the caller goes on.
    fn leave(&mut self, alone: bool) {
        if let Some(witness) = self.witness.take() {
            witness.dismiss();
        }
        if alone {
            let _ = process::wait_for_end(self.keeper);
        }
    }

    /// The keeper has ended without a word of the command's end.
    fn keeper_gone(&mut self) -> ! {
        if self.keeper_end.is_none() {
            self.keeper_end = process::wait_for_end(self.keeper).ok();
        }
        self.leave(false);
        match self.keeper_end {
            // Without a word of the command's end this is no success.
            Some(process::Change::Exited(code @ 1..)) => process::exit_now(code),
            _ => give_up("the keeper of the time namespace was killed"),
        }
    }
}

fn warn(line: &str) {
    let line = format!("elsewhen: warning: {line}\n");
    // A closed standard error is the caller's wish.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn give_up(why: &str) -> ! {
    let _ = writeln!(std::io::stderr(), "elsewhen: {why}");
    process::exit_now(super::EXIT_FAILED);
}

/// Moves a descriptor out of the streams' places, where it lies if the caller has closed them.
fn above_streams(fd: OwnedFd) -> std::io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?)
}

/// Lets go of the streams, so that readers of the command's pipes see their end; standard error
/// stays for warnings.
fn release_streams() {
    use rustix::fs::{Mode, OFlags, open};
    if let Ok(null) = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        for fd in 0..=1 {
            process::replace_fd(null.as_raw_fd(), fd);
        }
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
