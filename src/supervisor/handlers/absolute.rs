//! Calls with an absolute time: clock_nanosleep(2), futex(2) and its kin, mq_timedsend(3),
//! timer_settime(2), timerfd_settime(2).
//!
//! None is answered here: the thread itself makes the call, with the time converted in its gate
//! (`src/vdso`). Which clock a call waits by is worked out here as in the gate and in the filter.

use crate::arch::{X32_BIT, nr};
use crate::filter::FIRST_UNKNOWN;
use crate::page::{CALL, OFFSET_INDEX, SHIFTED};
use crate::sys::errno::{ERESTARTNOHAND, ERESTARTSYS};
use crate::sys::futex;

/// What a notified number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A wait; the word that the gate is told (`page::CALL`).
    Wait(u16),
    /// timer_settime(2) of this timer, whose clock does not show.
    Timer(i32),
    /// timerfd_settime(2) of this descriptor.
    Timerfd(i32),
    /// Nothing the kernel knows: perhaps a call from a site that is being patched.
    Unknown,
}

/// What a native call is, if it takes an absolute time.
pub(super) fn kind(number: u32, args: &[u64; 6]) -> Option<Kind> {
    let low = |n: usize| u32::try_from(args[n] & 0xffff_ffff).unwrap_or(0);
    let id = |n: usize| low(n).cast_signed();
    let wait = |clock: u32, bits: u16| Some(Kind::Wait(bits | index(clock)?));
    match number {
        nr::CLOCK_NANOSLEEP if low(1) & 1 == 1 => wait(low(0), CALL.in_rdx | CALL.cookie_r9),
        nr::FUTEX if args[3] != 0 => {
            let clock = match futex::operation(args) & futex::CLOCK_REALTIME {
                0 => libc::CLOCK_MONOTONIC,
                _ => libc::CLOCK_REALTIME,
            };
            let (clock, cookie) = match futex::command(args) {
                futex::LOCK_PI => (libc::CLOCK_REALTIME, CALL.cookie_r8),
                futex::WAIT_BITSET | futex::LOCK_PI2 => (clock, CALL.cookie_r8),
                futex::WAIT_REQUEUE_PI => (clock, CALL.cookie_r9),
                _ => return None,
            };
            wait(clock.cast_unsigned(), CALL.in_r10 | cookie)
        }
        nr::FUTEX_WAITV if args[3] != 0 => wait(low(4), CALL.in_r10 | CALL.cookie_r9),
        nr::FUTEX_WAIT if args[4] != 0 => wait(low(5), CALL.in_r8 | CALL.cookie_r9_high),
        nr::MQ_TIMEDSEND | nr::MQ_TIMEDRECEIVE if args[4] != 0 => {
            wait(0, CALL.in_r8 | CALL.cookie_r9)
        }
        nr::TIMER_SETTIME if low(1) & 1 == 1 => Some(Kind::Timer(id(0))),
        nr::TIMERFD_SETTIME if low(1) & 1 == 1 => Some(Kind::Timerfd(id(0))),
        number if number >= X32_BIT + FIRST_UNKNOWN => Some(Kind::Unknown),
        number if (FIRST_UNKNOWN..X32_BIT).contains(&number) => Some(Kind::Unknown),
        _ => None,
    }
}

/// The word that the gate is told of a call, if that is a wait.
pub(crate) fn wait_of(number: u32, args: &[u64; 6]) -> Option<u16> {
    match kind(number, args) {
        Some(Kind::Wait(call)) => Some(call),
        _ => None,
    }
}

/// With which error of the kernel's own a signal ends a wait; `None`: no handler does.
pub(super) fn interrupted(number: u32, args: &[u64; 6]) -> Option<i32> {
    match number {
        // `kernel/time/hrtimer.c: hrtimer_nanosleep`.
        nr::CLOCK_NANOSLEEP => Some(ERESTARTNOHAND),
        // `kernel/futex/waitwake.c: futex_wait`: with a time the kernel goes on by what it knows itself
        // (`ERESTART_RESTARTBLOCK`), which comes to the same.
        nr::FUTEX if futex::command(args) == futex::WAIT_BITSET => Some(ERESTARTNOHAND),
        // `kernel/futex/pi.c: futex_lock_pi` and `kernel/futex/requeue.c: futex_wait_requeue_pi`:
        // `ERESTARTNOINTR`.
        nr::FUTEX => None,
        // `kernel/futex/waitwake.c: futex_wait_multiple` and `__futex_wait`, `ipc/mqueue.c: wq_sleep`.
        _ => Some(ERESTARTSYS),
    }
}

/// What the gate is told of a timer's or timerfd's setting, by its clock.
pub(super) fn setting(clock: i32) -> Option<u16> {
    Some(CALL.in_rdx | CALL.cookie_r9 | CALL.itimerspec | index(clock.cast_unsigned())?)
}

/// The bits that name a clock's offset.
fn index(clock: u32) -> Option<u16> {
    let is_shifted = clock < 32 && SHIFTED >> clock & 1 == 1;
    is_shifted.then(|| u16::try_from(OFFSET_INDEX >> (2 * clock) & 3).unwrap_or(0) << 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(number: u32, args: [u64; 6]) -> Option<u16> {
        match kind(number, &args) {
            Some(Kind::Wait(call)) => Some(call),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    #[test]
    fn a_wait_is_told_by_its_flag_its_clock_and_its_time() {
        let realtime = CALL.in_rdx | CALL.cookie_r9;
        assert_eq!(
            wait(nr::CLOCK_NANOSLEEP, [0, 1, 8, 0, 0, 0]),
            Some(realtime)
        );
        assert_eq!(wait(nr::CLOCK_NANOSLEEP, [0, 0, 8, 0, 0, 0]), None);
        let boottime = realtime | 3 << 14;
        assert_eq!(
            wait(nr::CLOCK_NANOSLEEP, [7, 1, 8, 0, 0, 0]),
            Some(boottime)
        );
        assert_eq!(wait(nr::CLOCK_NANOSLEEP, [2, 1, 8, 0, 0, 0]), None);
        assert_eq!(
            wait(nr::CLOCK_NANOSLEEP, [u64::MAX - 5, 1, 8, 0, 0, 0]),
            None
        );
        assert_eq!(wait(nr::MQ_TIMEDSEND, [3, 8, 1, 0, 0, 0]), None);
    }

    #[test]
    fn a_futex_waits_by_realtime_if_a_bit_says_so_and_lock_pi_always() {
        let call = |op: u64, time: u64| wait(nr::FUTEX, [4, op, 0, time, 0, 0]);
        let (r8, r9) = (CALL.in_r10 | CALL.cookie_r8, CALL.in_r10 | CALL.cookie_r9);
        assert_eq!(call(9 | 128 | 256, 8), Some(r8));
        assert_eq!(call(9, 8), Some(r8 | CALL.monotonic));
        assert_eq!(call(6 | 128, 8), Some(r8));
        assert_eq!(call(11, 8), Some(r9 | CALL.monotonic));
        assert_eq!(call(13 | 256, 8), Some(r8));
        for (op, ends) in [(9, Some(ERESTARTNOHAND)), (6, None), (11, None), (13, None)] {
            assert_eq!(interrupted(nr::FUTEX, &[4, op, 0, 8, 0, 0]), ends, "{op}");
        }
        for (op, time) in [(0, 8), (9, 0), (9 | 512, 8), (1, 8), (3, 8), (5, 8)] {
            assert_eq!(call(op, time), None, "{op}");
        }
    }
}
