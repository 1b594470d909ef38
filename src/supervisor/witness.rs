//! The witness: tells whether a signal was sent to the front alone or to its whole process group.
//!
//! The command mostly is in the front's group too, so it has what the group was sent; only what came to
//! the front alone is to be passed on. The signal itself does not say which it was. So the front
//! keeps a child in its group that does nothing but receive: what the witness got as well was
//! sent to the group (or to everybody, as by `kill -1`).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::sys::channel;
use crate::sys::process::{self, Forked};
use crate::sys::signal::{self, Arrived, Set};

/// A child that receives what the group receives, and what it has told.
pub(super) struct Witness {
    pid: i32,
    channel: OwnedFd,
    /// What the group was sent, as far as the front may still come upon the same.
    told: Vec<Told>,
    /// The signals of which the witness may have one that was one with another at the front.
    unsettled: Set,
    /// Signals that are counted one by one, which were taken after the witness was asked last.
    queued: Vec<Arrived>,
}

/// A signal that the group was sent.
struct Told {
    signal: i32,
    sender: i32,
    /// Whether the witness has looked since the front took such a signal last. If not, it may stand for more
    /// than one that was sent, since of most signals one waits at most.
    is_first: bool,
}

/// As many as one answer tells of.
const MOST: usize = 64;

/// How often is looked for more before what has come is passed on.
const ROUNDS: usize = 64;

impl Witness {
    /// Starts one; every signal must be blocked.
    pub(super) fn start() -> Option<Self> {
        let (ours, theirs) = channel::pair().ok()?;
        match process::fork().ok()? {
            Forked::Parent(pid) => Some(Self {
                pid,
                channel: ours,
                told: Vec::new(),
                // It may have been there later than the command, or earlier.
                unsettled: Set::ALL,
                queued: Vec::new(),
            }),
            Forked::Child => {
                drop(ours);
                watch(&theirs)
            }
        }
    }

    /// Reads the signals that have come: those of the front alone, and of the group.
    ///
    /// A signal stays with the front until the witness has been asked for it, and a witness that is asked keeps
    /// none. So all that are sent meanwhile are one with it at the front, and the first one that comes later is the
    /// first one at the witness too, and has the same sender there. The other way round a second signal would be
    /// one with the first at a witness that comes late, and would seem to be the front's alone.
    ///
    /// DIFFERENCE: what the front alone is sent while the group's waits there, or in the moment in which the witness
    /// may still have one of the group's, is one with that, though the command may have seen the group's before.
    pub(super) fn sort(&mut self) -> Sorted {
        let mut sorted = Sorted::default();
        for _ in 0..ROUNDS {
            let pending = signal::pending();
            // What has not come to the front by now was one with what it has taken.
            let queued = self.queued.iter();
            let awaited = queued.fold(pending, |set, it| set.with(Set::of(it.signal)));
            self.told.retain(|told| awaited.has(told.signal));
            if pending.with(self.unsettled) == Set::NONE {
                break;
            }
            // A signal reaches a group's members one after the other. With a barrier on both sides,
            // whatever one of us two has by now, the other has too.
            process::wait_for_senders();
            self.ask(with_those_taken_back(pending.with(self.unsettled)));
            process::wait_for_senders();
            self.unsettled = Set::NONE;
            // They may have come after the witness had been asked before.
            for arrived in std::mem::take(&mut self.queued) {
                self.judge(arrived, &mut sorted);
            }
            let mut wanted = pending;
            while self.queued.len() < MOST
                && let Some(arrived) = signal::take(wanted)
            {
                self.unsettled = self.unsettled.with(Set::of(arrived.signal));
                if arrived.is_queued() {
                    self.queued.push(arrived);
                } else {
                    // The next one of this kind is another, of which the witness was not asked yet.
                    wanted = wanted.without(arrived.signal);
                    self.judge(arrived, &mut sorted);
                }
            }
        }
        sorted
    }

