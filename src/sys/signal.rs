//! Signals and interval timers: what exec(2) keeps, and signalfd(2).
//!
//! # Safety
//! Signal sets are initialised by sigemptyset or sigfillset before use, and every other structure
//! is one that the kernel gave.
#![expect(
    unsafe_code,
    reason = "sigprocmask(2), sigaction(2), setitimer(2), signalfd(2), sigpending(2), sigtimedwait(2)"
)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What a process would take along over exec(2), set aside for the one that becomes the command.
#[derive(Clone, Copy)]
pub(crate) struct Inherited {
    mask: libc::sigset_t,
    /// The disposition of SIGCHLD.
    children: libc::sigaction,
    /// Timers that run, as with `alarm(2)` before an exec; fork(2) does not pass them on.
    timers: [libc::itimerval; TIMERS.len()],
}

const TIMERS: [libc::c_int; 3] = [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF];

impl Inherited {
    /// Blocks every signal, stops the timers, and has children's ends told of: a process that
    /// ignores SIGCHLD never learns how they ended.
    pub(crate) fn set_aside() -> Self {
        // SAFETY: all zeroes are valid values of these structures; the sets are filled before
        // they are read.
        unsafe {
            let mut inherited: Self = std::mem::zeroed();
            let mut all = MaybeUninit::uninit();
            libc::sigfillset(all.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), &raw mut inherited.mask);
            let mut default: libc::sigaction = std::mem::zeroed();
            default.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(
                libc::SIGCHLD,
                &raw const default,
                &raw mut inherited.children,
            );
            let off: libc::itimerval = std::mem::zeroed();
            for (which, old) in TIMERS.into_iter().zip(&mut inherited.timers) {
                libc::setitimer(which, &raw const off, old);
            }
            inherited
        }
    }

    /// Puts it all in force.
    pub(crate) fn give_back(&self) {
        // SAFETY: the kernel gave these values.
        unsafe {
            for (which, old) in TIMERS.into_iter().zip(&self.timers) {
                if old.it_value.tv_sec != 0 || old.it_value.tv_usec != 0 {
                    libc::setitimer(which, &raw const *old, std::ptr::null_mut());
                }
            }
            libc::sigaction(
                libc::SIGCHLD,
                &raw const self.children,
                std::ptr::null_mut(),
            );
            libc::sigprocmask(
                libc::SIG_SETMASK,
                &raw const self.mask,
                std::ptr::null_mut(),
            );
        }
    }
}

/// Sends this process a signal that it blocks, to take its default effect once let through.
pub(crate) fn hold(signal: i32) {
    // SAFETY: zeroes are a valid sigaction; the rest are values.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
}

/// Lets a held signal take effect, and blocks it again after it.
pub(crate) fn let_through(signal: i32) {
    // SAFETY: the set is filled before it is read.
    unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// A descriptor that reads the signals of whoever reads it: all of them, or SIGCHLD alone.
pub(crate) fn descriptor(all: bool) -> io::Result<OwnedFd> {
    // SAFETY: the set is filled before it is read; the descriptor is new and ours alone.
    unsafe {
        let mut set = MaybeUninit::uninit();
        if all {
            libc::sigfillset(set.as_mut_ptr());
        } else {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        }
        match libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// A signal that came, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) signal: i32,
    /// Sent by the kernel (the terminal's keys and window changes), not by a process.
    pub(crate) by_kernel: bool,
    /// The sender, where a process sent it.
    pub(crate) sender: i32,
}

impl Arrived {
    /// Whether each such signal waits for its turn: of the others one waits at most, and those that are sent
    /// meanwhile are one with it.
    pub(crate) fn is_queued(self) -> bool {
        self.signal >= FIRST_QUEUED
    }
}

/// The kernel's first real-time signal (`asm/signal.h: SIGRTMIN`); the C library keeps some for itself.
const FIRST_QUEUED: i32 = 32;

/// Some signals, as the kernel has them: the first one in the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(pub(crate) u64);

impl Set {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);
    /// Those of which one waits at most.
    pub(crate) const NOT_QUEUED: Self = Self((1 << (FIRST_QUEUED - 1)) - 1);

    pub(crate) fn of(signal: i32) -> Self {
        let bit = u32::try_from(signal).ok().and_then(|n| n.checked_sub(1));
        Self(bit.and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0))
    }

    pub(crate) fn has(self, signal: i32) -> bool {
        self.0 & Self::of(signal).0 != 0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, signal: i32) -> Self {
        Self(self.0 & !Self::of(signal).0)
    }
}

/// The signals that wait for this process, which blocks them.
pub(crate) fn pending() -> Set {
    let mut set = 0_u64;
    // SAFETY: the kernel writes eight bytes at a live word; it cannot fail otherwise.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, size_of::<u64>()) };
    Set(set)
}

/// Takes one signal of `set` that waits for this process, if there is one.
pub(crate) fn take(set: Set) -> Option<Arrived> {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the kernel reads eight bytes and a timespec, and writes a siginfo_t; all are live. What was
    // written is read only if it was, and of a signal that a process sent or that says nothing in its place.
    unsafe {
        let signal = libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set.0,
            info.as_mut_ptr(),
            &raw const now,
            size_of::<u64>(),
        );
        if signal <= 0 {
            return None;
        }
        let info = info.assume_init();
        Some(Arrived {
            signal: info.si_signo,
            by_kernel: info.si_code == libc::SI_KERNEL,
            sender: info.si_pid(),
        })
    }
}

/// The next signal of a [`descriptor`], if one has come.
pub(crate) fn next(fd: BorrowedFd<'_>) -> Option<Arrived> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the kernel writes whole structures; it is read only if one came.
    let info = unsafe {
        let n = libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
        if usize::try_from(n) != Ok(size) {
            return None;
        }
        info.assume_init()
    };
    Some(Arrived {
        signal: i32::try_from(info.ssi_signo).unwrap_or(0),
        by_kernel: info.ssi_code == libc::SI_KERNEL,
        sender: i32::try_from(info.ssi_pid).unwrap_or(0),
    })
}
