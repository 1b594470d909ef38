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
const TICK: i64 = 1;

/// How many ticks one notification may last before the worker counts as hung. Guests can make a
/// look at their memory last for ever (userfaultfd(2), FUSE).
const PATIENCE: u32 = 5;

/// The timer that both sides hold.
pub(super) struct Watchdog {
    pub(super) timer: OwnedFd,
}

impl Watchdog {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer })
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
        if journal.serving() != 0 {
            self.tick_every(TICK);
        }
    }

    fn tick_every(&self, seconds: i64) {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        let value = Itimerspec {
            it_interval: time,
            it_value: time,
        };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value);
    }
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
        if serving == 0 {
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
