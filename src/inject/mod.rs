//! Puts the image into a program, and finds it there again.
//!
//! The state of an injection lies in the program's own memory: the magic word at the end of its
//! image. fork(2) copies it, exec(2) drops it with the memory, and nothing has to be remembered
//! about a process that could be wrong by the time it is used.

mod ahead;
mod auxv;
mod doors;
mod force;
mod gate;
mod maps;
mod memories;
mod opener;
mod restored;
mod task;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use force::Force;
pub(crate) use gate::GateAt;
pub(crate) use opener::Opener;
pub(crate) use restored::Kept;
pub(crate) use task::{Fault, GuestPtr, Task};

use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::page::{CLOSED_COOKIE, MAGIC, Page};
use auxv::Auxv;
use memories::Memories;

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
    /// It has an image, but in the kernel's vDSO there is no room for the gate.
    NoGate,
}

/// What a program's image says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offsets: ClockOffsets,
    /// The namespace's number.
    pub(crate) namespace: u64,
    /// Whether it asks for each read (see `image::Doors`).
    pub(crate) is_closed: bool,
}

/// How many threads are remembered, each by the low bits of its id.
const HINTS: usize = 4096;

/// What a thread is thought to have; nothing is believed that its memory does not show.
#[derive(Clone, Copy, Default)]
struct Hint {
    tid: i32,
    /// Of its image.
    base: u64,
    /// Whether its image was put in place just now, so that there can hardly be a gate. Writing one a
    /// second time does no harm, unless the image has been closed meanwhile.
    is_new: bool,
}

/// Writes images, and reads the offsets of those that are in place.
pub(crate) struct Injector {
    image: Image,
    /// Threads and where their images are.
    hints: Vec<Hint>,
    /// The base that was met last: most often another thread of the same program asks next.
    last: u64,
    memories: Memories,
    /// The pages to be written.
    changed: Range<usize>,
    /// From here to their end an image is looked at: the last page of theirs that is not empty in
    /// the kernel's, which tells one kind of vDSO from another, and the page with the magic.
    tail_at: usize,
    /// Room for what lies there.
    tail: Vec<u8>,
}

impl Injector {
    pub(crate) fn new(image: Image) -> Self {
        let host = image.host();
        let changed = image.changed();
        let last_byte = host[..changed.end].iter().rposition(|byte| *byte != 0);
        let last_byte = last_byte.unwrap_or(0);
        let tail_at = last_byte.min(image.page_at()) & !4095;
        Self {
            hints: vec![Hint::default(); HINTS],
            last: 0,
            memories: Memories::new(),
            tail_at,
            tail: vec![0; changed.end - tail_at],
            changed,
            image,
        }
    }

