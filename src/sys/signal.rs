//! Signal masks and signalfd(2).
//!
//! # Safety
//! Signal sets are initialised by sigemptyset or sigfillset before use.
#![expect(unsafe_code, reason = "sigprocmask(2), signalfd(2), signal(2)")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A signal mask as it was, to be given back.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

/// Blocks every signal and returns the mask that was in force.
pub(crate) fn block_all() -> Mask {
    // SAFETY: both sets are filled before they are read.
    unsafe {
        let mut all = MaybeUninit::uninit();
        let mut old = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        Mask(old.assume_init())
    }
}

/// Puts a mask back in force.
pub(crate) fn restore(mask: &Mask) {
    // SAFETY: the set was given by the kernel.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const mask.0, std::ptr::null_mut()) };
}

/// A descriptor that reads signals: all of them, or SIGCHLD alone.
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

/// Makes stops and ends of children and tracees heard of, whatever the caller had asked for.
pub(crate) fn hear_of_children() {
    // SAFETY: SIG_DFL is no handler, so that no code runs asynchronously.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// A signal that came, and from where.
#[derive(Clone, Copy, Debug)]
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
