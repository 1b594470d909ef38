//! Puts the image into a program, and finds it there again.
//!
//! The state of an injection lies in the program's own memory: the magic word at the end of its
//! image. fork(2) copies it, exec(2) drops it with the memory, and nothing has to be remembered
//! about a process that could be wrong by the time it is used.

mod auxv;
mod maps;
mod task;

use std::collections::HashMap;
use std::os::unix::fs::FileExt;

pub(crate) use task::{Fault, GuestPtr, Task};

use crate::clock::{ClockOffsets, Offset};
use crate::image::Image;
use crate::page::{MAGIC, Page};
use auxv::Auxv;

/// Why a program has no image of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The process is gone.
    Gone,
    /// A 32-bit program.
    Compat,
    /// The kernel gave the program no vDSO, so that it makes system calls for its reads.
    NoVdso,
    /// Its memory must not be written: it is not dumpable, or forced writes are switched off.
    Denied,
    /// What lies at its vDSO's address is neither the kernel's image nor ours.
    Foreign,
}

/// Remembered bases beyond which all are forgotten; a base is only ever a hint.
const MOST_BASES: usize = 4096;

/// Writes images, and reads the offsets of those that are in place.
pub(crate) struct Injector {
    image: Image,
    bases: HashMap<i32, u64>,
    buffer: Vec<u8>,
}

impl Injector {
    pub(crate) fn new(image: Image) -> Self {
        let buffer = vec![0; image.len()];
        Self {
            image,
            bases: HashMap::new(),
            buffer,
        }
    }

    /// The offsets of the caller's image; puts one in place if there is none.
    ///
    /// `new_image` gives the bytes for a program that has none yet. Running this twice, or after a
    /// worker that died half-way, is harmless: the bytes are the same and the magic comes last.
    pub(crate) fn ensure(
        &mut self,
        task: &Task<'_>,
        new_image: impl FnOnce(&Image) -> Option<Vec<u8>>,
    ) -> Result<ClockOffsets, Missing> {
        if let Some(offsets) = self.peek(task) {
            return Ok(offsets);
        }
        let base = self.find_base(task)?;
        let mem = task.mem().map_err(|fault| match fault {
            Fault::Gone => Missing::Gone,
            Fault::Denied | Fault::Address => Missing::Denied,
        })?;
        if mem.read_exact_at(&mut self.buffer, base).is_err() {
            return Err(gone_or(task, Missing::Foreign));
        }
        if let Some(offsets) = self.offsets_in(&self.buffer[self.image.page_at()..]) {
            self.remember(task.tid(), base);
            return Ok(offsets);
        }
        if !self.is_untouched() {
            return Err(gone_or(task, Missing::Foreign));
        }
        let bytes = new_image(&self.image).ok_or(Missing::Gone)?;
        // One call writes the pages in order, so the magic, which ends the last, is written last.
        match mem.write_at(&bytes, base) {
            Ok(n) if n == bytes.len() => {}
            _ => return Err(gone_or(task, Missing::Denied)),
        }
        self.remember(task.tid(), base);
        self.offsets_in(&bytes[self.image.page_at()..])
            .ok_or(Missing::Foreign)
    }

    /// Whether the program's vDSO holds this address: a thread there may be in the midst of bytes
    /// that an injection replaces.
    pub(crate) fn holds(&self, task: &Task<'_>, address: u64) -> bool {
        self.find_base(task)
            .is_ok_and(|base| (base..base + self.buffer.len() as u64).contains(&address))
    }

    /// The offsets at the remembered base; a stale base shows no magic.
    fn peek(&self, task: &Task<'_>) -> Option<ClockOffsets> {
        let base = *self.bases.get(&task.tid())?;
        let mut page = [0; size_of::<Page>()];
        let at = base + u64::try_from(self.image.page_at()).ok()?;
        crate::sys::memory::read_by_pid(task.tid(), at, &mut page)?;
        self.offsets_in(&page)
    }

    fn find_base(&self, task: &Task<'_>) -> Result<u64, Missing> {
        let auxv = Auxv::read(task).ok_or_else(|| gone_or(task, Missing::Denied))?;
        let base = match auxv {
            Auxv::Compat => return Err(Missing::Compat),
            Auxv::Native { vdso: None } => return Err(Missing::NoVdso),
            Auxv::Native { vdso: Some(base) } => base,
        };
        // The program can change its auxiliary vector (PR_SET_MM_AUXV); what it says is checked
        // here and by the comparison with the kernel's image.
        if base % 4096 != 0 || base.checked_add(self.buffer.len() as u64).is_none() {
            return Err(Missing::Foreign);
        }
        Ok(base)
    }

    /// Whether the buffer holds the kernel's image, or ours but for a missing commit.
    fn is_untouched(&self) -> bool {
        let host = self.image.host();
        // A worker killed between two pages leaves new first pages and the kernel's last one.
        self.buffer
            .chunks(4096)
            .zip(host.chunks(4096))
            .any(|(a, b)| a == b)
    }

    fn offsets_in(&self, page: &[u8]) -> Option<ClockOffsets> {
        let word = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(page.get(at..at + 8)?.try_into().ok()?))
        };
        if word(std::mem::offset_of!(Page, magic))? != MAGIC {
            return None;
        }
        let at = std::mem::offset_of!(Page, offsets);
        let offset = |i: usize| Offset::from_packed(word(at + 8 * i)?);
        Some(ClockOffsets {
            realtime: offset(0)?,
            tai: offset(1)?,
            monotonic: offset(2)?,
            boottime: offset(3)?,
        })
    }

    fn remember(&mut self, tid: i32, base: u64) {
        if self.bases.len() >= MOST_BASES {
            self.bases.clear();
        }
        self.bases.insert(tid, base);
    }
}

fn gone_or(task: &Task<'_>, otherwise: Missing) -> Missing {
    if task.is_waiting() {
        otherwise
    } else {
        Missing::Gone
    }
}