    /// What the caller's image says; puts one in place if there is none.
    ///
    /// `new_image` gives the bytes for a program that has none yet. Running this twice, or after a
    /// worker that died half-way, is harmless: the bytes are the same and the magic comes last.
    pub(crate) fn ensure<'a>(
        &mut self,
        task: &Task<'_>,
        new_image: impl FnOnce(&Image) -> Option<Cow<'a, [u8]>>,
    ) -> Result<Found, Missing> {
        if let Some(found) = self.peek(task) {
            return Ok(found);
        }
        self.hints[place_of(task.tid())] = Hint::default();
        let base = self.find_base(task)?;
        let mem = task.mem().map_err(|fault| match fault {
            Fault::Gone => Missing::Gone,
            Fault::Denied | Fault::Address => Missing::Denied,
        })?;
        // Page by page: each that is read is one more for the kernel to map.
        let tail_at = base + self.tail_at as u64;
        if rustix::io::pread(mem, &mut *self.tail, tail_at) != Ok(self.tail.len()) {
            return Err(gone_or(task, Missing::Foreign));
        }
        if let Some(found) = found_in(&self.tail[self.image.page_at() - self.tail_at..]) {
            self.remember(task.tid(), base, false);
            return Ok(found);
        }
        if !self.is_untouched() {
            return Err(gone_or(task, Missing::Foreign));
        }
        let bytes = new_image(&self.image).ok_or(Missing::Gone)?;
        // One call writes the pages in order, so the magic, which ends the last, is written last.
        let changed = bytes.get(self.changed.clone()).ok_or(Missing::Foreign)?;
        let at = base + self.changed.start as u64;
        if !force::write(task.tid(), mem, changed, at) {
            return Err(gone_or(task, Missing::Denied));
        }
        self.remember(task.tid(), base, true);
        found_in(&bytes[self.image.page_at()..]).ok_or(Missing::Foreign)
    }

    /// Whether the program's vDSO holds this address: a thread there may be in the midst of bytes
    /// that an injection replaces.
    pub(crate) fn holds(&self, task: &Task<'_>, address: u64) -> bool {
        self.find_base(task)
            .is_ok_and(|base| (base..base + self.image.len() as u64).contains(&address))
    }

    /// What the image at the remembered base says; a stale base shows no magic.
    fn peek(&mut self, task: &Task<'_>) -> Option<Found> {
        let base = self.hint(task)?.base;
        if !task.is_open_to_us() {
            return None;
        }
        let mut page = [0; size_of::<Page>()];
        task.glance(base + self.image.page_at() as u64, &mut page)?;
        let found = found_in(&page)?;
        // Another of its threads has closed it, and has had a gate written for that.
        if found.is_closed {
            self.hints[place_of(task.tid())].is_new = false;
        }
        Some(found)
    }

    /// The places that are looked at for an absolute wait, to be read ahead.
    pub(crate) fn places(&mut self, task: &Task<'_>) -> [(u64, usize); 2] {
        if self.hint(task).is_none() {
            self.remember(task.tid(), self.last, false);
        }
        let hint = self.hints[place_of(task.tid())];
        self.last = hint.base;
        let at = |place: usize| hint.base.wrapping_add(place as u64);
        let mark = match self.image.gate() {
            Some(gate) if !hint.is_new => (at(gate.range().end - gate::MARK), gate::MARK),
            _ => (0, 0),
        };
        [(at(self.image.page_at()), size_of::<Page>()), mark]
    }

    /// Holds the memory of a task that was given its image just now, as its gate may be wanted soon.
    pub(crate) fn hold(&mut self, task: Task<'_>) {
        // What somebody else has opened would have to be looked at by him.
        if let Some(Hint {
            base,
            is_new: true,
            tid,
        }) = self.hint(&task)
            && task.is_open_to_us()
            && let Some(mem) = task.into_mem()
        {
            self.memories.hold(tid, base, mem);
        }
    }

    fn hint(&self, task: &Task<'_>) -> Option<Hint> {
        let hint = self.hints[place_of(task.tid())];
        (hint.tid == task.tid()).then_some(hint)
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
        if base % 4096 != 0 || base.checked_add(self.image.len() as u64).is_none() {
            return Err(Missing::Foreign);
        }
        Ok(base)
    }

    /// Whether the tail is the kernel's, or ours but for the last page: a worker killed between
    /// two pages leaves it so, as the kernel writes each page whole.
    fn is_untouched(&self) -> bool {
        let (host, ours) = (self.image.host(), self.image.template());
        (self.tail_at..self.changed.end).step_by(4096).all(|at| {
            let page = &self.tail[at - self.tail_at..][..4096];
            let is_last = at + 4096 == self.changed.end;
            page == &host[at..at + 4096] || !is_last && page == &ours[at..at + 4096]
        })
    }

    fn remember(&mut self, tid: i32, base: u64, is_new: bool) {
        self.hints[place_of(tid)] = Hint { tid, base, is_new };
        self.last = base;
    }
}

/// What a parameter page says, if it is complete.
fn found_in(page: &[u8]) -> Option<Found> {
    let word = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(page.get(at..at + 8)?.try_into().ok()?))
    };
    if word(std::mem::offset_of!(Page, magic))? != MAGIC {
        return None;
    }
    let at = std::mem::offset_of!(Page, offsets);
    let words = [word(at)?, word(at + 8)?, word(at + 16)?, word(at + 24)?];
    Some(Found {
        offsets: ClockOffsets::from_packed(words)?,
        namespace: word(std::mem::offset_of!(Page, namespace))?,
        is_closed: word(std::mem::offset_of!(Page, cookie))? == CLOSED_COOKIE,
    })
}

fn place_of(tid: i32) -> usize {
    usize::try_from(tid).unwrap_or(0) % HINTS
}

fn gone_or(task: &Task<'_>, otherwise: Missing) -> Missing {
    if task.is_waiting() {
        otherwise
    } else {
        Missing::Gone
    }
}
