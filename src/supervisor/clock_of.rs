//! Which clock a timer counts on, as `/proc` tells.
//!
//! Whatever is read here is true of the thread only if its call still waits afterwards: ask then. A
//! sibling may close the descriptor, or put another in its place, between this look and the call;
//! then the time is converted by the wrong clock, for a program that did not say which it meant.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, readlinkat, statat};

use super::lines::{self, End};

/// How often a timer is looked for in a list that comes in parts: each part begins after as many timers
/// as were told already (`fs/seq_file.c`), and passes one over for each that was deleted meanwhile.
const LOOKS: u32 = 16;

/// A list as long as this may come in more than one part, which are a page each.
const ONE_PART: usize = 2048;

/// Why a timer's clock cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The kernel has no lists of timers (`CONFIG_CHECKPOINT_RESTORE`), or this one is too long.
    Unlisted,
    /// It does not let us see this one.
    Denied,
}

/// The clock of the timer behind descriptor `fd` of thread `tid`.
///
/// `None` if there is no such descriptor, or none of a timer, or no such thread: the kernel has the
/// right errno.
pub(super) fn of_timerfd(proc: BorrowedFd<'_>, tid: i32, fd: i32) -> Result<Option<i32>, Unknown> {
    // Other files have other things to tell, and epoll waits for a lock that a program can hold by
    // a page of its own (`fs/eventpoll.c: ep_show_fdinfo`).
    match readlinkat(proc, format!("{tid}/fd/{fd}"), Vec::with_capacity(64)) {
        Ok(target) if target.as_bytes() == b"anon_inode:[timerfd]" => {}
        Ok(_) => return Ok(None),
        Err(error) => return none_if_gone(error.into()),
    }
    let mut clock = None;
    let told = lines::read(proc, &format!("{tid}/fdinfo/{fd}"), |line| {
        clock = number(line, "clockid: ");
        clock.is_some()
    });
    match told {
        Ok(_) => Ok(clock),
        Err(error) => none_if_gone(error),
    }
}

/// The clock of the timer that the process of thread `tid` calls `timer`; `None` as above.
pub(super) fn of_timer(proc: BorrowedFd<'_>, tid: i32, timer: i32) -> Result<Option<i32>, Unknown> {
    let path = format!("{tid}/timers");
    let (mut is_it, mut clock) = (false, None);
    for _ in 0..LOOKS {
        let mut length = 0;
        let told = lines::read(proc, &path, |line| {
            length += line.len();
            match number(line, "ID: ") {
                Some(id) => is_it = id == timer,
                None if is_it => clock = number(line, "ClockID: "),
                None => {}
            }
            clock.is_some()
        });
        match told {
            Ok(End::Cut) => return Err(Unknown::Unlisted),
            Ok(End::Whole) if length > ONE_PART => {}
            Ok(End::Found | End::Whole) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !are_timers_listed(proc) => {
                return Err(Unknown::Unlisted);
            }
            Err(error) => return none_if_gone(error),
        }
    }
    Ok(clock)
}

/// Whether the kernel lists timers at all.
fn are_timers_listed(proc: BorrowedFd<'_>) -> bool {
    statat(proc, "self/timers", AtFlags::empty()).is_ok()
}

fn none_if_gone(error: io::Error) -> Result<Option<i32>, Unknown> {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Err(Unknown::Denied),
        _ => Ok(None),
    }
}

fn number(line: &[u8], key: &str) -> Option<i32> {
    lines::value(line, key)?.parse().ok()
}

#[cfg(test)]
#[path = "clock_of_tests.rs"]
mod tests;
