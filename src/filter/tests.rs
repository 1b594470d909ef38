//! The filter, run by an interpreter of its own.

use super::*;
use crate::page::{EXCHANGE_COOKIE, OPEN_COOKIE, WAIT_COOKIE};

/// What the filter answers.
pub(crate) fn verdict(program: &[libc::sock_filter], arch: u32, nr: u32, args: [u64; 6]) -> u32 {
    machine::verdict(program, arch, nr, args, 0)
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
const ALL: Shifted = Shifted::ANY;
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
        let expected = match id {
            0 | 1 | 4..=9 | 11 => NOTIFY,
            _ => ALLOW,
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
fn a_name_is_looked_at_only_where_links_are_followed() {
    const NOFOLLOW: u64 = 0x100;
    const NO_AUTOMOUNT: u64 = 0x800;
    const EMPTY_PATH: u64 = 0x1000;
    let with = program(LAX);
    let without = program(Rules {
        timens: false,
        ..LAX
    });
    for (number, place) in [(nr::NEWFSTATAT, 3), (nr::STATX, 2)] {
        let call = |flags: u64, cookie: u64| {
            let mut args = [0x7fff_1234_5678; 6];
            args[place] = flags;
            args[5] = cookie;
            verdict(&with, AUDIT_NATIVE, number, args)
        };
        for flags in [0, NO_AUTOMOUNT] {
            assert_eq!(call(flags, 7), NOTIFY, "{number} {flags:x}");
            let cookie = |high: u32| u64::from(high + number) << 32 | 0x1234_5678;
            assert_eq!(call(flags, cookie(OPEN_COOKIE)), ALLOW);
            assert_eq!(call(flags, cookie(OPEN_COOKIE) + 1), NOTIFY);
            assert_eq!(call(flags, cookie(EXCHANGE_COOKIE)), NOTIFY);
        }
        for flags in [NOFOLLOW, EMPTY_PATH, NOFOLLOW | NO_AUTOMOUNT] {
            assert_eq!(call(flags, 7), ALLOW, "{number} {flags:x}");
        }
        let other = verdict(&without, AUDIT_NATIVE, number, [0; 6]);
        assert_eq!(other, ALLOW, "{number}");
    }
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
        2, 4, 12, 16, 59, 89, 96, 99, 158, 159, 164, 165, 201, 227, 228, 257, 262, 267, 305, 322,
        425, 428, 437,
    ];
    let absolute = [202, 223, 230, 242, 243, 286, 449, 455];
    let namespaces = [272, 308];
    let is_listed = |n: &u32| listed.contains(n) || absolute.contains(n) || namespaces.contains(n);
    for number in (0..500).filter(|n| !is_listed(n)) {
        assert_eq!(verdict(&p, AUDIT_NATIVE, number, [COOKIE; 6]), ALLOW);
    }
}
