//! Names of system calls, as libseccomp has them.

use crate::arch::nr;

/// The name of a native number that the rules have.
pub(super) fn name(number: u32) -> &'static str {
    match number {
        nr::OPEN => "open",
        nr::BRK => "brk",
        nr::GETTIMEOFDAY => "gettimeofday",
        nr::SYSINFO => "sysinfo",
        nr::ARCH_PRCTL => "arch_prctl",
        nr::ADJTIMEX => "adjtimex",
        nr::SETTIMEOFDAY => "settimeofday",
        nr::TIME => "time",
        nr::FUTEX => "futex",
        nr::TIMER_SETTIME => "timer_settime",
        nr::CLOCK_SETTIME => "clock_settime",
        nr::CLOCK_GETTIME => "clock_gettime",
        nr::CLOCK_NANOSLEEP => "clock_nanosleep",
        nr::MQ_TIMEDSEND => "mq_timedsend",
        nr::MQ_TIMEDRECEIVE => "mq_timedreceive",
        nr::OPENAT => "openat",
        nr::TIMERFD_SETTIME => "timerfd_settime",
        nr::UNSHARE => "unshare",
        nr::CLOCK_ADJTIME => "clock_adjtime",
        nr::SETNS => "setns",
        nr::OPENAT2 => "openat2",
        nr::FUTEX_WAITV => "futex_waitv",
        nr::FUTEX_WAIT => "futex_wait",
        _ => unreachable!("the rules have no other number"),
    }
}

/// Calls of i386 alone, each with the native number whose rules it has; without one, each of its calls
/// is notified.
pub(super) const COMPAT: [(&str, Option<u32>); 5] = [
    ("clock_gettime64", Some(nr::CLOCK_GETTIME)),
    ("clock_settime64", Some(nr::CLOCK_SETTIME)),
    ("clock_adjtime64", Some(nr::CLOCK_ADJTIME)),
    ("stime", None),
    // How static 32-bit programs begin.
    ("set_thread_area", None),
];
