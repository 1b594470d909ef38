//! Signals and interval timers: what exec(2) keeps, and signalfd(2).
//!
//! # Safety
//! Signal sets are initialised by sigemptyset or sigfillset before use, and every other structure
//! is one that the kernel gave.
#![expect(
    unsafe_code,
    reason = "sigprocmask(2), sigaction(2), setitimer(2), signalfd(2)"
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
