//! The system calls behind a time namespace.
#![expect(unsafe_code, reason = "unshare(2), setns(2), fork(2)")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Not yet in the C library's headers everywhere.
const CLONE_NEWTIME: libc::c_int = 0x80;

fn result(returned: libc::c_int) -> io::Result<()> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes a time namespace for the children of this process.
pub(super) fn unshare_time() -> io::Result<()> {
    // SAFETY: the call takes a number and touches no memory.
    result(unsafe { libc::unshare(CLONE_NEWTIME) })
}

/// Puts this process into a time namespace.
pub(super) fn setns_time(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `namespace` lives.
    result(unsafe { libc::setns(namespace.as_raw_fd(), CLONE_NEWTIME) })
}

/// Writes to a file by system calls alone, so that it is safe after fork(2).
pub(super) fn write_file(path: &CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: `path` ends in NUL, `text` lives through the call, and the descriptor is ours.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        result(file)?;
        let written = libc::write(file, text.as_ptr().cast(), text.len());
        let outcome = result(if written == -1 { -1 } else { 0 });
        libc::close(file);
        outcome
    }
}

/// Does `action` in a child, which must be safe after fork(2), and gives its outcome.
pub(super) fn in_child(action: fn() -> io::Result<()>) -> io::Result<()> {
    // SAFETY: the child runs `action`, which makes system calls only, and ends by _exit(2).
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let errno = match action() {
                Ok(()) => 0,
                Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
            };
            // SAFETY: _exit never returns and runs no handlers.
            unsafe { libc::_exit(errno) }
        }
        child => match wait(child)? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        },
    }
}

/// Reaps a child and gives its exit status.
fn wait(child: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` lives through the call.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    if libc::WIFEXITED(status) {
        Ok(libc::WEXITSTATUS(status))
    } else {
        Ok(libc::EIO)
    }
}
