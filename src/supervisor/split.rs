//! Which clocks the kernel keeps in a tree, and which its supervisor.

use super::door::Outer;
use crate::backend::Backend;
use crate::clock::{ClockOffsets, Offset};
use crate::filter::Shifted;
use crate::{Error, Result, kernel};

/// How a tree's clocks are shared out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// The supervisor's part: none of MONOTONIC and BOOTTIME where the kernel keeps these.
    pub(super) offsets: ClockOffsets,
    /// Whether the kernel keeps them. They may have no offset from the host's, but an inner
    /// namespace may get one.
    pub(super) leaves_to_kernel: bool,
}

impl Split {
    /// Leaves MONOTONIC and BOOTTIME to the kernel where that may be done: then this process, which
    /// must have one thread, is in a time namespace of the kernel's with their offsets.
    ///
    /// An inner namespace does as the outermost, whose filter sees all calls with times of these
    /// clocks or none.
    ///
    /// # Errors
    /// An inner namespace shifts a clock that the kernel keeps, and may make no namespace of its.
    pub(super) fn make(
        backend: Backend,
        outer: Option<&Outer>,
        offsets: &ClockOffsets,
    ) -> Result<Self> {
        let may_leave = match outer {
            Some(outer) => outer.leaves_to_kernel(),
            None => backend == Backend::Auto && kernel::may_make(),
        };
        let all_ours = Self {
            offsets: *offsets,
            leaves_to_kernel: false,
        };
        if !may_leave {
            return Ok(all_ours);
        }
        if !offsets.monotonic.is_zero() || !offsets.boottime.is_zero() {
            match (kernel::enter(offsets), outer) {
                (Ok(()), _) => {}
                (Err(_), None) => return Ok(all_ours),
                (Err(error), Some(_)) => return Err(not_ours(error)),
            }
        }
        Ok(Self {
            offsets: ClockOffsets {
                monotonic: Offset::ZERO,
                boottime: Offset::ZERO,
                ..*offsets
            },
            leaves_to_kernel: true,
        })
    }

    /// The clocks whose times the filter looks at.
    pub(super) fn shifted(&self) -> Shifted {
        match self.leaves_to_kernel {
            true => Shifted::of(&self.offsets),
            // A program can make itself a namespace that shifts any.
            false => Shifted::ANY,
        }
    }
}

fn not_ours(error: Error) -> Error {
    const WHY: &str = "the kernel keeps CLOCK_MONOTONIC and CLOCK_BOOTTIME in the time namespace \
                       around this process";
    error
        .behind(WHY)
        .with_way_out("start that one with `--backend=guest`")
}
