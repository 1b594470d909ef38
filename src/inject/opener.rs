//! Opening `/proc/TID/mem` where only an ancestor of the program may.
//!
//! Under Yama's `ptrace_scope` 1 that is the keeper, by any of its threads
//! (`security/yama/yama_lsm.c: task_is_descendant`): one thread opens what the worker asks for.
//!
//! The keeper's own thread must not: an open waits as long as the process is in the last part of an
//! execve(2) (`kernel/fork.c: mm_access`), and there it may be closing a file that a guest serves.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::sys::{channel, process, thread};

/// The asking side, in a worker.
pub(crate) struct Opener(OwnedFd);

impl Opener {
    /// Starts the thread that opens, in the calling process, by its own `proc`.
    ///
    /// The thread ends when the opener has been closed in every process, or, where an open never
    /// ends, with its process.
    pub(crate) fn start(proc: OwnedFd) -> io::Result<Self> {
        let (ours, theirs) = channel::pair()?;
        thread::start(
            64 << 10,
            move || while answer(&ours, proc.as_fd()).is_some() {},
        )?;
        Ok(Self(theirs))
    }

    /// The memory of whoever has the id `tid` now.
    pub(super) fn open_mem(&self, tid: i32) -> io::Result<File> {
        let asked = channel::send(self.0.as_fd(), &tid.to_ne_bytes(), None);
        let mut errno = [0; 4];
        let received = asked.and_then(|()| channel::receive(&self.0, &mut errno, true));
        match received {
            Ok(received) if received.len == errno.len() => match received.descriptor {
                Some(mem) => Ok(File::from(mem)),
                None => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
            },
            // Without the keeper nothing goes on, and another worker has another opener.
            _ => process::exit_now(1),
        }
    }
}

impl AsRawFd for Opener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Answers one request; `None` if there will be no more.
fn answer(socket: &OwnedFd, proc: BorrowedFd<'_>) -> Option<()> {
    let mut tid = [0; 4];
    let received = channel::receive(socket, &mut tid, true).ok()?;
    if received.len != tid.len() {
        return None;
    }
    let mem = super::task::open(proc, i32::from_ne_bytes(tid), "mem", true);
    let (errno, mem) = match &mem {
        Ok(mem) => (0, Some(mem.as_fd())),
        Err(e) => (e.raw_os_error().unwrap_or(libc::EIO), None),
    };
    // It may be refused to pass a descriptor on, if the user has too many on their way.
    channel::send(socket.as_fd(), &errno.to_ne_bytes(), mem)
        .or_else(|_| channel::send(socket.as_fd(), &libc::EMFILE.to_ne_bytes(), None))
        .ok()
}
