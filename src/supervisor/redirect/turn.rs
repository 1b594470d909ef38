//! Whose turn it is to receive, while who receives is on a visit.
//!
//! A visit costs fewer changes between threads if the thread that has received the notification
//! makes it. But it may last: the tracee is frozen, gets no CPU, or holds a mutex of the
//! kernel's that seizing takes. So another thread stands by and takes the turn over from a visit
//! that lasts. It looks by a timer, which ticks only while there are visits, and whose start is all that
//! a visit pays for it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Nanoseconds between two looks: nobody else's call waits longer than two of them for a visit. A timer
/// that goes off later than the scheduler's costs less to start.
const TICK: i64 = 5_000_000;

/// A visit that takes longer has lasted.
const LONG: Duration = Duration::from_micros(500);

/// For so long nobody goes on a visit after one that has lasted, and after one that was taken over:
/// threads make them that nobody waits for. So visits keep others waiting a twentieth of the time at most.
const REST: Duration = Duration::from_millis(100);
const LONG_REST: Duration = Duration::from_secs(1);

/// The turn to receive, which one thread has at a time.
pub(in super::super) struct Turn {
    /// Odd while who has the turn is on a visit; each visit has its own number.
    visit: AtomicU64,
    timer: OwnedFd,
    ticking: AtomicBool,
    /// Whether the one on a visit will not come back.
    given_up: AtomicBool,
    /// Whether a thread stands by.
    watched: AtomicBool,
    started: Instant,
    /// No visits before this many milliseconds after the start.
    rests_until: AtomicU64,
}

impl Turn {
    pub(in super::super) fn new() -> io::Result<Self> {
        Ok(Self {
            visit: AtomicU64::new(0),
            timer: timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?,
            ticking: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            started: Instant::now(),
            rests_until: AtomicU64::new(0),
        })
    }

    /// Whether a thread stands by.
    pub(in super::super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Whether who has the turn may go on a visit.
    pub(in super::super) fn may_leave(&self) -> bool {
        let rests_until = self.rests_until.load(Ordering::Relaxed);
        self.is_watched() && (rests_until == 0 || self.millis() >= rests_until)
    }

    /// Who has the turn goes on a visit, whose number this is.
    ///
    /// In one order with the look of who stands by: either that sees the visit, or this sees that the
    /// timer rests.
    pub(in super::super) fn leave(&self) -> u64 {
        let visit = self.visit.load(Ordering::Relaxed) + 1;
        self.visit.store(visit, Ordering::SeqCst);
        if !self.ticking.load(Ordering::SeqCst) && !self.ticking.swap(true, Ordering::SeqCst) {
            self.tick_from(TICK);
        }
        visit
    }

    /// The visit that began `since` is over; whether who made it still has the turn.
    pub(in super::super) fn come_back(&self, visit: u64, since: Instant) -> bool {
        let has_turn = self.change(visit);
        if has_turn && since.elapsed() > LONG {
            self.pause(REST);
        }
        has_turn
    }

    /// Who is on this visit waits until another has taken the turn, and never has it again.
    pub(in super::super) fn give_up(&self, visit: u64) {
        self.given_up.store(true, Ordering::SeqCst);
        self.tick_from(1);
        while self.visit.load(Ordering::SeqCst) == visit {
            std::thread::sleep(Duration::from_micros(50));
        }
        self.given_up.store(false, Ordering::SeqCst);
    }

    /// A thread is about to [stand by](Self::stand_by).
    pub(in super::super) fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }

    /// Waits for a visit that lasts; then the turn is the caller's.
    pub(in super::super) fn stand_by(&self) {
        let mut seen = 0;
        loop {
            // A failure is a look too many.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
            let visit = self.visit.load(Ordering::SeqCst);
            if visit.is_multiple_of(2) {
                self.rest();
                continue;
            }
            let given_up = self.given_up.load(Ordering::SeqCst);
            if (visit == seen || given_up) && self.change(visit) {
                break;
            }
            seen = visit;
        }
        self.set_watched(false);
        self.rest();
        // One that was given up has not lasted.
        if !self.given_up.load(Ordering::SeqCst) {
            self.pause(LONG_REST);
        }
    }

    /// Ends a visit, unless it has ended; what was done before it belongs to who did this.
    fn change(&self, visit: u64) -> bool {
        let order = (Ordering::SeqCst, Ordering::SeqCst);
        self.visit
            .compare_exchange(visit, visit + 1, order.0, order.1)
            .is_ok()
    }

    /// No visits for a while.
    fn pause(&self, time: Duration) {
        let until = self.millis() + u64::try_from(time.as_millis()).unwrap_or(0);
        self.rests_until.store(until, Ordering::Relaxed);
    }

    /// Lets the timer stand until the next visit.
    fn rest(&self) {
        self.tick_from(0);
        self.ticking.store(false, Ordering::SeqCst);
        // One may have begun meanwhile that took it for ticking.
        if !self.visit.load(Ordering::SeqCst).is_multiple_of(2) {
            self.tick_from(TICK);
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Has the timer tick, first in so many nanoseconds; 0 stops it.
    fn tick_from(&self, first: i64) {
        let of = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        let value = Itimerspec {
            it_interval: of(if first == 0 { 0 } else { TICK }),
            it_value: of(first),
        };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> Turn {
        let turn = Turn::new().unwrap();
        assert!(!turn.may_leave());
        turn.set_watched(true);
        assert!(turn.may_leave());
        turn
    }

    #[test]
    fn who_makes_a_short_visit_keeps_the_turn() {
        let turn = watched();
        for _ in 0..3 {
            let visit = turn.leave();
            assert!(turn.come_back(visit, Instant::now() + LONG));
            assert!(turn.may_leave());
        }
    }

    #[test]
    fn after_a_long_visit_there_are_none_for_a_while() {
        let turn = watched();
        let (visit, since) = (turn.leave(), Instant::now());
        std::thread::sleep(2 * LONG);
        assert!(turn.come_back(visit, since));
        assert!(!turn.may_leave());
    }

    #[test]
    fn a_visit_that_lasts_passes_the_turn_on() {
        let turn = watched();
        let (visit, since) = (turn.leave(), Instant::now());
        turn.stand_by();
        assert!(!turn.come_back(visit, since));
        assert!(!turn.is_watched());
        turn.set_watched(true);
        assert!(!turn.may_leave());
    }

    #[test]
    fn a_timer_that_rests_is_started_by_the_next_visit() {
        let turn = watched();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| turn.stand_by());
            let visit = turn.leave();
            // A look or two that find nothing.
            let had_turn = turn.come_back(visit, Instant::now() + LONG);
            while had_turn && turn.ticking.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            turn.leave();
            other.join().unwrap();
        });
    }

    #[test]
    fn a_visit_that_is_given_up_passes_the_turn_on_at_once() {
        let turn = watched();
        std::thread::scope(|scope| {
            scope.spawn(|| turn.stand_by());
            let visit = turn.leave();
            turn.give_up(visit);
            assert!(!turn.come_back(visit, Instant::now()));
        });
    }
}
