//! Waits that end at once: until a time that has passed, or for what is so already.
//!
//! A wait until a time that has passed costs an interrupt of the kernel's timer, on some machines a
//! hundred times what a system call does. What is refused before the kernel starts a timer shows
//! what a namespace adds.
//!
//! # Safety
//! The C library's functions by their man pages, with live structures; the sites as they require.
#![expect(
    unsafe_code,
    reason = "clock_nanosleep(2), sem_timedwait(3), mq_timedreceive(3)"
)]

use std::hint::black_box;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use super::arch::counter;
use super::reader::ticks_since;
use super::sites::{self, Site};

/// A wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// clock_nanosleep(2) until a time of this clock that has passed.
    Sleep(i32, Memory),
    /// sem_timedwait(3), which is futex(2), until a time that has passed.
    Semaphore,
    /// mq_timedreceive(2) with a descriptor of nothing.
    Queue,
    /// futex(2) until a time of this clock, for a value that is there no more.
    Futex(Place, i32, Memory),
    /// The same for some time, and not until one.
    Relative(Place),
}

/// Where a time lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Stack,
    Heap,
}

/// Which system call instruction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One that can be led past the supervisor.
    Ordinary,
    /// Such a one, that only relative waits come from.
    OnlyRelative,
    /// Such a one, that waits of both kinds come from.
    Mixed,
    /// One that each call from has to ask the supervisor.
    JumpedTo,
    /// One within a cancellation point of musl or glibc.
    Bridge,
}

impl Place {
    fn site(self) -> Site {
        match self {
            Self::Ordinary => sites::ordinary,
            Self::OnlyRelative => sites::relative,
            Self::Mixed => sites::mixed,
            Self::JumpedTo => sites::jumped_to,
            Self::Bridge => sites::bridge,
        }
    }
}

/// How often each wait is made before it is measured, so that it is led the way it stays on.
const WARM_UP: u32 = 32;

const REALTIME: i32 = libc::FUTEX_CLOCK_REALTIME;
const UNTIL: i32 = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
const FOR: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;

/// Makes waits ready to be measured.
pub(super) fn warm_up(wait: Wait) -> io::Result<()> {
    if let Wait::Relative(Place::Mixed) = wait {
        let absolute = Wait::Futex(Place::Mixed, libc::CLOCK_REALTIME, Memory::Stack);
        ticks(absolute, WARM_UP)?;
    }
    ticks(wait, WARM_UP).map(drop)
}

/// Ticks of the counter that one such wait takes, out of many.
pub(super) fn ticks(wait: Wait, times: u32) -> io::Result<f64> {
    let clock = match wait {
        Wait::Sleep(clock, _) | Wait::Futex(_, clock, _) => clock,
        _ => libc::CLOCK_REALTIME,
    };
    let on_stack = match wait {
        Wait::Relative(_) => A_SECOND,
        _ => a_second_ago(clock)?,
    };
    let on_heap = black_box(Box::new(on_stack));
    let on_stack = black_box(&on_stack);
    let time: *const libc::timespec = match wait {
        Wait::Sleep(_, Memory::Heap) | Wait::Futex(_, _, Memory::Heap) => &raw const *on_heap,
        _ => on_stack,
    };
    let (word, null) = (black_box(&0u32), ptr::null());
    // SAFETY: `time` and `word` live through the calls, and so does the semaphore, which is
    // initialised before it is waited for; a null pointer is what the kernel does not look at.
    unsafe {
        match wait {
            Wait::Sleep(clock, _) => repeated(times, 0, || {
                let flags = libc::TIMER_ABSTIME;
                libc::clock_nanosleep(clock, flags, time, ptr::null_mut()).into()
            }),
            Wait::Semaphore => {
                let mut semaphore = MaybeUninit::<libc::sem_t>::uninit();
                libc::sem_init(semaphore.as_mut_ptr(), 0, 0);
                repeated(times, libc::ETIMEDOUT, || {
                    raw(libc::sem_timedwait(semaphore.as_mut_ptr(), time).into())
                })
            }
            Wait::Queue => {
                let mut message = [0; 8];
                repeated(times, libc::EBADF, || {
                    let (to, len) = (message.as_mut_ptr(), message.len());
                    let priority = ptr::null_mut();
                    raw(libc::mq_timedreceive(-1, to, len, priority, time) as i64)
                })
            }
            Wait::Futex(place, clock, _) => {
                let site = black_box(place.site());
                let realtime = if clock == libc::CLOCK_REALTIME {
                    REALTIME
                } else {
                    0
                };
                repeated(times, libc::EAGAIN, || {
                    site(word, UNTIL | realtime, 1, time, null, u32::MAX)
                })
            }
            Wait::Relative(place) => {
                let site = black_box(place.site());
                repeated(times, libc::EAGAIN, || site(word, FOR, 1, time, null, 0))
            }
        }
    }
}

/// Ticks of a first absolute wait, in a program that has not made one yet; all else about it has
/// been done before.
pub(super) fn first() -> io::Result<f64> {
    ticks(Wait::Relative(Place::Ordinary), 8)?;
    ticks(
        Wait::Futex(Place::Ordinary, libc::CLOCK_REALTIME, Memory::Stack),
        1,
    )
}

const A_SECOND: libc::timespec = libc::timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

fn a_second_ago(clock: i32) -> io::Result<libc::timespec> {
    let mut now = A_SECOND;
    // SAFETY: the structure lives through the call.
    if unsafe { libc::clock_gettime(clock, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    now.tv_sec -= A_SECOND.tv_sec;
    Ok(now)
}

/// What the system call itself returned, of what the C library's function has.
fn raw(result: i64) -> i64 {
    match result {
        -1 => io::Error::last_os_error()
            .raw_os_error()
            .map_or(-1, |errno| -i64::from(errno)),
        other => other,
    }
}

/// Ticks of one call out of many, each of which has to give this errno.
#[inline(always)]
fn repeated(times: u32, expected: i32, mut call: impl FnMut() -> i64) -> io::Result<f64> {
    let mut wrong = None;
    let start = counter();
    for _ in 0..times {
        let result = call();
        if result != -i64::from(expected) {
            wrong = Some(result);
        }
    }
    let ticks = ticks_since(start) / f64::from(times);
    match wrong {
        None => Ok(ticks),
        Some(result) => Err(io::Error::other(format!("a wait has ended with {result}"))),
    }
}
