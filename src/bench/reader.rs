//! Reading a clock: through the vDSO as the C library does, through the C library, or by a system
//! call; many times over, or once.
//!
//! # Safety
//! All functions have the C prototypes of their man pages, and write one live structure.
#![expect(unsafe_code, reason = "the vDSO's functions by their addresses")]

use std::ffi::{CStr, c_int, c_long, c_void};
use std::hint::black_box;
use std::mem::transmute;

use super::arch::counter;

/// By which way a program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the pointer that the C library has, too; by the C library where it does not tell.
    Vdso,
    /// By the C library's functions, or those of a library in front of it.
    Libc,
    /// By a system call.
    SystemCall,
}

impl Way {
    /// Its name in arguments.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vdso => "vdso",
            Self::Libc => "libc",
            Self::SystemCall => "system-call",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Vdso, Self::Libc, Self::SystemCall];
        all.into_iter().find(|way| way.name() == name)
    }
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// clock_gettime(2) of a clock.
    Clock(i32),
    /// gettimeofday(2).
    TimeOfDay,
    /// time(2).
    Time,
}

type ClockGettime = unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int;
type Gettimeofday = unsafe extern "C" fn(*mut libc::timeval, *mut c_void) -> c_int;
type Time = unsafe extern "C" fn(*mut libc::time_t) -> libc::time_t;

/// The three functions.
pub(super) struct Reader {
    clock_gettime: ClockGettime,
    gettimeofday: Gettimeofday,
    time: Time,
}

/// Does it sixteen times, with no loop around.
macro_rules! sixteen_times {
    ($it:expr) => {
        sixteen_times!(@four { sixteen_times!(@four $it) })
    };
    (@four $it:expr) => {{
        $it;
        $it;
        $it;
        $it
    }};
}

impl Reader {
    pub(super) fn by(way: Way) -> Self {
        match way {
            Way::Vdso => Self::by_vdso().unwrap_or_else(Self::by_libc),
            Way::Libc => Self::by_libc(),
            Way::SystemCall => Self {
                clock_gettime: call_clock_gettime,
                gettimeofday: call_gettimeofday,
                time: call_time,
            },
        }
    }

    fn by_libc() -> Self {
        Self {
            clock_gettime: libc::clock_gettime,
            gettimeofday: libc_gettimeofday,
            time: libc::time,
        }
    }

    /// From glibc, which knows the vDSO as a library that is loaded already.
    fn by_vdso() -> Option<Self> {
        // SAFETY: strings that end in NUL; the vDSO is never unloaded, and its functions have the
        // prototypes of the C library's, by vdso(7).
        unsafe {
            let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD;
            let vdso = libc::dlopen(c"linux-vdso.so.1".as_ptr(), flags);
            if vdso.is_null() {
                return None;
            }
            let symbol = |name: &CStr| {
                let at = libc::dlsym(vdso, name.as_ptr());
                (!at.is_null()).then_some(at)
            };
            Some(Self {
                clock_gettime: transmute::<*mut c_void, ClockGettime>(symbol(
                    c"__vdso_clock_gettime",
                )?),
                gettimeofday: transmute::<*mut c_void, Gettimeofday>(symbol(
                    c"__vdso_gettimeofday",
                )?),
                time: transmute::<*mut c_void, Time>(symbol(c"__vdso_time")?),
            })
        }
    }

    /// Ticks of the counter that one read takes, out of many.
    pub(super) fn ticks(&self, read: Read, times: u32) -> f64 {
        let rounds = (times / 16).max(1);
        // SAFETY: the structures live through the calls; a null time zone or time is allowed.
        let ticks = unsafe {
            match read {
                Read::Clock(clock) => {
                    let (function, mut ts) = (black_box(self.clock_gettime), ZERO);
                    repeated(rounds, || sixteen_times!(function(clock, &raw mut ts)))
                }
                Read::TimeOfDay => {
                    let (function, mut tv) = (black_box(self.gettimeofday), ZERO_OF_DAY);
                    let zone = std::ptr::null_mut();
                    repeated(rounds, || sixteen_times!(function(&raw mut tv, zone)))
                }
                Read::Time => {
                    let function = black_box(self.time);
                    let null = std::ptr::null_mut();
                    repeated(rounds, || sixteen_times!(function(null)))
                }
            }
        };
        ticks / f64::from(16 * rounds)
    }

    /// Ticks of this one call, the counter's own included.
    pub(super) fn first(&self, clock: i32) -> f64 {
        let mut ts = black_box(ZERO);
        let mut ticks = 0.0;
        // First without a reading, so that all around it is in place.
        for function in black_box([do_nothing as ClockGettime, self.clock_gettime]) {
            let start = counter();
            // SAFETY: the structure lives through the call.
            unsafe { function(clock, &raw mut ts) };
            ticks = ticks_since(start);
        }
        ticks
    }
}

unsafe extern "C" fn do_nothing(_: c_int, _: *mut libc::timespec) -> c_int {
    0
}

const ZERO: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
const ZERO_OF_DAY: libc::timeval = libc::timeval {
    tv_sec: 0,
    tv_usec: 0,
};

#[inline(always)]
fn repeated<T>(rounds: u32, mut calls: impl FnMut() -> T) -> f64 {
    let start = counter();
    for _ in 0..rounds {
        calls();
    }
    ticks_since(start)
}

/// Ticks since the counter stood at `start`.
#[expect(clippy::cast_precision_loss, reason = "2⁵³ ticks are a month")]
#[inline(always)]
pub(super) fn ticks_since(start: u64) -> f64 {
    counter().wrapping_sub(start) as f64
}

/// The `libc` crate has another type for the time zone.
unsafe extern "C" fn libc_gettimeofday(tv: *mut libc::timeval, tz: *mut c_void) -> c_int {
    // SAFETY: the caller's pointers.
    unsafe { libc::gettimeofday(tv, tz.cast()) }
}

unsafe extern "C" fn call_clock_gettime(clock: c_int, ts: *mut libc::timespec) -> c_int {
    // SAFETY: the caller's pointer; an errno is no matter here.
    status(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, ts) })
}

unsafe extern "C" fn call_gettimeofday(tv: *mut libc::timeval, tz: *mut c_void) -> c_int {
    // SAFETY: as above.
    status(unsafe { libc::syscall(libc::SYS_gettimeofday, tv, tz) })
}

unsafe extern "C" fn call_time(t: *mut libc::time_t) -> libc::time_t {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_time, t) }
}

fn status(result: c_long) -> c_int {
    c_int::from(result != 0)
}
