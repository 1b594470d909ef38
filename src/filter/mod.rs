//! The seccomp filter: which system calls reach the supervisor.
//!
//! The number is tested first and every unlisted number is allowed without looking at anything
//! else, so that the kernel answers those from its allow bitmap (`kernel/seccomp.c:
//! seccomp_cache_prepare_bitmap`). A call that carries the [`COOKIE`] in its sixth argument comes
//! from an image that adds the offset itself and is let through, or it would be shifted twice.

mod absolute;
mod bpf;
mod opens;
mod shifted;
pub(crate) mod table;

use crate::arch::{ARCH_SET_FS, AUDIT_COMPAT, AUDIT_NATIVE, X32_BIT, compat, nr, x32};
use crate::page::COOKIE;
use bpf::Program;
pub(crate) use shifted::Shifted;
use table::{CLONE_NEWTIME, NEGATIVE, READERS, SETTERS, SETTERS_OF_A_CLOCK};

/// `linux/nsfs.h` and `linux/pidfd.h`.
pub(crate) const NS_GET_USERNS: u32 = 0xb701;
const PIDFD_GET_TIME_NAMESPACE: u32 = 0xff07;
pub(crate) const PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE: u32 = 0xff08;

/// Requests of ioctl(2) that give a descriptor, which no server of a file can.
const ASKS_FOR_NAMESPACE: [u32; 3] = [
    NS_GET_USERNS,
    PIDFD_GET_TIME_NAMESPACE,
    PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE,
];

/// No system call of any kernel has this number or a greater one.
pub(crate) const FIRST_UNKNOWN: u32 = 1024;

/// What a tree's filter is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Also notify `execve`, and refuse `io_uring_setup`.
    pub(crate) strict: bool,
    /// The kernel has x32's calls.
    pub(crate) x32: bool,
    /// The clocks whose times are looked at.
    pub(crate) shifted: Shifted,
    /// Programs make time namespaces by the supervisor, and not by the kernel: MONOTONIC and BOOTTIME
    /// are the kernel's otherwise, and not even a read of them is looked at.
    pub(crate) timens: bool,
    /// Whether files are looked at that are opened: those under `/proc` that show a clock.
    pub(crate) views: bool,
}

/// The filter of a tree.
pub(crate) fn program(rules: Rules) -> Vec<libc::sock_filter> {
    let mut p = Program::new();
    p.load_arch();
    p.when_eq(AUDIT_COMPAT, |p| compat_rules(p, rules));
    p.when_ne(AUDIT_NATIVE, Program::allow);
    p.load_nr();
    // What a tracer makes of a call that is not to be made.
    p.when_eq(u32::MAX, Program::allow);
    // A call from a site that is being patched.
    p.when_ge(X32_BIT + FIRST_UNKNOWN, Program::notify);
    p.when_ge(X32_BIT, |p| x32_rules(p, rules));
    p.when_ge(FIRST_UNKNOWN, Program::notify);
    p.when_eq(nr::BRK, |p| p.notify_if_arg64(0, 0));
    p.when_eq(nr::ARCH_PRCTL, |p| p.notify_if_arg32(0, ARCH_SET_FS));
    p.when_eq(nr::CLOCK_GETTIME, |p| {
        p.allow_if_arg64(5, COOKIE);
        notify_if_shifted(p, rules);
    });
    for number in READERS {
        p.when_eq(number, |p| {
            p.allow_if_arg64(5, COOKIE);
            p.notify();
        });
    }
    for number in SETTERS_OF_A_CLOCK {
        p.when_eq(number, |p| {
            p.load_arg_low(0);
            p.when_ge(NEGATIVE, Program::allow);
            p.notify();
        });
    }
    for number in SETTERS {
        p.when_eq(number, Program::notify);
    }
    absolute::rules(&mut p, rules);
    uptime_rule(&mut p, rules, nr::SYSINFO);
    if rules.timens {
        timens_rules(&mut p);
    }
    if rules.views {
        opens::rules(&mut p);
        if rules.timens {
            opens::rules_for_names(&mut p);
        }
    }
    if rules.strict {
        for number in [nr::EXECVE, nr::EXECVEAT] {
            p.when_eq(number, Program::notify);
        }
        refuse_io_uring(&mut p, nr::IO_URING_SETUP);
    }
    p.allow();
    p.into_instructions()
}

