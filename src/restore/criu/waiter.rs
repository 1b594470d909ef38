//! The process that waits for CRIU to let go of a tree, and then makes it whole.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;

use crate::line::one_line;
use crate::sys::process::{self, Forked};
use crate::{Error, Result};

/// How long CRIU is kept waiting.
const PATIENCE: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// Does `work` in a process of its own, which the caller does not wait for; nothing if there is one already
/// that does it: runc's CRIU starts each action script twice, as it reads `org.criu.config` twice.
pub(super) fn start(first: i32, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if find(first).is_some() {
        return Ok(());
    }
    // Before there is one: it is looked for as soon as the caller has ended.
    name(first);
    match process::fork().map_err(|error| Error::os("cannot start a process", error))? {
        Forked::Parent(_) => Ok(()),
        Forked::Child => {
            let _ = rustix::process::setsid();
            let done = work();
            if let Err(error) = &done {
                let line = format!("elsewhen: {}\n", one_line(&error.to_string()));
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
            process::exit_now(i32::from(done.is_err()))
        }
    }
}

/// Waits until that is done.
///
/// The process that does it lets go of the first process last, and the kernel kills that if its tracer
/// dies before: if it is there, all of the tree goes on.
///
/// # Errors
/// The tree was killed, or it has not been made whole in time and is killed here.
pub(super) fn wait(first: i32) -> Result<()> {
    let open = |pid: i32| pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok();
    // Before it is waited for: those below a process that has ended are not found by it any more.
    let members = super::tree::members(first)?;
    let held: Vec<OwnedFd> = members.into_iter().filter_map(open).collect();
    let mut is_late = false;
    if let Some(waiter) = find(first).and_then(open) {
        let ended = poll(&mut [PollFd::new(&waiter, PollFlags::IN)], Some(&PATIENCE));
        is_late = ended == Ok(0);
        if is_late {
            let _ = pidfd_send_signal(&waiter, Signal::KILL);
        }
    }
    if !is_late && super::tree::members(first)?.contains(&first) {
        return Ok(());
    }
    for process in held {
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
    Err(Error::new(match is_late {
        true => "the restored processes could not be given their clocks within a minute",
        false => "the restored processes have ended",
    }))
}

fn name(first: i32) {
    if let Ok(name) = std::ffi::CString::new(name_of(first)) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// Fit for `/proc/PID/comm`.
fn name_of(first: i32) -> String {
    format!("criu {first}")
}

/// Of the processes of this name only those count that run this program for this user: anybody can give
/// one of his the name.
fn find(first: i32) -> Option<i32> {
    let own = fs::read_link("/proc/self/exe").ok()?;
    let name = name_of(first);
    let pids = fs::read_dir("/proc").ok()?;
    let mut pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let user = rustix::process::geteuid().as_raw();
    pids.find(|pid: &i32| {
        let is_ours = fs::metadata(format!("/proc/{pid}")).is_ok_and(|of| of.uid() == user);
        let is_named = fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.trim_end() == name);
        is_ours && is_named && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == own)
    })
}
