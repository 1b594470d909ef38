//! A process that a runtime has put into a container which CRIU has restored.
//!
//! It has no part in what CRIU has restored: runc before 1.2 leaves it outside of the kernel's time namespace
//! that the others are in. So what its image has to add is known only where it stands.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};
use serde::{Deserialize, Serialize};

use super::namespaces::start_of;
use crate::clock::ClockOffsets;
use crate::{Error, Result, kernel, registry};

/// The container's first process, as far as is alleged, and what the profile of who joins looks at.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beside {
    pub(crate) first: i32,
    /// When that was started, in the kernel's ticks.
    pub(crate) started: u64,
    /// Whether the profile looks at absolute waits by these clocks.
    pub(crate) looks_at_monotonic: bool,
    pub(crate) looks_at_boottime: bool,
}

impl Beside {
    /// Enters the time namespace of the kernel's that process `pid` is in, and gives the offsets from its
    /// clocks; `offsets` are those from the clocks that this process has read so far.
    ///
    /// # Errors
    /// The process is not in the first one's container. The kernel's namespace cannot be entered. Or the
    /// profile leaves out a clock that is shifted.
    pub(super) fn offsets(
        &self,
        proc: BorrowedFd<'_>,
        pid: i32,
        offsets: &ClockOffsets,
    ) -> Result<ClockOffsets> {
        // A runtime in another pid namespace has meant another process by the number.
        let is_beside = ["pid", "mnt"].iter().all(|kind| {
            let of_it = namespace(proc, pid, kind);
            of_it.is_some() && of_it == namespace(proc, self.first, kind)
        });
        if !is_beside || start_of(proc, self.first) != Some(self.started) {
            return Err(Error::new(format!(
                "process {}, which the runtime takes for the first of the restored container, is not in the \
                 container: it has ended, or the runtime is in another pid namespace than the agent",
                self.first
            )));
        }
        let offsets = match follow(proc, pid)? {
            Some(moved) => offsets.checked_sub(&moved).ok_or_else(|| {
                Error::new("the restored container's clocks lie too far from the host's")
            })?,
            None => *offsets,
        };
        self.check_looked_at(&offsets)?;
        Ok(offsets)
    }

    fn check_looked_at(&self, offsets: &ClockOffsets) -> Result<()> {
        let clocks = [
            ("monotonic", self.looks_at_monotonic, offsets.monotonic),
            ("boottime", self.looks_at_boottime, offsets.boottime),
        ];
        let left_out = clocks
            .iter()
            .find(|(_, is_looked_at, offset)| !is_looked_at && !offset.is_zero());
        match left_out {
            Some((clock, ..)) => Err(Error::new(format!(
                "the restored container's `{clock}` is not the host's, and not among the clocks of its profile; \
                 make that with `--monotonic +0 --boottime +0`, or without any clock"
            ))),
            None => Ok(()),
        }
    }
}

/// Enters the kernel's time namespace of a process; how much further from the host's its clocks are than
/// this process's were, if that was another one.
fn follow(proc: BorrowedFd<'_>, pid: i32) -> Result<Option<ClockOffsets>> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let its = namespace(proc, pid, "time");
    // A kernel without time namespaces, or the same one.
    if its.is_none() || its == namespace(proc, own, "time") {
        return Ok(None);
    }
    let before = registry::kernels_offsets();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(proc, format!("{pid}/ns/time"), flags, Mode::empty());
    let file = file.map_err(|e| Error::os("cannot open the kernel's time namespace", e.into()))?;
    kernel::join(&File::from(file))?;
    let after = registry::kernels_offsets();
    let moved = after.checked_sub(&before);
    moved.map(Some).ok_or_else(|| {
        Error::new("the kernel's time namespace lies too far from the one of the agent")
    })
}

/// What the kernel knows a process's namespace by.
fn namespace(proc: BorrowedFd<'_>, pid: i32, kind: &str) -> Option<(u64, u64)> {
    let found = statat(proc, format!("{pid}/ns/{kind}"), AtFlags::empty()).ok()?;
    Some((found.st_dev, found.st_ino))
}
