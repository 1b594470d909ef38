//! The gate's place in an image, its distances to the parameter page, and its frame description.
//!
//! It lies in the padding behind everything else, in a page that most programs never need of their own:
//! it is written into a program when it makes its first absolute wait.

use std::ops::Range;

use super::arch;
use super::blob;
use super::bytes::put;
use crate::page::frame;

/// The last word of a gate that is in place.
pub(crate) const MAGIC: [u8; 8] = *b"elsegate";

/// The gate of an image.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    at: usize,
    bytes: Vec<u8>,
    has_opens: bool,
}

/// How much of the gate there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// Without the end, where threads come in that open files.
    Waits,
}

impl Extent {
    fn code(self) -> usize {
        match self {
            Self::Whole => blob::GATE_END,
            Self::Waits => blob::GATE_OPEN,
        }
    }

    /// The length of a gate, with a frame description of its own if it is to have one.
    pub(super) fn len(self, has_description: bool) -> usize {
        let description = if has_description { DESCRIPTION } else { 0 };
        let described = self.code().next_multiple_of(8) + description;
        described.next_multiple_of(8) + MAGIC.len()
    }
}

impl Gate {
    /// Where it lies in the image.
    pub(crate) fn range(&self) -> Range<usize> {
        self.at..self.at + self.bytes.len()
    }

    /// All of it; its last eight bytes tell that it is in place.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where threads come in that know nothing of their call, from a patched site.
    pub(crate) fn entry(&self) -> usize {
        self.at
    }

    /// Where threads come in that have been told (`page::CALL`); the length of a `syscall` behind it those
    /// that were interrupted.
    pub(crate) fn first(&self) -> usize {
        self.at + blob::GATE_FIRST
    }

    /// Where threads come in from a patched site that opens a file.
    pub(crate) fn open(&self) -> Option<usize> {
        self.has_opens.then_some(self.at + blob::GATE_OPEN)
    }

    /// Where a thread loads all anew by its stack pointer alone.
    pub(crate) fn restart(&self) -> usize {
        self.at + blob::GATE_RESTART
    }

    /// Behind the call that is made here.
    pub(crate) fn after(&self) -> usize {
        self.at + blob::GATE_AFTER
    }

    /// What leads to [`Gate::restart`]; the length of a `syscall` behind it, for those that were interrupted.
    pub(crate) fn again(&self) -> usize {
        self.at + blob::GATE_AGAIN
    }

    /// Where a frame description of its own begins.
    pub(super) fn description_at(&self) -> usize {
        let extent = match self.has_opens {
            true => Extent::Whole,
            false => Extent::Waits,
        };
        self.at + extent.code().next_multiple_of(8)
    }

    /// Has the gate lie at `at`, with the parameter page at `page_at`, and its frame description
    /// behind it if `cie_at`, a record to go by, is given.
    pub(super) fn new(
        at: usize,
        extent: Extent,
        page_at: usize,
        cie_at: Option<usize>,
    ) -> Option<Self> {
        let mut bytes = blob::GATE.get(..extent.code())?.to_vec();
        for (site, field) in blob::GATE_SITES {
            let to = page_at + field;
            let distance = distance(at + site + 4, to)?;
            put(&mut bytes, site, &distance)?;
        }
        let align = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(8), 0);
        align(&mut bytes);
        if let Some(cie_at) = cie_at {
            let record_at = at + bytes.len();
            bytes.extend(description(record_at, cie_at, at, extent)?);
            align(&mut bytes);
        }
        bytes.extend(MAGIC);
        Some(Self {
            at,
            bytes,
            has_opens: extent == Extent::Whole,
        })
    }
}

/// How every gate begins, wherever it lies.
pub(crate) fn beginning() -> &'static [u8] {
    blob::GATE.get(..blob::GATE_RESTART).unwrap_or_default()
}

/// What opens files, to be put elsewhere where the image has no room for it: up to the jump to the gate's
/// end, that end, and a mark.
pub(crate) fn opens() -> Vec<u8> {
    let code = |range: Range<usize>| blob::GATE.get(range).unwrap_or_default();
    let leaving = blob::GATE_LEAVE..blob::GATE_LEFT + arch::JUMP_TO_REGISTER_LEN;
    [
        code(blob::GATE_OPEN..blob::GATE_OPENED),
        code(leaving),
        b"elseopen",
    ]
    .concat()
}

/// The length of [`description`].
pub(super) const DESCRIPTION: usize = (17 + RULES.len()).next_multiple_of(8) + 4;

/// An FDE at `record_at` of the gate at `gate_at`, by the CIE at `cie_at`.
fn description(record_at: usize, cie_at: usize, gate_at: usize, extent: Extent) -> Option<Vec<u8>> {
    let mut record = u32::try_from(DESCRIPTION - 4).ok()?.to_le_bytes().to_vec();
    // Back from the word itself.
    record.extend(distance(cie_at, record_at + 4)?);
    record.extend(range(record_at + 8, gate_at, extent)?);
    record.resize(DESCRIPTION, 0);
    Some(record)
}

/// What follows the link to the CIE in an FDE of the gate; it fits the CIE that compilers make for
/// x86-64.
pub(super) fn range(at: usize, gate_at: usize, extent: Extent) -> Option<Vec<u8>> {
    let mut words = distance(at, gate_at)?.to_vec();
    words.extend(u32::try_from(extent.code()).ok()?.to_le_bytes());
    // No augmentation data.
    words.push(0);
    words.extend(RULES);
    Some(words)
}

/// The gate's unwind rules: the return address is in `rcx` before the frame is made and after it is
/// left, and in the frame between; but for the two instructions that make the frame of an open.
const RULES: [u8; 26] = arch::gate_rules(
    [
        blob::GATE_LOWERED,
        blob::GATE_KEPT,
        blob::GATE_LEFT,
        blob::GATE_INSIDE,
    ],
    frame::SIZE,
    frame::BACK,
);

/// A thread stopped between the first two of these places can be taken back to the first.
const _: () = assert!(
    blob::GATE_RESTART < blob::GATE_CALL && blob::GATE_CALL + arch::SYSCALL_LEN == blob::GATE_AFTER
);

fn distance(from: usize, to: usize) -> Option<[u8; 4]> {
    let distance = to.cast_signed().checked_sub(from.cast_signed())?;
    i32::try_from(distance).ok().map(i32::to_le_bytes)
}
