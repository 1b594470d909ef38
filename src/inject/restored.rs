//! Images in processes that CRIU has restored.

use super::{Injector, Missing, Task, force, found_in, gone_or};
use crate::clock::ClockOffsets;
use crate::page::Page;

/// What of a restored image need not be as it was: where CRIU leads its functions to its own vDSO, and
/// what is written there by this file.
const JUMP: usize = 16;

impl Injector {
    /// Where the program looks for its vDSO.
    pub(crate) fn vdso_of(&self, task: &Task<'_>) -> Option<u64> {
        self.find_base(task).ok()
    }

    /// The offsets of the image at `base`, as they are in the program's memory.
    pub(crate) fn offsets_at(&self, task: &Task<'_>, base: u64) -> Option<ClockOffsets> {
        let mut page = [0; size_of::<Page>()];
        task.peek(base + self.image.page_at() as u64, &mut page)
            .ok()?;
        Some(found_in(&page)?.offsets)
    }

    /// Whether what lies at `base` is an image.
    pub(crate) fn has_image(&self, task: &Task<'_>, base: u64) -> bool {
        self.offsets_at(task, base).is_some()
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

    /// Writes all of an image, whatever was there, and its gate: no thread of the process runs.
    pub(crate) fn rewrite(
        &mut self,
        task: &Task<'_>,
        base: u64,
        offsets: &ClockOffsets,
    ) -> Result<(), Missing> {
        let bytes = self.image.patch(offsets, 0).map_err(|_| Missing::Foreign)?;
        let mem = task.mem().map_err(|_| gone_or(task, Missing::Denied))?;
        // From the first page on: CRIU has left its mark there.
        let end = self.changed.end;
        if !force::write(task.tid(), mem, &bytes[..end], base) {
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
