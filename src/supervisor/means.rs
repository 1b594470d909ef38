//! What every keeper with a worker needs besides its listener.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{PidfdFlags, pidfd_open};

use super::journal::Journal;
use super::timens::Owner;
use super::watchdog::Watchdog;
use crate::sys::{shared, signal};
use crate::{Error, Result};

/// Made by the process that becomes the keeper.
pub(super) struct Means {
    pub(super) journal: &'static Journal,
    pub(super) watchdog: Watchdog,
    /// `/proc`.
    pub(super) proc: OwnedFd,
    /// Whose the tree's own namespace is.
    pub(super) owner: Owner,
    /// The keeper itself.
    pub(super) keeper: OwnedFd,
    /// SIGCHLD.
    pub(super) signals: OwnedFd,
}

impl Means {
    /// # Errors
    /// Memory or descriptors are wanting, or `/proc`.
    pub(super) fn gather() -> Result<Self> {
        let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::os("cannot open `/proc`", e.into()))?;
        Ok(Self {
            journal: shared::map().map_err(doing("map the journal"))?,
            watchdog: Watchdog::new().map_err(doing("make a timer"))?,
            owner: Owner::of(proc.as_fd(), "self").unwrap_or_default(),
            proc,
            keeper: pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
                .map_err(|e| Error::os("cannot open a pidfd", e.into()))?,
            signals: signal::descriptor(false).map_err(doing("make a signal descriptor"))?,
        })
    }
}

/// The supervisor finds processes by the numbers it sees them under.
///
/// # Errors
/// `/proc` shows other numbers, or is missing.
pub(super) fn check_proc() -> Result<()> {
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    match std::fs::read_link("/proc/self") {
        Ok(link) if link.as_os_str() == own.as_str() => Ok(()),
        Ok(_) => Err(Error::new(
            "`/proc` belongs to another pid namespace; mount one of this namespace's own over it",
        )),
        Err(e) => {
            Err(Error::os("cannot read `/proc/self`", e).with_way_out("mount proc(5) on `/proc`"))
        }
    }
}

pub(super) fn doing(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |e| Error::os(format!("cannot {what}"), e)
}