/// A read of a clock: notified if it is one that a namespace may shift.
fn notify_if_shifted(p: &mut Program, rules: Rules) {
    p.load_arg_low(0);
    for clock in rules.shifted.read() {
        p.when_eq(clock, Program::notify);
    }
    p.allow();
}

/// The calls that make and enter time namespaces, native ones only.
///
/// DIFFERENCE: clone3(2) with `CLONE_NEWTIME` is the kernel's, as its flags lie in memory.
fn timens_rules(p: &mut Program) {
    p.when_eq(nr::UNSHARE, |p| {
        p.load_arg_low(0);
        p.when_clear(CLONE_NEWTIME, Program::allow);
        p.notify();
    });
    p.when_eq(nr::IOCTL, |p| {
        p.load_arg_low(1);
        for request in ASKS_FOR_NAMESPACE {
            p.when_eq(request, Program::notify);
        }
        p.allow();
    });
    p.when_eq(nr::SETNS, |p| {
        p.load_arg_low(1);
        p.when_eq(0, Program::notify);
        p.when_clear(CLONE_NEWTIME, Program::allow);
        p.notify();
    });
}

/// sysinfo(2) under one of its numbers: its uptime is BOOTTIME.
fn uptime_rule(p: &mut Program, rules: Rules, number: u32) {
    if rules.shifted.boottime {
        p.when_eq(number, Program::notify);
    }
}

/// A ring takes absolute times without a system call that could be looked at, so a strict tree has
/// none, as with `kernel.io_uring_disabled=2` (`io_uring/io_uring.c: io_uring_allowed`).
///
/// DIFFERENCE: in other trees they are times of the host's clocks.
fn refuse_io_uring(p: &mut Program, number: u32) {
    p.when_eq(number, |p| p.refuse(libc::EPERM));
}

/// x32, where the kernel has it: the same calls under other numbers.
///
/// Without it the kernel is to say `ENOSYS` by itself.
fn x32_rules(p: &mut Program, rules: Rules) {
    if rules.x32 {
        p.when_eq(X32_BIT | nr::BRK, |p| p.notify_if_arg64(0, 0));
        p.when_eq(X32_BIT | nr::CLOCK_GETTIME, |p| notify_if_shifted(p, rules));
        for number in [
            nr::GETTIMEOFDAY,
            nr::TIME,
            nr::CLOCK_SETTIME,
            nr::SETTIMEOFDAY,
            nr::ADJTIMEX,
            nr::CLOCK_ADJTIME,
        ] {
            p.when_eq(X32_BIT | number, Program::notify);
        }
        uptime_rule(p, rules, X32_BIT | nr::SYSINFO);
        if rules.strict {
            for number in [x32::EXECVE, x32::EXECVEAT] {
                p.when_eq(X32_BIT | number, Program::notify);
            }
            refuse_io_uring(p, X32_BIT | nr::IO_URING_SETUP);
        }
    }
    p.allow();
}

/// i386: 32-bit programs, which may execute 64-bit ones, and `int $0x80` in 64-bit ones.
fn compat_rules(p: &mut Program, rules: Rules) {
    p.load_nr();
    p.when_eq(compat::BRK, |p| p.notify_if_arg32(0, 0));
    for number in [compat::CLOCK_GETTIME, compat::CLOCK_GETTIME64] {
        p.when_eq(number, |p| notify_if_shifted(p, rules));
    }
    for number in [
        compat::SET_THREAD_AREA,
        compat::TIME,
        compat::GETTIMEOFDAY,
        compat::STIME,
        compat::SETTIMEOFDAY,
        compat::ADJTIMEX,
        compat::CLOCK_SETTIME,
        compat::CLOCK_SETTIME64,
        compat::CLOCK_ADJTIME,
        compat::CLOCK_ADJTIME64,
    ] {
        p.when_eq(number, Program::notify);
    }
    uptime_rule(p, rules, compat::SYSINFO);
    if rules.strict {
        for number in [compat::EXECVE, compat::EXECVEAT] {
            p.when_eq(number, Program::notify);
        }
        refuse_io_uring(p, nr::IO_URING_SETUP);
    }
    p.allow();
}

#[cfg(test)]
#[path = "../../tests/harness/bpf.rs"]
mod machine;

#[cfg(test)]
pub(crate) mod tests;
