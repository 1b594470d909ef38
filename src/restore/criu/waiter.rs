//! The process that waits for CRIU to let go of a tree, and then makes it whole.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;

use crate::line::one_line;
use crate::sys::process::{self, Forked};
use crate::{Error, Result};

/// How long CRIU is kept waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether that has done its work.
const OFTEN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// Does `work` in a process of its own, which the caller does not wait for; nothing if there is one already
/// that does it: runc's CRIU starts each action script twice, as it reads `org.criu.config` twice.
///
/// When that has done its work it says so by its name, until the process `criu` has ended: whoever finds none
/// knows that it has been killed.
pub(super) fn start(first: i32, criu: i32, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if let Some(waiter) = find(first) {
        if !waiter.is_done {
            return Ok(());
        }
        // Of an earlier restore, whose processes had the same numbers.
        waiter.kill();
    }
    let criu = open(criu).ok_or_else(|| Error::new("CRIU has ended"))?;
    // Before there is one: it is looked for as soon as the caller has ended.
    name(&name_of(first));
    match process::fork().map_err(|error| Error::os("cannot start a process", error))? {
        Forked::Parent(_) => Ok(()),
        Forked::Child => {
            let _ = rustix::process::setsid();
            let done = work();
            match &done {
                Ok(()) => {
                    name(&name_when_done(first));
                    let _ = poll(&mut [PollFd::new(&criu, PollFlags::IN)], None);
                }
                Err(error) => {
                    let line = format!("elsewhen: {}\n", one_line(&error.to_string()));
                    let _ = std::io::stderr().write_all(line.as_bytes());
                }
            }
            process::exit_now(i32::from(done.is_err()))
        }
    }
}

/// Waits until that is done.
///
/// # Errors
/// The process that was to do it has ended before, or it has not done it in time: all of the tree is killed
/// here. The kernel kills only those of a tracer that has died which that had seized by then.
pub(super) fn wait(first: i32) -> Result<()> {
    // Before it is waited for: those below a process that has ended are not found by it any more.
    let members = super::tree::members(first)?;
    let held: Vec<OwnedFd> = members.into_iter().filter_map(open).collect();
    let end = find(first).map_or(End::Killed, |waiter| waiter.wait(first));
    if matches!(end, End::Done) {
        return Ok(());
    }
    let had_ended = !super::tree::members(first).is_ok_and(|now| now.contains(&first));
    for process in held {
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
    Err(Error::new(match end {
        End::Late => "the restored processes could not be given their clocks within a minute",
        _ if had_ended => "the restored processes have ended",
        _ => {
            "the process that gives the restored processes their clocks was killed before it had done so: \
             they are ended; restore them again"
        }
    }))
}

/// The process that waits for CRIU.
struct Waiter {
    pid: i32,
    process: OwnedFd,
    /// Whether all of the tree goes on.
    is_done: bool,
}

/// How the wait for it has ended.
enum End {
    Done,
    /// It has ended, and has not said that it has done its work.
    Killed,
    Late,
}

impl Waiter {
    fn wait(self, first: i32) -> End {
        let since = Instant::now();
        let mut is_done = self.is_done;
        let mut has_ended = false;
        while !is_done {
            if has_ended {
                return End::Killed;
            }
            if since.elapsed() > PATIENCE {
                self.kill();
                return End::Late;
            }
            let ended = poll(
                &mut [PollFd::new(&self.process, PollFlags::IN)],
                Some(&OFTEN),
            );
            has_ended = ended.is_ok_and(|count| count > 0);
            // It may have said so before it ended.
            is_done = comm(self.pid).is_some_and(|comm| comm == name_when_done(first));
        }
        End::Done
    }

    fn kill(&self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

fn name(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// Fit for `/proc/PID/comm`.
fn name_of(first: i32) -> String {
    format!("criu {first}")
}

/// The same, of at most 15 bytes.
fn name_when_done(first: i32) -> String {
    format!("criu {first} ok")
}

fn comm(pid: i32) -> Option<String> {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(comm.trim_end().to_owned())
}

/// Of the processes of this name only those count that run this program for this user: anybody can give
/// one of his the name.
fn find(first: i32) -> Option<Waiter> {
    let own = fs::read_link("/proc/self/exe").ok()?;
    let user = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_ours = |pid: i32| {
        fs::metadata(format!("/proc/{pid}")).is_ok_and(|of| of.uid() == user)
            && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == own)
    };
    let mut found = pids.filter_map(|pid: i32| {
        // One that has the number later has another name.
        let process = open(pid)?;
        let comm = comm(pid)?;
        let is_done = comm == name_when_done(first);
        (is_done || comm == name_of(first))
            .then_some(pid)
            .filter(|pid| is_ours(*pid))
            .map(|pid| Waiter {
                pid,
                process,
                is_done,
            })
    });
    found.next()
}
