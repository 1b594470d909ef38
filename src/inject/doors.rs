//! Moving a process that has an image into another namespace, and having its image ask meanwhile.

use std::mem::offset_of;

use super::{Injector, Missing, Task, force, gone_or};
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::page::{CLOSED_COOKIE, COOKIE, Page};

impl Injector {
    /// Has the caller's image ask for each read and each wait, from now on.
    ///
    /// `has_threads`: others of its threads may be in the image meanwhile. What they read is right;
    /// where the kernel's own function is called it goes on being called then.
    pub(crate) fn close(&mut self, task: &Task<'_>, has_threads: bool) -> Result<(), Missing> {
        // One that is written later would be open.
        self.ensure_gate(task)?;
        let base = self.base(task)?;
        let cookie_at = self.image.page_at() + offset_of!(Page, cookie);
        self.put(task, base, cookie_at, &CLOSED_COOKIE.to_le_bytes())?;
        for door in self.image.doors().words(has_threads) {
            self.put(task, base, door.at, &door.closed)?;
        }
        Ok(())
    }

    /// Puts other offsets into the caller's image, and has it ask no more.
    ///
    /// `has_threads`: others of its threads may be in the image meanwhile. Where the kernel's own function
    /// was called it goes on by system call then.
    pub(crate) fn enter(
        &mut self,
        task: &Task<'_>,
        offsets: &ClockOffsets,
        namespace: u64,
        has_threads: bool,
    ) -> Result<(), Missing> {
        let base = self.base(task)?;
        let words = Image::words(offsets).map_err(|_| Missing::Foreign)?;
        let mut bytes = words.map(u64::to_le_bytes).concat();
        bytes.extend(namespace.to_le_bytes());
        bytes.extend(COOKIE.to_le_bytes());
        self.put(task, base, self.image.offsets_at(), &bytes)?;
        for door in self.image.doors().words(has_threads) {
            self.put(task, base, door.at, &door.open)?;
        }
        Ok(())
    }

    /// Whether the caller waits in its gate; where it goes to load all anew then.
    pub(crate) fn in_gate(&self, task: &Task<'_>, after: u64) -> Option<u64> {
        let again = self.gate_again(task)?;
        let gate = self.image.gate()?;
        let distance = (gate.again() - gate.after()) as u64;
        (after == again - distance).then_some(again)
    }

    /// Where a caller goes on that waits in its gate, and is to load all anew.
    pub(crate) fn gate_again(&self, task: &Task<'_>) -> Option<u64> {
        let gate = self.image.gate()?;
        Some(self.base(task).ok()? + gate.again() as u64)
    }

    pub(super) fn base(&self, task: &Task<'_>) -> Result<u64, Missing> {
        match self.hint(task) {
            Some(hint) => Ok(hint.base),
            None => self.find_base(task),
        }
    }

    fn put(&self, task: &Task<'_>, base: u64, at: usize, bytes: &[u8]) -> Result<(), Missing> {
        let mem = task.mem().map_err(|_| gone_or(task, Missing::Denied))?;
        match force::write(task.tid(), mem, bytes, base + at as u64) {
            true => Ok(()),
            false => Err(gone_or(task, Missing::Denied)),
        }
    }
}

const _: () = assert!(offset_of!(Page, namespace) == offset_of!(Page, offsets) + 32);
const _: () = assert!(offset_of!(Page, cookie) == offset_of!(Page, namespace) + 8);
