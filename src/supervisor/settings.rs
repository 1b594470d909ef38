//! What programs have set their timers to, in the journal.
//!
//! The kernel holds the host's time of a timer and forgets the program's own, and whether that was
//! absolute (`fs/proc/base.c: show_timer`). When a clock is changed under a running program, such
//! timers have to be set anew, from the time that the program gave.
//!
//! An entry is a hint: a timer may have been set to a relative time since, deleted, or ended by
//! exec(2), of which nobody tells us. Who uses it asks the kernel what the timer does now.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::namespaces::start_of;

/// Timers that are remembered in all.
const SETTINGS: usize = 4096;

/// Timers that share the places which one of them can have.
const WAYS: usize = 16;

/// The pid of a place that is being written to.
const BUSY: i32 = -1;

/// Which timer of a process is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Of timer_create(2), by its id.
    Id(i32),
    /// Of timerfd_create(2), by the descriptor that it was set by.
    Descriptor(i32),
}

/// A timer and the absolute time that it was set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) pid: i32,
    pub(super) timer: Timer,
    /// `it_interval` and `it_value` as the program gave them.
    pub(super) spec: [i64; 4],
    /// Of the offsets that the time was converted by.
    pub(super) generation: u32,
}

/// All settings.
#[repr(C)]
pub(super) struct Settings {
    /// How many were ever noted.
    noted: AtomicU64,
    /// How many had to go although their process lived.
    lost: AtomicU64,
    places: [Place; SETTINGS],
}

#[repr(C)]
struct Place {
    /// The process, or 0 if the place is free.
    pid: AtomicI32,
    generation: AtomicU32,
    /// The process's start time, since pids are used again.
    started: AtomicU64,
    timer: AtomicU64,
    spec: [AtomicI64; 4],
    /// When it was noted, as the count of notes.
    age: AtomicU64,
}

impl Settings {
    /// Notes what a timer is about to be set to, in place of what it was set to before.
    ///
    /// Any thread of any process may call this.
    pub(super) fn note(&self, proc: BorrowedFd<'_>, setting: &Setting) {
        let Some(started) = start_of(proc, setting.pid) else {
            return;
        };
        // It is not worth waiting for: others take places only for a moment.
        let claimed = (0..WAYS).find_map(|_| self.find(proc, setting, started).claim());
        let Some(place) = claimed else {
            return;
        };
        let age = self.noted.fetch_add(1, Ordering::Relaxed) + 1;
        place
            .generation
            .store(setting.generation, Ordering::Relaxed);
        place.started.store(started, Ordering::Relaxed);
        place.timer.store(setting.timer.pack(), Ordering::Relaxed);
        for (word, value) in place.spec.iter().zip(setting.spec) {
            word.store(value, Ordering::Relaxed);
        }
        place.age.store(age, Ordering::Relaxed);
        // The pid is the commit.
        place.pid.store(setting.pid, Ordering::Release);
    }

    /// The timer's own place, a free one, a dead process's, or the oldest.
    fn find(&self, proc: BorrowedFd<'_>, setting: &Setting, started: u64) -> &Place {
        let timer = setting.timer.pack();
        let first = hash(setting.pid, timer) * WAYS;
        let places = &self.places[first..first + WAYS];
        let is_ours = |place: &Place| {
            place.pid() == setting.pid && place.started.load(Ordering::Relaxed) == started
        };
        let is_same =
            |place: &&Place| is_ours(place) && place.timer.load(Ordering::Relaxed) == timer;
        let is_dead =
            |place: &&Place| place.pid() != BUSY && !is_ours(place) && !place.is_live(proc);
        let found = places.iter().find(is_same);
        let found = found.or_else(|| places.iter().find(|place| place.pid() == 0));
        found
            .or_else(|| places.iter().find(is_dead))
            .unwrap_or_else(|| {
                self.lost.fetch_add(1, Ordering::Relaxed);
                let oldest = places
                    .iter()
                    .filter(|place| place.pid() != BUSY)
                    .min_by_key(|place| place.age.load(Ordering::Relaxed));
                oldest.unwrap_or(&places[0])
            })
    }
}

impl Place {
    fn pid(&self) -> i32 {
        self.pid.load(Ordering::Acquire)
    }

    /// Takes the place, unless somebody else does.
    fn claim(&self) -> Option<&Self> {
        let pid = self.pid();
        let claimed = pid != BUSY
            && self
                .pid
                .compare_exchange(pid, BUSY, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        claimed.then_some(self)
    }

    fn is_live(&self, proc: BorrowedFd<'_>) -> bool {
        start_of(proc, self.pid()) == Some(self.started.load(Ordering::Relaxed))
    }
}

impl Timer {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Timer::Id(id) => (0, id),
            Timer::Descriptor(fd) => (1, fd),
        };
        kind << 32 | u64::from(number.cast_unsigned())
    }
}

fn hash(pid: i32, timer: u64) -> usize {
    let mixed = (u64::from(pid.cast_unsigned()) << 33 ^ timer).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 48).unwrap_or(0) % (SETTINGS / WAYS)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
