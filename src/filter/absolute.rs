//! Calls with an absolute time of a shifted clock: waits and timers.
//!
//! What has been converted carries the call's cookie in an argument that the call does not use, in the
//! high half of the register. The low half begins with the generation of the offset (`page::Page`),
//! which a filter does not know, and ends with the end of the time's address: a handler that interrupts
//! the call finds the cookie in its register, and a call that leaves it there has its time elsewhere.
//! Calls with a relative time, or with none, are left alone.

use super::bpf::Program;
use super::table::{ABSTIME, BY_REALTIME, FUTEX_CLOCK_REALTIME, FUTEX_FLAGS, FUTEX_TIME};
use super::table::{FUTEX_WAITS, TIMERS};
use super::{Rules, Shifted};
use crate::arch::nr;
use crate::page::{ADDRESS_BITS, FUTEX_WAIT_COOKIE, WAIT_COOKIE};

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
        for (number, time) in BY_REALTIME {
            p.when_eq(number, |p| {
                p.allow_if_null(time);
                allow_converted(p, number, 5, time);
                p.notify();
            });
        }
    }
    // Their clocks do not show.
    for (number, time) in TIMERS {
        p.when_eq(number, |p| {
            p.load_arg_low(1);
            p.when_clear(ABSTIME, Program::allow);
            allow_converted(p, number, 5, time);
            p.notify();
        });
    }
}

fn futex(p: &mut Program, shifted: &Shifted) {
    // Most futex calls are no waits: they are told by this one comparison.
    p.load_arg_low(1);
    p.and(!FUTEX_FLAGS);
    for wait in FUTEX_WAITS {
        p.when_eq(wait.command, |p| {
            p.allow_if_null(FUTEX_TIME);
            allow_converted(p, nr::FUTEX, wait.spare, FUTEX_TIME);
            if wait.has_choice {
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
    for clock in shifted.waited() {
        p.when_eq(clock, Program::notify);
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
