//! Clock readings and adjtimex(2), for answers to notified calls.
//!
//! # Safety
//! Each call writes one live structure of the type it names.
#![expect(
    unsafe_code,
    reason = "clock_gettime(2), gettimeofday(2), clock_adjtime(2)"
)]

use std::io;
use std::mem::MaybeUninit;

use crate::clock::Readings;

/// clock_gettime(2) of the host.
pub(crate) fn read(clock: i32) -> io::Result<libc::timespec> {
    let mut ts = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel fills `ts` if it returns 0, and only then is it read.
    unsafe {
        if libc::clock_gettime(clock, ts.as_mut_ptr()) == 0 {
            Ok(ts.assume_init())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// The host's four clocks, as nearly at one moment as a few attempts give it.
pub(crate) fn readings() -> io::Result<Readings> {
    const ATTEMPTS: usize = 5;
    let mut best: Option<(i128, Readings)> = None;
    for _ in 0..ATTEMPTS {
        let before = nanos(libc::CLOCK_MONOTONIC)?;
        let readings = Readings {
            realtime: nanos(libc::CLOCK_REALTIME)?,
            tai: nanos(libc::CLOCK_TAI)?,
            monotonic: nanos(libc::CLOCK_MONOTONIC)?,
            boottime: nanos(libc::CLOCK_BOOTTIME)?,
        };
        let took = nanos(libc::CLOCK_MONOTONIC)? - before;
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, readings));
        }
    }
    Ok(best.expect("there were attempts").1)
}

fn nanos(clock: i32) -> io::Result<i128> {
    let now = read(clock)?;
    Ok(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec))
}

/// clock_gettime(2), past the vDSO.
pub(crate) fn read_by_system_call(clock: i32) -> io::Result<libc::timespec> {
    let mut ts = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: as above; the further arguments are there for the filter, which looks at the sixth.
    unsafe {
        if libc::syscall(libc::SYS_clock_gettime, clock, ts.as_mut_ptr(), 0, 0, 0, 0) == 0 {
            Ok(ts.assume_init())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// Whether the kernel knows a clock by this id (`kernel/time/posix-timers.c: posix_clocks`).
pub(crate) fn exists(clock: i32) -> bool {
    match clock {
        // The ALARM clocks are among them where no device can wake the machine, too.
        libc::CLOCK_REALTIME..=libc::CLOCK_BOOTTIME_ALARM | libc::CLOCK_TAI => true,
        // The vDSO is not asked: it knows auxiliary clocks that there are not.
        // SAFETY: a null result pointer is allowed.
        _ => unsafe {
            let nowhere = std::ptr::null_mut::<libc::timespec>();
            libc::syscall(libc::SYS_clock_getres, clock, nowhere) == 0
        },
    }
}

/// The kernel's `struct timezone`.
pub(crate) fn timezone() -> [i32; 2] {
    let mut zone = [0i32; 2];
    // SAFETY: a null time is allowed; the zone is two ints.
    unsafe { libc::gettimeofday(std::ptr::null_mut(), zone.as_mut_ptr().cast()) };
    zone
}

/// `struct timex` as the kernel copies it, in words: no padding to lose.
pub(crate) type Timex = [u64; size_of::<libc::timex>() / 8];

/// adjtimex(2) with these modes, which must be ones that only read: the clock's state and the
/// structure.
pub(crate) fn query_adjtimex(modes: u32) -> io::Result<(i32, Timex)> {
    debug_assert!(modes == 0 || modes == libc::ADJ_OFFSET_SS_READ);
    let mut words: Timex = [0; size_of::<libc::timex>() / 8];
    let timex = words.as_mut_ptr().cast::<libc::timex>();
    // SAFETY: the words are as large and as aligned as a timex, for which any pattern is valid; the
    // kernel reads `modes` and fills the rest.
    unsafe {
        (*timex).modes = modes;
        match libc::adjtimex(timex) {
            -1 => Err(io::Error::last_os_error()),
            state => Ok((state, words)),
        }
    }
}
