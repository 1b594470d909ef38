//! Images in processes that CRIU has restored.

use std::mem::offset_of;
use std::ops::Range;

use super::{Found, Injector, Missing, Task, force, found_in, gone_or};
use crate::clock::ClockOffsets;
use crate::image::{GATE_MARK, Image, gate_beginning};
use crate::page::{COOKIE, MAGIC, Page, VERSION};

/// What of a restored image need not be as it was: where CRIU leads its functions to its own vDSO, and
/// what is written there by this file.
const JUMP: usize = 16;

/// An image that CRIU has kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) base: u64,
    page_at: u64,
    /// Where its gate lies, if it has got one.
    pub(crate) gate_at: Option<u64>,
    pub(crate) found: Found,
    /// Whether its gate, if it has got one, is one that this elsewhen knows its way in.
    pub(crate) is_known: bool,
}

impl Injector {
    /// Where the program looks for its vDSO.
    pub(crate) fn vdso_of(&self, task: &Task<'_>) -> Result<u64, Missing> {
        self.find_base(task)
    }

    /// Whether the image at `base` is laid out like this one, so that who was stopped in it can go on in
    /// this one: all of it but what has been written over.
    pub(crate) fn is_like(&self, task: &Task<'_>, base: u64) -> bool {
        let image = self.image.template();
        let mut there = vec![0; image.len()];
        if task.peek(base, &mut there).is_err() {
            return false;
        }
        let gate = self.image.gate();
        let mut differ = (0..image.len()).filter(|at| image[*at] != there[*at]);
        let mut over = 0;
        let page = self.image.page_at()..self.image.page_at() + size_of::<Page>();
        let is_gates = |at: usize| {
            gate.is_some_and(|gate| {
                let range = gate.range();
                range.contains(&at) && gate.bytes()[at - range.start] == there[at]
            })
        };
        // Jumps over five functions, each of some bytes.
        let mut jumps = 0;
        differ.all(|at| {
            if at < over || page.contains(&at) || is_gates(at) {
                return true;
            }
            jumps += 1;
            over = at + JUMP;
            jumps <= 5
        })
    }

    /// The image in pages that CRIU has kept as ordinary memory, if there is one, however it is laid out.
    pub(crate) fn find_kept(&self, task: &Task<'_>, range: &Range<u64>) -> Option<Kept> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
        task.peek(range.start, &mut bytes).ok()?;
        let is_page = |page: &[u8]| {
            page.starts_with(&VERSION.to_le_bytes()) && page.ends_with(&MAGIC.to_le_bytes())
        };
        let last = bytes.len().checked_sub(size_of::<Page>())?;
        let mut places = (0..=last).step_by(8);
        let page_at = places.find(|at| is_page(&bytes[*at..][..size_of::<Page>()]))?;
        let beginning = gate_beginning();
        let mut windows = bytes.windows(beginning.len());
        let gate = windows.position(|window| window == beginning);
        let mut words = bytes.chunks_exact(8);
        let has_gate = words.any(|word| word == GATE_MARK);
        Some(Kept {
            is_known: gate.is_some() || !has_gate,
            base: range.start,
            page_at: range.start + page_at as u64,
            gate_at: gate.map(|at| range.start + at as u64),
            found: found_in(&bytes[page_at..])?,
        })
    }

    /// Has a kept image go by other offsets: that is what its gate and its slow paths use.
    pub(crate) fn rewrite_kept(
        &mut self,
        task: &Task<'_>,
        kept: &Kept,
        offsets: &ClockOffsets,
    ) -> Result<(), Missing> {
        let mut bytes = Image::words(offsets)
            .map_err(|_| Missing::Foreign)?
            .map(u64::to_le_bytes)
            .concat();
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(COOKIE.to_le_bytes());
        let mem = task.mem().map_err(|_| gone_or(task, Missing::Denied))?;
        let at = kept.page_at + offset_of!(Page, offsets) as u64;
        match force::write(task.tid(), mem, &bytes, at) {
            true => Ok(()),
            false => Err(gone_or(task, Missing::Denied)),
        }
    }

    /// Writes an image into this kernel's vDSO where CRIU has left its mark in that, by which it knows it
    /// at the next dump: only what differs from the kernel's.
    pub(crate) fn write_beside_mark(
        &mut self,
        task: &Task<'_>,
        base: u64,
        offsets: &ClockOffsets,
    ) -> Result<(), Missing> {
        let mut bytes = vec![0; self.changed.end];
        task.peek(base, &mut bytes)
            .map_err(|_| gone_or(task, Missing::Denied))?;
        let image = self.image.patch(offsets, 0).map_err(|_| Missing::Foreign)?;
        let host = self.image.host();
        for (at, byte) in bytes.iter_mut().enumerate() {
            if image[at] != host[at] {
                *byte = image[at];
            }
        }
        self.write_all(task, base, &bytes)
    }

    /// Writes all of an image, whatever was there, and its gate: no thread of the process runs.
    pub(crate) fn rewrite(
        &mut self,
        task: &Task<'_>,
        base: u64,
        offsets: &ClockOffsets,
    ) -> Result<(), Missing> {
        let bytes = self.image.patch(offsets, 0).map_err(|_| Missing::Foreign)?;
        // From the first page on: CRIU has left its mark there.
        self.write_all(task, base, &bytes[..self.changed.end])
    }

    fn write_all(&self, task: &Task<'_>, base: u64, bytes: &[u8]) -> Result<(), Missing> {
        let mem = task.mem().map_err(|_| gone_or(task, Missing::Denied))?;
        if !force::write(task.tid(), mem, bytes, base) {
            return Err(gone_or(task, Missing::Denied));
        }
        if let Some(gate) = self.image.gate()
            && !force::write(
                task.tid(),
                mem,
                gate.bytes(),
                base + gate.range().start as u64,
            )
        {
            return Err(gone_or(task, Missing::Denied));
        }
        Ok(())
    }
}
