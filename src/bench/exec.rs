//! vfork(2), execve(2) and wait(2), with nothing around them.
//!
//! # Safety
//! Until its execve(2) the child shares this process's memory while this thread stands still; it
//! uses a stack of its own and makes system calls only.
#![expect(unsafe_code, reason = "clone(2) as vfork(2), execveat(2)")]

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::sys::process::{self, Change};

/// A program that can be started again and again.
pub(super) struct Launcher {
    file: File,
    stack: Vec<u128>,
}

impl Launcher {
    pub(super) fn of(file: File) -> Self {
        Self {
            file,
            stack: vec![0; 1024],
        }
    }

    /// Starts the program and waits for its end.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let pid = self.start()?;
        match process::wait_for_end(pid)? {
            Change::Exited(0) => Ok(()),
            _ => Err(io::Error::other("a program of the bench has failed")),
        }
    }

    /// Starts the program, which stops itself, and waits until it has.
    pub(super) fn run_until_stopped(&mut self) -> io::Result<i32> {
        let pid = self.start()?;
        process::wait_for_stop(pid)?;
        Ok(pid)
    }

    fn start(&mut self) -> io::Result<i32> {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let mut file = self.file.as_raw_fd();
        let top = self.stack.as_mut_ptr_range().end;
        // SAFETY: the stack grows down from its aligned end, and nothing else uses it; this thread
        // is stopped while the child runs `become_program`, so `file` lives long enough.
        let pid = unsafe { libc::clone(become_program, top.cast(), flags, (&raw mut file).cast()) };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            pid => Ok(pid),
        }
    }
}

extern "C" fn become_program(file: *mut c_void) -> c_int {
    // SAFETY: `file` points to the descriptor in `start`; the strings are static, and the null
    // pointers end the lists.
    unsafe {
        let argv: [*const c_char; 2] = [c"bench".as_ptr(), std::ptr::null()];
        let path = c"".as_ptr();
        libc::syscall(
            libc::SYS_execveat,
            *file.cast::<c_int>(),
            path,
            argv.as_ptr(),
            argv[1..].as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        libc::_exit(127)
    }
}
