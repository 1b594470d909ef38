//! Calls with an absolute time of a shifted clock: waits and timers.
//!
//! What has been converted carries the call's cookie in an argument that the call does not use, in the
//! high half of the register. The low half begins with the generation of the offset (`page::Page`),
//! which a filter does not know, and ends with the end of the time's address: a handler that interrupts
//! the call finds the cookie in its register, and a call that leaves it there has its time elsewhere.
//! Calls with a relative time, or with none, are left alone.

use super::bpf::Program;
use super::{Rules, Shifted};
use crate::arch::nr;
use crate::page::{ADDRESS_BITS, FUTEX_WAIT_COOKIE, WAIT_COOKIE};

/// Commands of futex(2), without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FUTEX_WAIT_BITSET: u32 = 9;
const FUTEX_WAIT_REQUEUE_PI: u32 = 11;
const FUTEX_LOCK_PI: u32 = 6;
const FUTEX_LOCK_PI2: u32 = 13;
const FUTEX_CLOCK_REALTIME: u32 = 256;
const FUTEX_FLAGS: u32 = 128 | FUTEX_CLOCK_REALTIME;

/// TIMER_ABSTIME and TFD_TIMER_ABSTIME.
const ABSTIME: u32 = 1;

/// The rules, each ending in a verdict for its number.
pub(super) fn rules(p: &mut Program, rules: Rules) {
    let Rules { shifted, .. } = rules;
    p.when_eq(nr::CLOCK_NANOSLEEP, |p| {
        p.load_arg_low(1);
        p.when_clear(ABSTIME, Program::allow);
        allow_converted(p, nr::CLOCK_NANOSLEEP, 5, 2);
        notify_clock(p, 0, &shifted);
    });
    p.when_eq(nr::FUTEX, |p| futex(p, &shifted));
    p.when_eq(nr::FUTEX_WAITV, |p| {
        p.allow_if_null(3);
        allow_converted(p, nr::FUTEX_WAITV, 5, 3);
        notify_clock(p, 4, &shifted);
    });
    p.when_eq(nr::FUTEX_WAIT, |p| {
        p.allow_if_null(4);
        p.load_arg_high(5);
        p.and(0xffff_0000);
        p.when_eq(FUTEX_WAIT_COOKIE, Program::allow);
        notify_clock(p, 5, &shifted);
    });
    if shifted.realtime {
        for number in [nr::MQ_TIMEDSEND, nr::MQ_TIMEDRECEIVE] {
            p.when_eq(number, |p| {
                p.allow_if_null(4);
                allow_converted(p, number, 5, 4);
                p.notify();
            });
        }
    }
    // Their clocks do not show.
    for number in [nr::TIMER_SETTIME, nr::TIMERFD_SETTIME] {
        p.when_eq(number, |p| {
            p.load_arg_low(1);
            p.when_clear(ABSTIME, Program::allow);
            allow_converted(p, number, 5, 2);
            p.notify();
        });
    }
}

fn futex(p: &mut Program, shifted: &Shifted) {
    // Most futex calls are no waits: they are told by this one comparison.
    p.load_arg_low(1);
    p.and(!FUTEX_FLAGS);
    for (command, spare) in [
        (FUTEX_WAIT_BITSET, 4),
        (FUTEX_WAIT_REQUEUE_PI, 5),
        (FUTEX_LOCK_PI, 4),
        (FUTEX_LOCK_PI2, 4),
    ] {
        p.when_eq(command, |p| {
            p.allow_if_null(3);
            allow_converted(p, nr::FUTEX, spare, 3);
            if command != FUTEX_LOCK_PI {
                p.load_arg_low(1);
                let verdict = |is_shifted: bool| match is_shifted {
                    true => Program::notify,
                    false => Program::allow,
                };
                p.when_clear(FUTEX_CLOCK_REALTIME, verdict(shifted.monotonic));
                verdict(shifted.realtime)(p);
            } else if shifted.realtime {
                p.notify();
            } else {
                p.allow();
            }
        });
    }
    p.allow();
}

/// Ends in "notify" if argument `n` is a clock that is shifted, else in "allow".
fn notify_clock(p: &mut Program, n: u32, shifted: &Shifted) {
    p.load_arg_low(n);
    for (clock, is_shifted) in [
        (libc::CLOCK_REALTIME, shifted.realtime),
        (libc::CLOCK_REALTIME_ALARM, shifted.realtime),
        (libc::CLOCK_TAI, shifted.realtime),
        (libc::CLOCK_MONOTONIC, shifted.monotonic),
        (libc::CLOCK_BOOTTIME, shifted.boottime),
        (libc::CLOCK_BOOTTIME_ALARM, shifted.boottime),
    ] {
        if is_shifted {
            p.when_eq(clock.cast_unsigned(), Program::notify);
        }
    }
    p.allow();
}

/// Ends in "allow" if argument `n` is the cookie of this very call, whose time lies where argument
/// `time` says.
fn allow_converted(p: &mut Program, number: u32, n: u32, time: u32) {
    p.load_arg_high(n);
    p.when_eq(WAIT_COOKIE + number, |p| {
        p.allow_if_same(n, time, ADDRESS_BITS)
    });
}
