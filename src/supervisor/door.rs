//! How a program inside a tree speaks to the tree's supervisor: `brk(0, COOKIE, request, …)`.
//!
//! `brk(NULL)` is notified anyway, and without a supervisor it changes nothing and looks at its
//! first argument only. So a process finds out whether a supervisor is above it with one harmless
//! system call, needs no path or descriptor for it, and cannot be fooled by a namespace of mounts.

use std::io;

use super::handlers::{Call, Failure};
use super::journal::SLOTS;
use super::namespaces;
use super::timens::Mark;
use crate::clock::ClockOffsets;
use crate::inject::GuestPtr;
use crate::page::{COOKIE, MAGIC};
use crate::{Error, Result, sys};

/// "Is a supervisor there?" The answer is [`MAGIC`], which no program break can be.
const PROBE: u64 = 1;
/// "The tree below me is a namespace": the third argument points to four packed offsets, in
/// addition to those of the caller's own namespace. They are replaced by the sums.
const ANCHOR: u64 = 2;
/// "Does the kernel keep MONOTONIC and BOOTTIME in this tree?" 1 if so, else 0.
const LEAVES_TO_KERNEL: u64 = 3;
/// As [`ANCHOR`], with offsets from the host.
const ANCHOR_AT: u64 = 4;
/// "Which offsets do I have?" They are written to where the third argument points.
const OFFSETS: u64 = 5;

/// A supervisor above this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outer {
    leaves_to_kernel: bool,
}

impl Outer {
    /// Looks for a supervisor above this process.
    ///
    /// # Errors
    /// The supervisor has died, so that no program can be started below it.
    pub(crate) fn find() -> Result<Option<Self>> {
        let answer = sys::process::raw_brk([COOKIE, PROBE, 0, 0]);
        if answer == MAGIC.cast_signed() {
            let leaves = sys::process::raw_brk([COOKIE, LEAVES_TO_KERNEL, 0, 0]);
            Ok(Some(Self {
                leaves_to_kernel: leaves == 1,
            }))
        } else if answer == -i64::from(libc::ENOSYS) {
            Err(Error::new(
                "the supervisor of the time namespace around this process has died; no new program can start in it",
            ))
        } else {
            Ok(None)
        }
    }

    /// Whether the kernel keeps MONOTONIC and BOOTTIME in its tree: its filter then sees no call with
    /// a time of these.
    pub(crate) fn leaves_to_kernel(&self) -> bool {
        self.leaves_to_kernel
    }

    /// Makes the calling process the anchor of a new namespace, `offsets` from its own; gives its
    /// offsets from the host.
    pub(super) fn anchor(self, offsets: &ClockOffsets) -> Result<ClockOffsets> {
        self.ask_for_anchor(ANCHOR, offsets)
    }

    /// Makes the calling process an anchor, `offsets` from the host.
    pub(super) fn anchor_at(self, offsets: &ClockOffsets) -> Result<ClockOffsets> {
        self.ask_for_anchor(ANCHOR_AT, offsets)
    }

    /// How far the calling process's clocks are from the host's.
    pub(crate) fn offsets(self) -> Result<ClockOffsets> {
        ask(OFFSETS, [0; 4]).map_err(|errno| {
            Error::os(
                "cannot ask for the offsets of the time namespace around this process",
                io::Error::from_raw_os_error(errno),
            )
        })
    }

    fn ask_for_anchor(self, request: u64, offsets: &ClockOffsets) -> Result<ClockOffsets> {
        let words = offsets
            .packed()
            .ok_or_else(|| Error::new("an offset lies beyond 272 years"))?;
        ask(request, words).map_err(|errno| {
            let why = match errno {
                libc::ENOSPC => format!("it has {SLOTS} already"),
                libc::ERANGE => {
                    "an offset, added to that of the outer one, lies beyond 272 years".into()
                }
                _ => "its supervisor says".into(),
            };
            Error::os(
                format!("the time namespace around this process gives no inner one: {why}"),
                io::Error::from_raw_os_error(errno),
            )
        })
    }
}

/// Makes a request with four offsets that the supervisor reads and writes; gives those, or the errno.
fn ask(request: u64, mut words: [u64; 4]) -> std::result::Result<ClockOffsets, i32> {
    let address = (&raw mut words).expose_provenance() as u64;
    let answer = sys::process::raw_brk([COOKIE, request, address, 0]);
    if answer != 0 {
        return Err(i32::try_from(-answer).unwrap_or(libc::EPROTO));
    }
    ClockOffsets::from_packed(words).ok_or(libc::EPROTO)
}

/// Answers a request; `None` if the call is an ordinary `brk(NULL)`.
pub(super) fn answer(
    call: &Call<'_>,
    leaves_to_kernel: bool,
) -> Option<std::result::Result<i64, Failure>> {
    if call.args[1] != COOKIE {
        return None;
    }
    Some(match call.args[2] {
        PROBE => Ok(MAGIC.cast_signed()),
        ANCHOR | ANCHOR_AT => add_namespace(call),
        LEAVES_TO_KERNEL => Ok(leaves_to_kernel.into()),
        OFFSETS => tell_offsets(call),
        _ => Err(Failure::Errno(libc::EINVAL)),
    })
}

fn add_namespace(call: &Call<'_>) -> std::result::Result<i64, Failure> {
    let place = GuestPtr::<[u64; 4]>::new(call.args[3]);
    let inner =
        ClockOffsets::from_packed(call.task.read(place)?).ok_or(Failure::Errno(libc::EINVAL))?;
    let outer = match call.args[2] {
        ANCHOR_AT => ClockOffsets::default(),
        _ => call.offsets,
    };
    let sum = outer
        .checked_add(&inner)
        .ok_or(Failure::Errno(libc::ERANGE))?;
    let words = sum.packed().ok_or(Failure::Errno(libc::ERANGE))?;
    call.task.write(place, &words)?;
    let anchor = namespaces::process_of(call.proc, call.task.tid()).ok_or(Failure::Gone)?;
    if !call.task.is_waiting() {
        return Err(Failure::Gone);
    }
    namespaces::add(call.journal, call.proc, anchor, &sum).ok_or(Failure::Errno(libc::ENOSPC))?;
    // Its children are below the anchor, whatever namespace it has come from.
    let _ = Mark::clear(anchor);
    Ok(0)
}

fn tell_offsets(call: &Call<'_>) -> std::result::Result<i64, Failure> {
    let words = call.offsets.packed().ok_or(Failure::Errno(libc::ERANGE))?;
    call.task.write(GuestPtr::new(call.args[3]), &words)?;
    Ok(0)
}
