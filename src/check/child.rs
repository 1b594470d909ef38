//! Children that try something and are gone when their handle is.
//!
//! # Safety
//! A child is a copy of this process with one thread. If the process has others, a lock may be
//! held for ever in the copy, so what a child does must be safe after fork(2): system calls only,
//! no allocation, no locks.
#![expect(unsafe_code, reason = "clone(2), kill(2), waitpid(2)")]

use std::io;

/// A child; killed and reaped when dropped.
pub(super) struct Child {
    pid: libc::pid_t,
    reaped: bool,
}

impl Child {
    /// Starts a child that does `action` and ends with its result.
    ///
    /// # Safety
    /// `action` is safe after fork(2).
    pub(super) unsafe fn start(action: impl FnOnce() -> i32) -> io::Result<Self> {
        // SAFETY: passed on to the caller.
        unsafe { Self::clone(0, action) }
    }

    /// As [`start`](Self::start), but a descriptor that either opens is both's.
    ///
    /// # Safety
    /// `action` is safe after fork(2), and closes nothing.
    pub(super) unsafe fn start_sharing_files(action: impl FnOnce() -> i32) -> io::Result<Self> {
        // SAFETY: passed on to the caller.
        unsafe { Self::clone(libc::CLONE_FILES, action) }
    }

    /// # Safety
    /// As for the callers; `flags` give the child a memory of its own.
    unsafe fn clone(flags: libc::c_int, action: impl FnOnce() -> i32) -> io::Result<Self> {
        let flags = libc::c_long::from(flags | libc::SIGCHLD);
        // SAFETY: without CLONE_VM and with no stack this is fork(2), whatever the order in which
        // an architecture takes the other arguments, which are all null.
        match unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let status = action();
                // SAFETY: _exit(2) never returns and runs no handlers.
                unsafe { libc::_exit(status) }
            }
            pid => Ok(Self {
                pid: libc::pid_t::try_from(pid).expect("clone(2) gives a pid"),
                reaped: false,
            }),
        }
    }

    /// The child's process id.
    pub(super) fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Waits for the child's end; its exit status, or `None` if a signal ended it.
    pub(super) fn wait(mut self) -> io::Result<Option<i32>> {
        let status = self.reap()?;
        Ok(libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)))
    }

    fn reap(&mut self) -> io::Result<i32> {
        let mut status = 0;
        loop {
            // SAFETY: `status` lives through the call, and the child is ours and not yet reaped.
            if unsafe { libc::waitpid(self.pid, &raw mut status, 0) } == self.pid {
                self.reaped = true;
                return Ok(status);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: the child is ours and not yet reaped, so the pid is still its.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            // Nothing can be done about a child that somebody else has reaped.
            let _ = self.reap();
        }
    }
}
