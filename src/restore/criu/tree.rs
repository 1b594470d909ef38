//! The processes that CRIU has restored: the first one, and those below it.

use std::io;
use std::os::fd::AsFd;

use super::offsets::proc;
use crate::supervisor::has_ended;
use crate::sys::process;
use crate::{Error, Result};

/// The processes below `first` and itself, parents first; those that have ended are left out.
///
/// As long as they are stopped there are no others to come.
///
/// # Errors
/// Some cannot be looked for: a tree of which a part is left out is not whole.
pub(super) fn members(first: i32) -> Result<Vec<i32>> {
    let mut found = vec![first];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        for tid in threads(pid)? {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/children"));
            let children = match children {
                Ok(children) => children,
                Err(e) if is_gone(&e) => continue,
                Err(e) => {
                    let what = format!("cannot read the children of process {pid}");
                    return Err(Error::os(what, e));
                }
            };
            found.extend(
                children
                    .split_ascii_whitespace()
                    .filter_map(|child| child.parse::<i32>().ok()),
            );
        }
        at += 1;
    }
    let proc = proc()?;
    found.retain(|pid| !has_ended(proc.as_fd(), *pid));
    Ok(found)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// The threads of a process; none if it is gone.
pub(super) fn threads(pid: i32) -> Result<Vec<i32>> {
    let entries = match std::fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(entries) => entries,
        Err(e) if is_gone(&e) => return Ok(Vec::new()),
        Err(e) => {
            return Err(Error::os(
                format!("cannot list the threads of process {pid}"),
                e,
            ));
        }
    };
    let mut tids: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    tids.sort_unstable();
    Ok(tids)
}

/// Stops the processes before their first instruction: CRIU, which traces them, has yet to let go.
pub(super) fn stop(first: i32) -> Result<()> {
    let members = members(first)?;
    if members.is_empty() {
        return Err(Error::new(format!("process {first} has ended")));
    }
    for pid in members {
        process::kill(pid, libc::SIGSTOP);
    }
    Ok(())
}

/// The number that a process has in its own pid namespace, by which the images name it.
pub(super) fn inner_pid(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_ascii_whitespace().next_back()?.parse().ok()
}
