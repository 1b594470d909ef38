//! The process that waits for CRIU to let go of a tree, and then makes it whole.

use std::fs;
use std::io::Write;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
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
/// # Errors
/// The tree is not there: it was killed.
pub(super) fn wait(first: i32) -> Result<()> {
    if let Some(waiter) = find(first).and_then(Pid::from_raw)
        && let Ok(pidfd) = pidfd_open(waiter, PidfdFlags::empty())
    {
        let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&PATIENCE));
    }
    match super::tree::members(first).contains(&first) {
        true => Ok(()),
        false => Err(Error::new("the restored processes have ended")),
    }
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

/// Of the processes of this name only those that run this program count.
fn find(first: i32) -> Option<i32> {
    let own = fs::read_link("/proc/self/exe").ok()?;
    let name = name_of(first);
    let pids = fs::read_dir("/proc").ok()?;
    let mut pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(|pid: &i32| {
        let is_named = fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.trim_end() == name);
        is_named && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == own)
    })
}