    /// Whether it is to be asked once more, though nothing comes.
    pub(super) fn is_behind(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Puts a signal where it belongs, and forgets what was told of it.
    fn judge(&mut self, arrived: Arrived, sorted: &mut Sorted) {
        let alike = |told: &Told| told.signal == arrived.signal;
        let same = |told: &Told| alike(told) && told.sender == arrived.sender;
        let found = self.told.iter().position(same);
        let is_of_group = found.is_some()
            || !arrived.is_queued() && self.told.iter().any(|told| alike(told) && !told.is_first);
        if !arrived.is_queued() {
            self.told.retain(|told| !alike(told));
        } else if let Some(at) = found {
            self.told.remove(at);
        }
        match (arrived.by_kernel, is_of_group) {
            (true, _) => sorted.by_kernel.push(arrived),
            (false, true) => sorted.to_group.push(arrived),
            (false, false) => sorted.to_front.push(arrived),
        }
    }

    /// Hears which signals of `set` the witness has got since it was last asked; none if it is dead.
    fn ask(&mut self, set: Set) {
        for _ in 0..ROUNDS {
            let mut answer = [0; 1 + MOST * 8];
            if channel::send(self.channel.as_fd(), &set.0.to_le_bytes(), None).is_err() {
                return;
            }
            self.wait_for_answer(set);
            let told = match channel::receive(&self.channel, &mut answer, false) {
                // The first byte says that an answer came, even if it is empty.
                Ok(received) if received.len > 0 => decode(&answer[1..received.len]),
                _ => return,
            };
            let unsettled = self.unsettled;
            let count = told.len();
            // Its own SIGCONT is from here (`wait_for_answer`), and was sent to nobody else.
            let of_group = told.into_iter().filter(|(_, sender)| *sender != own_pid());
            self.told.extend(of_group.map(|(signal, sender)| Told {
                signal,
                sender,
                is_first: !unsettled.has(signal),
            }));
            if count < MOST {
                return;
            }
        }
    }

    fn wait_for_answer(&mut self, asked: Set) {
        let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
        let some_time = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        while let Ok(0) = poll(&mut fds, Some(&some_time)) {
            // Stopped with the group, it seems, while we alone were continued. It takes back the signals that
            // stop (`kernel/signal.c: prepare_signal`), so that they cannot be told of any more.
            process::kill(self.pid, libc::SIGCONT);
            for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
                if asked.has(signal) {
                    self.told.push(Told {
                        signal,
                        sender: 0,
                        is_first: false,
                    });
                }
            }
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

/// The witness's life: until the front is gone.
fn watch(front: &OwnedFd) -> ! {
    process::close_all_but(0, &[front.as_raw_fd()]);
    // Whoever signals all processes named `elsewhen` does not mean the group.
    let _ = rustix::thread::set_name(c"group-witness");
    let mut question = [0; 8];
    while channel::receive(front, &mut question, true).is_ok_and(|received| received.len == 8) {
        let asked = Set(u64::from_le_bytes(question));
        let mut answer = vec![b'!'];
        while answer.len() < MOST * 8
            && let Some(arrived) = signal::take(asked)
        {
            answer.extend(arrived.signal.to_le_bytes());
            answer.extend(arrived.sender.to_le_bytes());
        }
        let _ = channel::send(front.as_fd(), &answer, None);
    }
    process::exit_now(0)
}

fn decode(answer: &[u8]) -> Vec<(i32, i32)> {
    let number = |bytes: &[u8]| bytes.try_into().map(i32::from_le_bytes).unwrap_or(0);
    answer
        .chunks_exact(8)
        .map(|sent| (number(&sent[..4]), number(&sent[4..])))
        .collect()
}

/// The signals that stop take back a SIGCONT that waits, and it takes back them (`kernel/signal.c: prepare_signal`).
/// Where that has been so here the witness may still have one, which is not to be taken for a later one.
fn with_those_taken_back(asked: Set) -> Set {
    let signals = [libc::SIGCONT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    match signals.into_iter().any(|signal| asked.has(signal)) {
        true => signals
            .into_iter()
            .fold(asked, |set, signal| set.with(Set::of(signal))),
        false => asked,
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
