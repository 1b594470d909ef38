//! The front: the process the caller started and waits for.
//!
//! It stands for the command: it ends as the command ends, stops when the command stops, and
//! passes on the signals that were sent to it alone. What the terminal sends to a process group
//! reaches the command without help, since the command is in the front's group.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::message::{Incoming, Message, receive};
use super::namespaces::descends;
use crate::sys::{process, signal};

/// Waits for the command and ends this process in its stead. Every signal must be blocked.
pub(super) fn run(keeper: i32, channel: OwnedFd) -> ! {
    let signals = signal::descriptor(true);
    let Ok(signals) = signals else {
        give_up("no descriptor for signals is to be had");
    };
    let proc = rustix::fs::open(
        "/proc",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let Ok(proc) = proc else {
        give_up("cannot open `/proc`");
    };
    process::close_all_but(
        3,
        &[channel.as_raw_fd(), signals.as_raw_fd(), proc.as_raw_fd()],
    );
    release_streams();
    loop {
        let mut fds = [
            PollFd::new(&channel, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        // EINTR cannot be: all signals are blocked. Any other error shows up at the reads.
        let _ = poll(&mut fds, None);
        let mut child_changed = false;
        while let Some(arrived) = signal::next(signals.as_fd()) {
            child_changed |= arrived.signal == libc::SIGCHLD;
            pass_on(arrived, channel.as_fd(), proc.as_fd(), keeper);
        }
        loop {
            match receive(channel.as_fd()) {
                Incoming::Nothing => break,
                Incoming::Closed => keeper_gone(process::wait_for_end(keeper).ok()),
                Incoming::Message(Message::Ended { code, alone }) => {
                    if alone {
                        // Nothing of ours is to be left when the caller goes on.
                        let _ = process::wait_for_end(keeper);
                    }
                    process::exit_now(code);
                }
                Incoming::Message(Message::Stopped) => {
                    // It cannot be blocked: we stop here, and go on here.
                    process::kill(own_pid(), libc::SIGSTOP);
                }
                Incoming::Warning(line) => eprintln!("elsewhen: warning: {line}"),
                Incoming::Message(_) => {}
            }
        }
        // The worker holds the other end too, so a keeper's death is not seen there at once.
        if child_changed && let Some(how) = process::has_ended(keeper) {
            keeper_gone(Some(how));
        }
    }
}

/// Passes a signal on, unless the command has it already.
fn pass_on(arrived: signal::Arrived, channel: BorrowedFd<'_>, proc: BorrowedFd<'_>, keeper: i32) {
    match arrived.signal {
        libc::SIGCHLD => return,
        // The keeper sends it when the command was continued behind our back.
        libc::SIGCONT if arrived.sender == keeper => return,
        _ => {}
    }
    // The terminal's signals go to the whole group. So do those that a member sends with
    // kill(0, …); one sent by a member to us alone is lost, as the command has no such parent.
    let from_inside = arrived.sender != 0 && descends(proc, arrived.sender, keeper);
    if !arrived.by_kernel && !from_inside {
        Message::Signal(arrived.signal).send(channel);
    }
}

/// The keeper has ended without a word of the command's end.
fn keeper_gone(how: Option<process::Change>) -> ! {
    match how {
        Some(process::Change::Exited(code)) => process::exit_now(code),
        _ => give_up("the keeper of the time namespace was killed"),
    }
}

fn give_up(why: &str) -> ! {
    eprintln!("elsewhen: {why}");
    process::exit_now(super::EXIT_FAILED);
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
