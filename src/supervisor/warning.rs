//! Warnings about a program.
//!
//! The front prints them as long as the command runs. Afterwards they go to the program's own
//! standard error, since the supervisor holds nobody's terminal or pipe open.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fstat, open, openat, readlinkat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::{message, namespaces};
use crate::inject::{Missing, Task};
use crate::line::one_line;
use crate::sys::seccomp::Answer;

/// How many programs are remembered as warned of.
const REMEMBERED: usize = 64;

/// Warns once for each program image.
pub(super) struct Warnings {
    /// Or a container's agent.
    front: Option<OwnedFd>,
    is_container: bool,
    said: VecDeque<(i32, String)>,
}

impl Warnings {
    pub(super) fn new(front: Option<OwnedFd>, is_container: bool) -> Self {
        Self {
            front,
            is_container,
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
        let what = match why {
            Missing::Gone => return None,
            // Every read of such a program is a system call, which is answered.
            Missing::NoVdso => return Some(Answer::Continue),
            Missing::Compat => "sees the host's clocks: it is a 32-bit or x32 program",
            Missing::Denied if self.is_container => {
                "gets no clocks: the agent may not write its memory; run that as root with CAP_SYS_PTRACE and \
                 CAP_DAC_OVERRIDE, or by `podman unshare`"
            }
            Missing::Denied => {
                "sees the host's clocks: its memory may not be written without CAP_SYS_PTRACE"
            }
            Missing::Foreign => "sees the host's clocks: its vDSO is not the kernel's",
            Missing::NoGate => {
                "waits for absolute times by the host's clocks: this kernel's vDSO has no room for what converts them"
            }
        };
        let link = readlinkat(proc, format!("{}/exe", task.tid()), Vec::new());
        let name = match link {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => comm(task).unwrap_or_else(|| format!("process {}", task.tid())),
        };
        // Any of its threads may wait.
        let id = match why {
            Missing::NoGate => namespaces::process_of(proc, task.tid()).unwrap_or(task.tid()),
            _ => task.tid(),
        };
        if !task.is_waiting() {
            return None;
        }
        let key = (id, name);
        if self.said.contains(&key) {
            return Some(Answer::Continue);
        }
        let line = format!("`{}` {what}", one_line(&key.1));
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
            match message::warn(front.as_fd(), line) {
                Ok(()) => return true,
                // Whoever makes agents busy is not to be heard no more.
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.front = None,
            }
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
///
/// What the program has open it may have opened by name only, or for reading: nothing is opened with
/// our rights that the program could not write to with its own.
fn write_to_stderr_of(task: &Task<'_>, proc: BorrowedFd<'_>, line: &[u8]) -> Option<()> {
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if !task.is_open_to_us() {
        // At a file's end, where the program may write over it; our rights are the program's.
        let path = format!("{}/fd/2", task.tid());
        let opened = openat(proc, path, flags, Mode::empty()).ok()?;
        return write_all(opened, line);
    }
    let borrowed = borrow_stderr(task.tid())?;
    if !task.is_waiting() {
        return None;
    }
    let has = fcntl_getfl(&borrowed).ok()?;
    if has.contains(OFlags::PATH) || has & OFlags::RWMODE == OFlags::RDONLY {
        return None;
    }
    match FileType::from_raw_mode(fstat(&borrowed).ok()?.st_mode) {
        // With the program's own offset.
        FileType::RegularFile => write_all(borrowed, line),
        FileType::Socket => {
            let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
            (rustix::net::send(borrowed, line, flags).ok()? == line.len()).then_some(())
        }
        // By an open file description of our own, so that only ours does not wait.
        _ => {
            let path = format!("/proc/self/fd/{}", borrowed.as_raw_fd());
            write_all(open(path, flags, Mode::empty()).ok()?, line)
        }
    }
}

fn write_all(to: OwnedFd, line: &[u8]) -> Option<()> {
    let written = std::fs::File::from(to).write(line).ok()?;
    (written == line.len()).then_some(())
}

fn borrow_stderr(tid: i32) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(tid)?, PidfdFlags::empty()).ok()?;
    pidfd_getfd(pidfd, 2, PidfdGetfdFlags::empty()).ok()
}
