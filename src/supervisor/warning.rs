//! Warnings about a program, on that program's own standard error.
//!
//! The supervisor holds nobody's terminal or pipe open, so it borrows the program's: where the
//! program's own complaints go, there goes this one.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat, readlinkat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::inject::{Missing, Task};

/// How many programs are remembered as warned of.
const REMEMBERED: usize = 64;

/// Warns once for each program image.
#[derive(Default)]
pub(super) struct Warnings(VecDeque<(i32, String)>);

impl Warnings {
    /// Says that the program of `task` runs at host time, and why.
    pub(super) fn host_time(
        &mut self,
        task: &Task<'_>,
        proc: std::os::fd::BorrowedFd<'_>,
        why: Missing,
    ) {
        let reason = match why {
            // No vDSO means that every read is a system call, which is answered.
            Missing::Gone | Missing::NoVdso => return,
            Missing::Compat => "it is not a 64-bit program",
            Missing::Denied => "its memory may not be written",
            Missing::Foreign => "its vDSO is not the kernel's",
        };
        let link = readlinkat(proc, format!("{}/exe", task.tid()), Vec::new());
        let name = match link {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => comm(task).unwrap_or_else(|| format!("process {}", task.tid())),
        };
        if !task.is_waiting() {
            return;
        }
        let key = (task.tid(), name);
        if self.0.contains(&key) {
            return;
        }
        let line = format!(
            "elsewhen: warning: `{}` sees the host's clocks: {reason}\n",
            key.1
        );
        write_to_stderr_of(task, proc, line.as_bytes());
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(key);
    }
}

fn comm(task: &Task<'_>) -> Option<String> {
    let file = task.open("comm", false).ok()?;
    let text = std::io::read_to_string(file).ok()?;
    Some(text.trim_end().to_owned())
}

/// Writes without ever waiting: a guest that does not read its pipe stops nobody else.
fn write_to_stderr_of(task: &Task<'_>, proc: std::os::fd::BorrowedFd<'_>, line: &[u8]) {
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat(proc, format!("{}/fd/2", task.tid()), flags, Mode::empty());
    if !task.is_waiting() {
        return;
    }
    match opened {
        Ok(fd) => {
            let _ = std::fs::File::from(fd).write(line);
        }
        // A socket cannot be opened again, but it can be borrowed.
        Err(_) => {
            if let Some(fd) = borrow_stderr(task.tid()) {
                let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
                let _ = rustix::net::send(fd.as_fd(), line, flags);
            }
        }
    }
}

fn borrow_stderr(tid: i32) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(tid)?, PidfdFlags::empty()).ok()?;
    pidfd_getfd(pidfd, 2, PidfdGetfdFlags::empty()).ok()
}
