//! vfork(2), execve(2) and wait(2), with nothing around them.
//!
//! # Safety
//! Until its execve(2) the child shares this process's memory while this thread stands still; it
//! uses a stack of its own and makes system calls only.
#![expect(unsafe_code, reason = "clone(2) as vfork(2), execveat(2)")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use crate::sys::process::{self, Change};

/// A program that can be started again and again.
pub(super) struct Launcher {
    file: File,
    args: &'static [&'static CStr],
    stack: Vec<u128>,
}

/// What the child needs.
struct Start {
    file: c_int,
    argv: [*const c_char; 4],
}

impl Launcher {
    pub(super) fn of(file: File) -> Self {
        Self::with(file, &[])
    }

    /// With at most two arguments.
    pub(super) fn with(file: File, args: &'static [&'static CStr]) -> Self {
        Self {
            file,
            args,
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
        let mut argv = [c"bench".as_ptr(), ptr::null(), ptr::null(), ptr::null()];
        for (to, arg) in argv[1..3].iter_mut().zip(self.args) {
            *to = arg.as_ptr();
        }
        let mut start = Start {
            file: self.file.as_raw_fd(),
            argv,
        };
        let top = self.stack.as_mut_ptr_range().end;
        // SAFETY: the stack grows down from its aligned end, and nothing else uses it; this thread
        // is stopped while the child runs `become_program`, so `start` lives long enough.
        let pid =
            unsafe { libc::clone(become_program, top.cast(), flags, (&raw mut start).cast()) };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            pid => Ok(pid),
        }
    }
}

extern "C" fn become_program(start: *mut c_void) -> c_int {
    let start = start.cast::<Start>().cast_const();
    // SAFETY: `start` is the one in `Launcher::start`; its strings are static, a null pointer ends
    // their list, and nobody changes the environment meanwhile.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            (*start).file,
            c"".as_ptr(),
            &raw const (*start).argv,
            libc::environ,
            libc::AT_EMPTY_PATH,
        );
        libc::_exit(127)
    }
}
