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

use crate::arch::{ARCH_SET_FS, AUDIT_COMPAT, AUDIT_NATIVE, X32_BIT, compat, nr, x32};
use crate::page::COOKIE;
use bpf::Program;
pub(crate) use shifted::Shifted;

/// Clocks that a namespace may shift; `clock_gettime` of any other is not looked at.
const SHIFTED_CLOCKS: [i32; 9] = [
    libc::CLOCK_REALTIME,
    libc::CLOCK_REALTIME_COARSE,
    libc::CLOCK_REALTIME_ALARM,
    libc::CLOCK_TAI,
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_MONOTONIC_RAW,
    libc::CLOCK_MONOTONIC_COARSE,
    libc::CLOCK_BOOTTIME,
    libc::CLOCK_BOOTTIME_ALARM,
];

/// How many of these, at the beginning, the kernel's own time namespaces do not shift.
const NOT_KERNELS: usize = 4;

/// `linux/sched.h`.
const CLONE_NEWTIME: u32 = 0x80;

/// Requests of ioctl(2) that give a descriptor, which no server of a file can: `NS_GET_USERNS` of
/// `linux/nsfs.h`, and `PIDFD_GET_TIME_NAMESPACE` and `PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE` of
/// `linux/pidfd.h`.
pub(crate) const ASKS_FOR_NAMESPACE: [u32; 3] = [0xb701, 0xff07, 0xff08];

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
    for number in [nr::GETTIMEOFDAY, nr::TIME] {
        p.when_eq(number, |p| {
            p.allow_if_arg64(5, COOKIE);
            p.notify();
        });
    }
    for number in [nr::CLOCK_SETTIME, nr::CLOCK_ADJTIME] {
        p.when_eq(number, |p| {
            // A negative id is a descriptor of a clock device (clock_getres(2)), not the host's time.
            p.load_arg_low(0);
            p.when_ge(1 << 31, Program::allow);
            p.notify();
        });
    }
    for number in [nr::SETTIMEOFDAY, nr::ADJTIMEX] {
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
    let clocks = match rules.timens {
        true => &SHIFTED_CLOCKS[..],
        false => &SHIFTED_CLOCKS[..NOT_KERNELS],
    };
    p.load_arg_low(0);
    for clock in clocks {
        p.when_eq(clock.cast_unsigned(), Program::notify);
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
mod tests {
    use super::*;
    use crate::page::{EXCHANGE_COOKIE, OPEN_COOKIE, WAIT_COOKIE};

    /// What the filter answers, worked out as the kernel's BPF machine would.
    fn verdict(program: &[libc::sock_filter], arch: u32, nr: u32, args: [u64; 6]) -> u32 {
        let mut data = [0u8; 64];
        data[0..4].copy_from_slice(&nr.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        for (i, arg) in args.iter().enumerate() {
            data[16 + 8 * i..24 + 8 * i].copy_from_slice(&arg.to_le_bytes());
        }
        let (mut accumulator, mut index) = (0u32, 0u32);
        let mut at = 0usize;
        loop {
            let op = program[at];
            at += 1;
            match op.code {
                0x20 => {
                    let k = op.k as usize;
                    accumulator = u32::from_le_bytes(data[k..k + 4].try_into().unwrap());
                }
                0x07 => index = accumulator,
                0x54 => accumulator &= op.k,
                0x15 | 0x1d | 0x35 | 0x45 => {
                    let taken = match op.code {
                        0x15 => accumulator == op.k,
                        0x1d => accumulator == index,
                        0x35 => accumulator >= op.k,
                        _ => accumulator & op.k != 0,
                    };
                    at += usize::from(if taken { op.jt } else { op.jf });
                }
                0x06 => return op.k,
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
    const ALL: Shifted = Shifted {
        realtime: true,
        monotonic: true,
        boottime: true,
    };
    const LAX: Rules = Rules {
        timens: true,
        strict: false,
        x32: true,
        shifted: ALL,
        views: true,
    };
    const STRICT: Rules = Rules {
        timens: true,
        strict: true,
        x32: false,
        shifted: ALL,
        views: true,
    };

    #[test]
    fn only_reads_of_a_shifted_clock_without_the_cookie_are_notified() {
        let p = program(LAX);
        for id in -20i32..40 {
            let arg = u64::from(id.cast_unsigned());
            let expected = if SHIFTED_CLOCKS.contains(&id) {
                NOTIFY
            } else {
                ALLOW
            };
            let call = |args| verdict(&p, AUDIT_NATIVE, nr::CLOCK_GETTIME, args);
            assert_eq!(call([arg, 1, 0, 0, 0, 0]), expected, "{id}");
            assert_eq!(
                call([arg | 7 << 32, 1, 0, 0, 0, 0]),
                expected,
                "{id}, upper half set"
            );
            assert_eq!(
                call([arg, 1, 0, 0, 0, COOKIE]),
                ALLOW,
                "{id} with the cookie"
            );
            assert_eq!(
                call([arg, 1, 0, 0, 0, COOKIE ^ 1 << 40]),
                expected,
                "{id}, wrong cookie"
            );
        }
    }

    #[test]
    fn no_call_with_a_clock_that_the_kernel_keeps_is_notified() {
        let p = program(Rules {
            shifted: Shifted {
                monotonic: false,
                boottime: false,
                ..ALL
            },
            timens: false,
            ..LAX
        });
        let reads = [
            (AUDIT_NATIVE, nr::CLOCK_GETTIME),
            (AUDIT_NATIVE, X32_BIT | nr::CLOCK_GETTIME),
            (AUDIT_COMPAT, compat::CLOCK_GETTIME),
            (AUDIT_COMPAT, compat::CLOCK_GETTIME64),
        ];
        for id in -20i32..40 {
            let is_ours = matches!(id, 0 | 5 | 8 | 11);
            let expected = if is_ours { NOTIFY } else { ALLOW };
            let arg = u64::from(id.cast_unsigned());
            for (arch, number) in reads {
                let read = verdict(&p, arch, number, [arg, 1, 0, 0, 0, 0]);
                assert_eq!(read, expected, "{number} of {id}");
            }
            // No coarse clock can be waited for.
            if id != 5 {
                let wait = [arg, 1, 8, 0, 0, 0];
                let wait = verdict(&p, AUDIT_NATIVE, nr::CLOCK_NANOSLEEP, wait);
                assert_eq!(wait, expected, "a wait by {id}");
            }
        }
    }

    #[test]
    fn a_cookie_opens_an_absolute_wait_only_with_the_address_that_it_was_made_for() {
        let p = program(LAX);
        let cookie = |number: u32, time: u64| {
            u64::from(WAIT_COOKIE + number) << 32 | 0x1234 << 16 | time & 0xffff
        };
        let (ours, other) = (0x7fff_0001_2340, 0x7fff_0001_2350);
        // A call, and the places of its time and of the cookie.
        for (number, mut args, time, spare) in [
            (230, [0, 1, 0, 0, 0, 0], 2, 5),
            (202, [8, 9, 0, 0, 0, 0], 3, 4),
            (202, [8, 6, 0, 0, 0, 0], 3, 4),
            (202, [8, 13, 0, 0, 0, 0], 3, 4),
            (202, [8, 11, 0, 0, 0, 0], 3, 5),
            (449, [8, 1, 0, 0, 1, 0], 3, 5),
            (242, [3, 8, 8, 0, 0, 0], 4, 5),
            (243, [3, 8, 8, 0, 0, 0], 4, 5),
            (223, [0, 1, 0, 0, 0, 0], 2, 5),
            (286, [3, 1, 0, 0, 0, 0], 2, 5),
        ] {
            args[time] = ours;
            args[spare] = cookie(number, ours);
            assert_eq!(verdict(&p, AUDIT_NATIVE, number, args), ALLOW, "{number}");
            // What a handler finds in the register, or what a read of a clock has left there.
            for left in [cookie(number, other), cookie(number + 1, ours), COOKIE] {
                args[spare] = left;
                assert_eq!(verdict(&p, AUDIT_NATIVE, number, args), NOTIFY, "{number}");
            }
        }
    }

    #[test]
    fn a_cookie_does_not_open_a_setter() {
        let p = program(LAX);
        for number in [
            nr::CLOCK_SETTIME,
            nr::SETTIMEOFDAY,
            nr::ADJTIMEX,
            nr::CLOCK_ADJTIME,
        ] {
            assert_eq!(
                verdict(&p, AUDIT_NATIVE, number, [0, 1, 0, 0, 0, COOKIE]),
                NOTIFY
            );
            assert_eq!(
                verdict(&p, AUDIT_NATIVE, X32_BIT | number, [COOKIE; 6]),
                NOTIFY
            );
        }
        for number in [25, 79, 124, 264, 343, 404, 405] {
            assert_eq!(
                verdict(&p, AUDIT_COMPAT, number, [COOKIE; 6]),
                NOTIFY,
                "{number}"
            );
        }
    }

    #[test]
    fn the_uptime_is_asked_for_only_where_boottime_is_shifted() {
        let numbers = [
            (AUDIT_NATIVE, nr::SYSINFO),
            (AUDIT_NATIVE, X32_BIT | nr::SYSINFO),
            (AUDIT_COMPAT, compat::SYSINFO),
        ];
        for (boottime, expected) in [(true, NOTIFY), (false, ALLOW)] {
            let shifted = Shifted { boottime, ..ALL };
            let p = program(Rules { shifted, ..LAX });
            for (arch, number) in numbers {
                assert_eq!(verdict(&p, arch, number, [COOKIE; 6]), expected);
            }
        }
    }

    #[test]
    fn an_open_is_looked_at_only_where_it_could_be_of_a_view() {
        const O_PATH: u64 = 0o10_000_000;
        const O_DIRECTORY: u64 = 0o200_000;
        const O_EXCL: u64 = 0o200;
        const O_CREAT: u64 = 0o100;
        let without = program(Rules {
            views: false,
            ..LAX
        });
        let with = program(LAX);
        for (number, place) in [(nr::OPEN, 1), (nr::OPENAT, 2)] {
            let call = |p: &_, flags: u64| {
                let mut args = [7; 6];
                args[place] = flags;
                verdict(p, AUDIT_NATIVE, number, args)
            };
            for flags in [0, O_CREAT, 0o2_000_000] {
                assert_eq!(call(&with, flags), NOTIFY, "{number} {flags:o}");
                assert_eq!(call(&without, flags), ALLOW, "{number} {flags:o}");
            }
            for flags in [O_PATH, O_DIRECTORY, O_CREAT | O_EXCL] {
                assert_eq!(call(&with, flags), ALLOW, "{number} {flags:o}");
            }
            // What the gate opens is let through, but for the view that it asks for.
            let mut args = [0x7fff_1234_5678; 6];
            args[place] = 0;
            let cookie = |high: u32| u64::from(high + number) << 32 | 0x1234_5678;
            args[5] = cookie(OPEN_COOKIE);
            assert_eq!(verdict(&with, AUDIT_NATIVE, number, args), ALLOW);
            args[5] += 1;
            assert_eq!(verdict(&with, AUDIT_NATIVE, number, args), NOTIFY);
            args[5] = cookie(EXCHANGE_COOKIE);
            args[place] = O_DIRECTORY;
            assert_eq!(verdict(&with, AUDIT_NATIVE, number, args), NOTIFY);
        }
        assert_eq!(verdict(&with, AUDIT_NATIVE, nr::OPENAT2, [0; 6]), NOTIFY);
        assert_eq!(verdict(&without, AUDIT_NATIVE, nr::OPENAT2, [0; 6]), ALLOW);
    }

    #[test]
    fn only_binds_clones_and_requests_for_a_namespace_are_asked_about() {
        const OTHERS: Rules = Rules {
            timens: false,
            ..LAX
        };
        for (number, place, value, expected) in [
            (nr::MOUNT, 3, 4096, NOTIFY),
            (nr::MOUNT, 3, 4096 | 16384, NOTIFY),
            (nr::MOUNT, 3, 4096 | 32, ALLOW),
            (nr::MOUNT, 3, 0, ALLOW),
            (nr::OPEN_TREE, 2, 0o2_000_001, NOTIFY),
            (nr::OPEN_TREE, 2, 0o2_000_000, ALLOW),
            (nr::IOCTL, 1, 0xb701, NOTIFY),
            (nr::IOCTL, 1, 0xff07, NOTIFY),
            (nr::IOCTL, 1, 0xb703, ALLOW),
            (nr::IOCTL, 1, 0x5401, ALLOW),
        ] {
            let mut args = [7; 6];
            args[place] = value;
            let told = |rules| verdict(&program(rules), AUDIT_NATIVE, number, args);
            assert_eq!(told(LAX), expected, "{number} {value:#x}");
            assert_eq!(told(OTHERS), ALLOW, "{number} {value:#x}");
        }
    }

    #[test]
    fn a_kernel_without_x32_answers_for_itself() {
        for number in 0..500 {
            let call = verdict(&program(STRICT), AUDIT_NATIVE, X32_BIT | number, [0; 6]);
            assert_eq!(call, ALLOW, "{number}");
        }
    }

    #[test]
    fn only_the_first_calls_of_a_program_are_notified() {
        let p = program(LAX);
        assert_eq!(verdict(&p, AUDIT_NATIVE, nr::BRK, [0; 6]), NOTIFY);
        assert_eq!(
            verdict(&p, AUDIT_NATIVE, nr::BRK, [1 << 32, 0, 0, 0, 0, 0]),
            ALLOW
        );
        assert_eq!(
            verdict(&p, AUDIT_NATIVE, nr::ARCH_PRCTL, [0x1002, 0, 0, 0, 0, 0]),
            NOTIFY
        );
        assert_eq!(
            verdict(&p, AUDIT_NATIVE, nr::ARCH_PRCTL, [0x1003, 0, 0, 0, 0, 0]),
            ALLOW
        );
        assert_eq!(verdict(&p, AUDIT_COMPAT, compat::BRK, [0; 6]), NOTIFY);
    }

    #[test]
    fn only_a_strict_filter_notifies_execve_of_each_abi() {
        let strict = Rules {
            strict: true,
            ..LAX
        };
        let calls = [
            (AUDIT_NATIVE, [nr::EXECVE, nr::EXECVEAT]),
            (
                AUDIT_NATIVE,
                [X32_BIT | x32::EXECVE, X32_BIT | x32::EXECVEAT],
            ),
            (AUDIT_COMPAT, [compat::EXECVE, compat::EXECVEAT]),
        ];
        for (arch, numbers) in calls {
            for number in numbers {
                assert_eq!(verdict(&program(LAX), arch, number, [0; 6]), ALLOW);
                assert_eq!(verdict(&program(strict), arch, number, [0; 6]), NOTIFY);
            }
        }
    }

    #[test]
    fn only_a_strict_filter_refuses_io_uring_in_each_abi() {
        let strict = Rules {
            strict: true,
            ..LAX
        };
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
        let number = nr::IO_URING_SETUP;
        for (arch, number) in [
            (AUDIT_NATIVE, number),
            (AUDIT_NATIVE, X32_BIT | number),
            (AUDIT_COMPAT, number),
        ] {
            assert_eq!(verdict(&program(LAX), arch, number, [COOKIE; 6]), ALLOW);
            assert_eq!(
                verdict(&program(strict), arch, number, [COOKIE; 6]),
                refused
            );
        }
    }

    #[test]
    fn an_unlisted_call_is_decided_by_its_number_alone() {
        // The kernel's bitmap takes a number only if no load but nr and arch lies on its path.
        let p = program(STRICT);
        let listed = [
            2, 4, 12, 16, 59, 89, 96, 99, 158, 159, 164, 165, 201, 227, 228, 257, 262, 267, 305,
            322, 425, 428, 437,
        ];
        let absolute = [202, 223, 230, 242, 243, 286, 449, 455];
        let namespaces = [272, 308];
        let is_listed =
            |n: &u32| listed.contains(n) || absolute.contains(n) || namespaces.contains(n);
        for number in (0..500).filter(|n| !is_listed(n)) {
            assert_eq!(verdict(&p, AUDIT_NATIVE, number, [COOKIE; 6]), ALLOW);
        }
    }
}
