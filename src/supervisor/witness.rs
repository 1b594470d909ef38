//! The witness: tells whether a signal was sent to the front alone or to its whole process group.
//!
//! The command mostly is in the front's group too, so it has what the group was sent; only what came to
//! the front alone is to be passed on. The signal itself does not say which it was. So the front
//! keeps a child in its group that does nothing but receive: what the witness got as well was
//! sent to the group (or to everybody, as by `kill -1`).

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::sys::channel;
use crate::sys::process::{self, Forked};
use crate::sys::signal::{self, Arrived};

/// A child that receives what the group receives.
pub(super) struct Witness {
    pid: i32,
    channel: OwnedFd,
}

/// A signal and its sender.
type Sent = (i32, i32);

/// As many as one answer tells of.
const MOST: usize = 64;

impl Witness {
    /// Starts one; every signal must be blocked.
    pub(super) fn start(signals: BorrowedFd<'_>) -> Option<Self> {
        let (ours, theirs) = channel::pair().ok()?;
        match process::fork().ok()? {
            Forked::Parent(pid) => Some(Self { pid, channel: ours }),
            Forked::Child => {
                drop(ours);
                watch(&theirs, signals)
            }
        }
    }

    /// Reads all signals that have come: those of the front alone, and of the group.
    pub(super) fn sort(&self, signals: BorrowedFd<'_>) -> Sorted {
        let mut sorted = Sorted::default();
        let mut of_group = HashSet::new();
        let mut sent = Vec::new();
        loop {
            let before = sent.len();
            while let Some(arrived) = signal::next(signals) {
                sent.push(arrived);
            }
            if sent.len() == before {
                break;
            }
            // A signal reaches a group's members one after the other. With a barrier on both
            // sides, whatever one of us two has by now, the other has too, or will have read
            // when this loop ends.
            process::wait_for_senders();
            of_group.extend(self.ask());
            process::wait_for_senders();
        }
        for arrived in sent {
            if arrived.by_kernel {
                sorted.by_kernel.push(arrived);
            } else if is_of_group(arrived, &of_group) {
                sorted.to_group.push(arrived);
            } else {
                sorted.to_front.push(arrived);
            }
        }
        sorted
    }

    /// What the witness got since it was last asked; nothing if it is dead.
    fn ask(&self) -> Vec<Sent> {
        let mut answer = [0; MOST * 8];
        if channel::send(self.channel.as_fd(), b"?", None).is_err() {
            return Vec::new();
        }
        let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
        let some_time = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        while let Ok(0) = poll(&mut fds, Some(&some_time)) {
            // Stopped with the group, it seems, while we alone were continued. Not done earlier:
            // a SIGCONT takes back the stops that it may have to tell of.
            process::kill(self.pid, libc::SIGCONT);
        }
        match channel::receive(&self.channel, &mut answer, false) {
            // The first byte says that an answer came, even if it is empty.
            Ok(received) if received.len > 0 => decode(&answer[1..received.len]),
            _ => Vec::new(),
        }
    }

    /// Ends it.
    pub(super) fn dismiss(&self) {
        process::kill(self.pid, libc::SIGKILL);
        let _ = process::wait_for_end(self.pid);
    }
}

/// Signals, by what they were sent to.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// From the kernel, mostly the terminal.
    pub(super) by_kernel: Vec<Arrived>,
    /// From a process, to the front's group.
    pub(super) to_group: Vec<Arrived>,
    /// From a process, to the front and not to its group.
    pub(super) to_front: Vec<Arrived>,
}

/// Whether the group was sent this signal, going by what the witness got.
///
/// A signal that stops takes back a SIGCONT that was not read yet, and the other way round
/// (`kernel/signal.c: prepare_signal`); we may have read what the witness has not.
fn is_of_group(arrived: Arrived, of_group: &HashSet<Sent>) -> bool {
    let stops = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    let taken_back_by = |signal| {
        if arrived.signal == libc::SIGCONT {
            stops.contains(&signal)
        } else {
            signal == libc::SIGCONT && stops.contains(&arrived.signal)
        }
    };
    of_group.contains(&(arrived.signal, arrived.sender))
        || of_group.iter().any(|(signal, _)| taken_back_by(*signal))
}

/// The witness's life: until the front is gone.
fn watch(front: &OwnedFd, signals: BorrowedFd<'_>) -> ! {
    process::close_all_but(0, &[front.as_raw_fd(), signals.as_raw_fd()]);
    // Whoever signals all processes named `elsewhen` does not mean the group.
    let _ = rustix::thread::set_name(c"group-witness");
    let mut question = [0];
    while channel::receive(front, &mut question, true).is_ok_and(|received| received.len > 0) {
        let mut answer = vec![b'!'];
        while answer.len() + 8 <= MOST * 8
            && let Some(arrived) = signal::next(signals)
        {
            answer.extend(arrived.signal.to_le_bytes());
            answer.extend(arrived.sender.to_le_bytes());
        }
        let _ = channel::send(front.as_fd(), &answer, None);
    }
    process::exit_now(0)
}

fn decode(answer: &[u8]) -> Vec<Sent> {
    let number = |bytes: &[u8]| bytes.try_into().map(i32::from_le_bytes).unwrap_or(0);
    answer
        .chunks_exact(8)
        .map(|sent| (number(&sent[..4]), number(&sent[4..])))
        .collect()
}
