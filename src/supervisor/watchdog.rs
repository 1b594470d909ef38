//! The watchdog: finds a worker that hangs in a guest's memory, at no cost while none does.
//!
//! A timer ticks while there is work. The worker notes in the journal what it serves, and starts
//! the timer only if it does not tick; the keeper looks at each tick whether that is still the
//! same, and stops the timer when there is nothing.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::journal::Journal;

/// Seconds between two looks.
const TICK: u32 = 1;

/// How many ticks one notification may last before the worker counts as hung. Guests can make a
/// look at their memory last for ever (FUSE, NFS).
pub(super) const PATIENCE: u32 = 2;

/// The timer that both sides hold.
pub(super) struct Watchdog {
    pub(super) timer: OwnedFd,
}

impl Watchdog {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { timer: timer()? })
    }

    /// The same timer by a descriptor of its own.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            timer: self.timer.try_clone()?,
        })
    }

    /// The worker's side: it begins to serve notification `id`.
    pub(super) fn begin(&self, journal: &Journal, id: u64) {
        if !journal.begin(id) {
            self.tick_every(TICK);
        }
    }

    /// The keeper's side: takes note of a tick, if there was one.
    pub(super) fn has_ticked(&self) -> bool {
        let mut ticks = [0; 8];
        rustix::io::read(&self.timer, &mut ticks).is_ok()
    }

    /// Lets the timer stand until the worker starts it again.
    fn rest(&self, journal: &Journal) {
        self.tick_every(0);
        journal.note_rest();
        // The worker may have begun meanwhile and thought that the timer ticks.
        if journal.serving() != 0 || journal.opens.any() {
            self.tick_every(TICK);
        }
    }

    fn tick_every(&self, seconds: u32) {
        set(&self.timer, seconds, seconds);
    }
}

/// A timer that stands.
pub(super) fn timer() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Makes a timer go off once, in `seconds`; 0 stops it.
pub(super) fn go_off_in(timer: &OwnedFd, seconds: u32) {
    set(timer, seconds, 0);
}

fn set(timer: &OwnedFd, first: u32, interval: u32) {
    let of = |seconds: u32| Timespec {
        tv_sec: seconds.into(),
        tv_nsec: 0,
    };
    let value = Itimerspec {
        it_interval: of(interval),
        it_value: of(first),
    };
    let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &value);
}

/// What the keeper saw at the last ticks.
#[derive(Default)]
pub(super) struct Patience {
    seen: u64,
    ticks: u32,
}

impl Patience {
    /// Looks what the worker does; true if it has done the same for too long.
    pub(super) fn is_over(&mut self, watchdog: &Watchdog, journal: &Journal) -> bool {
        let serving = journal.serving();
        // What opens a file may hang too, and then its process's death does not show.
        if serving == 0 && !journal.opens.any() {
            watchdog.rest(journal);
        }
        if serving == 0 || serving != self.seen {
            self.seen = serving;
            self.ticks = 0;
            return false;
        }
        self.ticks += 1;
        let is_over = self.ticks >= PATIENCE;
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}
