//! Warnings about a program.
//!
//! The front prints them as long as the command runs. Afterwards they go to the program's own
//! standard error, since the supervisor holds nobody's terminal or pipe open.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::message;
use crate::inject::{Missing, Task};
use crate::line::one_line;
use crate::sys::seccomp::Answer;

/// How many programs are remembered as warned of.
const REMEMBERED: usize = 64;

/// Warns once for each program image.
pub(super) struct Warnings {
    front: Option<OwnedFd>,
    said: VecDeque<(i32, String)>,
}

impl Warnings {
    pub(super) fn new(front: Option<OwnedFd>) -> Self {
        Self {
            front,
            said: VecDeque::new(),
        }
    }

    /// Says that the program of `task` runs at host time, and why, and lets it go on. If nobody
    /// can be told, its call fails: host time is never silent.
    ///
    /// `None` if nobody waits for the answer any more.
    pub(super) fn host_time(
        &mut self,
        task: &Task<'_>,
        proc: BorrowedFd<'_>,
        why: Missing,
    ) -> Option<Answer> {
        let reason = match why {
            Missing::Gone => return None,
            // Every read of such a program is a system call, which is answered.
            Missing::NoVdso => return Some(Answer::Continue),
            Missing::Compat => "it is a 32-bit or x32 program",
            Missing::Denied => "its memory may not be written without CAP_SYS_PTRACE",
            Missing::Foreign => "its vDSO is not the kernel's",
        };
        let link = readlinkat(proc, format!("{}/exe", task.tid()), Vec::new());
        let name = match link {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => comm(task).unwrap_or_else(|| format!("process {}", task.tid())),
        };
        if !task.is_waiting() {
            return None;
        }
        let key = (task.tid(), name);
        if self.said.contains(&key) {
            return Some(Answer::Continue);
        }
        let line = format!("`{}` sees the host's clocks: {reason}", one_line(&key.1));
        if !self.say(task, proc, &line) {
            return Some(Answer::Errno(libc::ENOSYS));
        }
        if self.said.len() == REMEMBERED {
            self.said.pop_front();
        }
        self.said.push_back(key);
        Some(Answer::Continue)
    }

    fn say(&mut self, task: &Task<'_>, proc: BorrowedFd<'_>, line: &str) -> bool {
        if let Some(front) = &self.front {
            if message::warn(front.as_fd(), line) {
                return true;
            }
            self.front = None;
        }
        let line = format!("elsewhen: warning: {line}\n");
        write_to_stderr_of(task, proc, line.as_bytes()).is_some()
    }
}

fn comm(task: &Task<'_>) -> Option<String> {
    let file = task.open("comm", false).ok()?;
    let text = std::io::read_to_string(file).ok()?;
    Some(text.trim_end().to_owned())
}

/// Writes without ever waiting: a guest that does not read its pipe stops nobody else.
fn write_to_stderr_of(task: &Task<'_>, proc: BorrowedFd<'_>, line: &[u8]) -> Option<()> {
    let borrowed = task.is_open_to_us().then(|| borrow_stderr(task.tid()));
    // An open file description of our own where it can block, the program's where it has an offset.
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat(proc, format!("{}/fd/2", task.tid()), flags, Mode::empty());
    if !task.is_waiting() {
        return None;
    }
    let Some(borrowed) = borrowed else {
        // At a file's end, where the program may write over it.
        let written = std::fs::File::from(opened.ok()?).write(line).ok()?;
        return (written == line.len()).then_some(());
    };
    let borrowed = borrowed?;
    let kind = FileType::from_raw_mode(fstat(&borrowed).ok()?.st_mode);
    let written = match kind {
        FileType::RegularFile => std::fs::File::from(borrowed).write(line).ok()?,
        FileType::Socket => {
            let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
            rustix::net::send(borrowed, line, flags).ok()?
        }
        _ => std::fs::File::from(opened.ok()?).write(line).ok()?,
    };
    (written == line.len()).then_some(())
}

fn borrow_stderr(tid: i32) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(tid)?, PidfdFlags::empty()).ok()?;
    pidfd_getfd(pidfd, 2, PidfdGetfdFlags::empty()).ok()
}
