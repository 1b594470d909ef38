//! Moving a process that has an image into another namespace, and having its image ask meanwhile.

use std::mem::offset_of;

use super::{Injector, Missing, Task, force, gone_or};
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::page::{
    CLOSED_COOKIE, CLOSED_WAIT_COOKIE, COOKIE, FUTEX_WAIT_COOKIE, Page, WAIT_COOKIE,
};

impl Injector {
    /// Has the caller's image ask for each read and each wait, from now on.
    ///
    /// `has_threads`: others of its threads may be in the image meanwhile. What they read is right;
    /// where the kernel's own function is called it goes on being called then.
    pub(crate) fn close(&mut self, task: &Task<'_>, has_threads: bool) -> Result<(), Missing> {
        // One that is written later would be open.
        self.ensure_gate(task)?;
        let base = self.base(task)?;
        let cookies = cookies(CLOSED_COOKIE, CLOSED_WAIT_COOKIE, CLOSED_WAIT_COOKIE);
        self.put(
            task,
            base,
            self.image.page_at() + offset_of!(Page, cookie),
            &cookies,
        )?;
        for door in self.image.doors().words(has_threads) {
            self.put(task, base, door.at, &door.closed)?;
        }
        Ok(())
    }

    /// Puts other offsets into the caller's image, and has it ask no more.
    pub(crate) fn enter(
        &mut self,
        task: &Task<'_>,
        offsets: &ClockOffsets,
        namespace: u64,
    ) -> Result<(), Missing> {
        let base = self.base(task)?;
        let words = Image::words(offsets).map_err(|_| Missing::Foreign)?;
        let mut bytes = words.map(u64::to_le_bytes).concat();
        bytes.extend(namespace.to_le_bytes());
        bytes.extend(cookies(COOKIE, WAIT_COOKIE, FUTEX_WAIT_COOKIE));
        self.put(task, base, self.image.offsets_at(), &bytes)?;
        for door in self.image.doors().words(false) {
            self.put(task, base, door.at, &door.open)?;
        }
        Ok(())
    }

    /// Whether the caller waits in its gate; where it goes to load all anew then.
    pub(crate) fn in_gate(&self, task: &Task<'_>, after: u64) -> Option<u64> {
        let gate = self.image.gate()?;
        let base = self.base(task).ok()?;
        (after == base + gate.after() as u64).then(|| base + gate.restart() as u64)
    }

    pub(super) fn base(&self, task: &Task<'_>) -> Result<u64, Missing> {
        let (tid, base) = self.bases[super::place_of(task.tid())];
        match tid == task.tid() {
            true => Ok(base),
            false => self.find_base(task),
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

/// The three as they lie in the page.
fn cookies(reads: u64, waits: u32, futex_waits: u32) -> Vec<u8> {
    let mut bytes = reads.to_le_bytes().to_vec();
    bytes.extend(waits.to_le_bytes());
    bytes.extend(futex_waits.to_le_bytes());
    bytes
}

const _: () = assert!(offset_of!(Page, namespace) == offset_of!(Page, offsets) + 32);
const _: () = assert!(offset_of!(Page, cookie) == offset_of!(Page, namespace) + 8);
const _: () = assert!(offset_of!(Page, wait_cookie) == offset_of!(Page, cookie) + 8);
const _: () = assert!(offset_of!(Page, futex_wait_cookie) == offset_of!(Page, wait_cookie) + 4);
