//! The kernel's own time namespaces: `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`, for good.
//!
//! The process itself enters and then becomes the command, so exit status, terminal and job
//! control are exactly the command's. The namespace is entered by setns(2) and not by the exec,
//! which takes a process along only since Linux 6.2.

mod exec;
mod offsets;
mod sys;

pub(crate) use exec::exec;
pub(crate) use offsets::stated;

use std::fs::File;
use std::io;

use rustix::thread::{CapabilitySet, capabilities};

use crate::clock::ClockOffsets;
use crate::{Error, Result};

pub(crate) const OFFSETS: &str = "/proc/self/timens_offsets";
const OWN: &str = "/proc/self/ns/time";
const FOR_CHILDREN: &str = "/proc/self/ns/time_for_children";

/// Puts this process, which must have one thread, into a new time namespace.
///
/// The offsets are counted from the clocks as this process sees them now: a namespace that it is
/// in already is added to, which the kernel itself does not do. REALTIME and TAI are not looked at.
///
/// # Errors
/// The clocks are as they were then, those of later children too. `EPERM` without `CAP_SYS_ADMIN` and `CAP_SYS_TIME`, `EINVAL` or `ENOENT` where the kernel has
/// no time namespaces, `ENOSPC` beyond `user.max_time_namespaces`, `ERANGE` beyond the limits.
pub(crate) fn enter(offsets: &ClockOffsets) -> Result<()> {
    sys::unshare_time().map_err(cannot_make)?;
    let inherited = std::fs::read_to_string(OFFSETS)
        .map_err(|error| Error::os(format!("cannot read `{OFFSETS}`"), error))?;
    let text = offsets::added(&inherited, offsets)
        .ok_or_else(|| Error::new(format!("cannot understand `{OFFSETS}`")))?;
    // Both lines in one write: the kernel takes both or neither.
    std::fs::write(OFFSETS, text).map_err(cannot_set)?;
    enter_that_of_children().inspect_err(|_| {
        // Until a process has entered it, a namespace can be told other offsets.
        let _ = std::fs::write(OFFSETS, inherited);
    })
}

fn enter_that_of_children() -> Result<()> {
    let namespace = File::open(FOR_CHILDREN)
        .map_err(|error| Error::os(format!("cannot open `{FOR_CHILDREN}`"), error))?;
    sys::setns_time(&namespace)
        .map_err(|error| Error::os("cannot enter the new time namespace", error))
}

/// Puts this process, which must have one thread, into a time namespace that is there already.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub(crate) fn join(namespace: &File) -> Result<()> {
    sys::setns_time(namespace).map_err(|error| {
        Error::os("cannot enter the kernel's time namespace", error).with_way_out("run it as root")
    })
}

/// Whether this process may make time namespaces and set their clocks, by its capabilities: whoever
/// forbids it by other means is met at the attempt.
pub(crate) fn may_make() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_TIME;
    let has_needed = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
    has_needed && rustix::fs::access(OWN, rustix::fs::Access::EXISTS).is_ok()
}

/// Makes a time namespace in a child that ends at once, and sets its clocks.
pub(crate) fn probe() -> io::Result<()> {
    sys::in_child(|| {
        sys::unshare_time()?;
        sys::write_file(c"/proc/self/timens_offsets", b"monotonic 0 0\n")
    })
}

/// What the kernel's time namespaces lack of what is asked for: the option that asks for it, and
/// what there is none of.
pub(crate) fn lacking(
    offsets: &ClockOffsets,
    name: Option<&str>,
) -> Option<(&'static str, &'static str)> {
    if !offsets.realtime.is_zero() {
        Some(("--realtime", "CLOCK_REALTIME of their own"))
    } else if !offsets.tai.is_zero() {
        Some(("--tai", "CLOCK_TAI of their own"))
    } else {
        name.map(|_| ("--name", "names"))
    }
}

fn cannot_make(error: io::Error) -> Error {
    let cannot = Error::os("cannot make a time namespace", error);
    let way_out = match cannot.errno() {
        Some(libc::EPERM) => "run it as root or in a user namespace, or use `--backend=guest`",
        Some(libc::EINVAL | libc::ENOSYS) => {
            "this kernel has none (`CONFIG_TIME_NS`, Linux 5.6): use `--backend=guest`"
        }
        Some(libc::ENOSPC) => {
            "raise `/proc/sys/user/max_time_namespaces`, or use `--backend=guest`"
        }
        _ => "use `--backend=guest`",
    };
    cannot.with_way_out(way_out)
}

fn cannot_set(error: io::Error) -> Error {
    let cannot = Error::os(format!("cannot write `{OFFSETS}`"), error);
    let way_out = match cannot.errno() {
        Some(libc::EPERM | libc::EACCES) => "run it as root, or use `--backend=guest`",
        Some(libc::ERANGE) => "use smaller values for `--monotonic` and `--boottime`",
        _ => "use `--backend=guest`",
    };
    cannot.with_way_out(way_out)
}
