//! Patching call sites: after some uses a site leads to the gate by itself.
//!
//! Not after its first: patching takes longer than a visit, and many a wait is made once. An open is
//! let through in a small part of that time, and most programs open a few files when they start.

use std::fs::File;

use crate::inject::{GateAt, Task};
use crate::patch::{self, Outcome, Reason, Traps};

/// How many refusals are remembered, each by its thread and place, and how many uses.
const PLACES: usize = 1024;

/// The sites that are not to be tried again and again.
///
/// A thread's id may come to mean another thread, whose site is then left unpatched: slower, and right.
pub(super) struct CallSites {
    refused: Vec<(i32, u64)>,
    /// Places that were used, by whomever: a child of fork(2) has its parent's.
    used: Vec<u64>,
    /// How often a thread has opened files at a place: a program that is started again and again, at the
    /// same addresses, opens a few files each time.
    opens: Vec<((i32, u64), u32)>,
    /// Filters of a program that let unknown numbers through to us.
    filters: u64,
}

/// A site about to be patched: what was opened while its thread was known to wait.
pub(super) struct CallSite<'a> {
    memory: &'a File,
    maps: File,
    place: (i32, u64),
    /// When its threads may meet made-up numbers; as it was when it was opened.
    traps: Traps,
}

/// Where a site is to lead.
pub(super) enum To<'a> {
    Gate(u64),
    /// To this code, which is put beside the site's stub.
    Code(&'a [u8]),
}

impl CallSites {
    /// `traps_unknown`: whether our filter notifies numbers that no kernel knows.
    pub(super) fn new(traps_unknown: bool) -> Self {
        Self {
            filters: traps_unknown.into(),
            refused: vec![(0, 0); PLACES],
            used: vec![0; PLACES],
            opens: vec![((0, 0), 0); PLACES],
        }
    }

    /// The site before `after` that the thread is in, at its second use; `None` if it is not worth a try.
    ///
    /// The caller is to make sure that the thread still waits.
    pub(super) fn open<'a>(&mut self, task: &'a Task<'_>, after: u64) -> Option<CallSite<'a>> {
        let place = (task.tid(), after);
        let used = std::mem::replace(&mut self.used[index((0, after))], after);
        if used != after || self.refused[index(place)] == place {
            return None;
        }
        self.opened(task, after)
    }

    /// The same of a site that opens files, at the thread's use number `uses` of it.
    pub(super) fn open_often<'a>(
        &mut self,
        task: &'a Task<'_>,
        after: u64,
        uses: u32,
    ) -> Option<CallSite<'a>> {
        let place = (task.tid(), after);
        let opens = &mut self.opens[index(place)];
        if opens.0 != place {
            *opens = (place, 0);
        }
        opens.1 = opens.1.saturating_add(1);
        match opens.1 == uses {
            true => self.opened(task, after),
            false => None,
        }
    }

    fn opened<'a>(&self, task: &'a Task<'_>, after: u64) -> Option<CallSite<'a>> {
        let status = task.open("status", false).ok()?;
        let traps = patch::traps(&status, self.filters);
        Some(CallSite {
            traps,
            ..CallSite::open(task, after)?
        })
    }

    /// Makes the site lead to the gate; its thread waits meanwhile.
    pub(super) fn patch(&mut self, site: &CallSite<'_>, number: u32, gate: To<'_>) {
        let (_, after) = site.place;
        let (memory, maps) = (site.memory, &site.maps);
        let outcome = match gate {
            To::Gate(gate) => patch::patch(memory, maps, after, number, gate, site.traps),
            To::Code(code) => patch::patch_to_code(memory, maps, after, number, code, site.traps),
        };
        match outcome {
            Outcome::Patched | Outcome::Already | Outcome::Left(Reason::Busy) => {}
            Outcome::Left(_) => self.refused[index(site.place)] = site.place,
        }
    }
}

impl<'a> CallSite<'a> {
    /// The site before `after` that the thread is in; whether it still is, is to be asked afterwards.
    pub(super) fn open(task: &'a Task<'_>, after: u64) -> Option<Self> {
        Some(Self {
            memory: task.mem().ok()?,
            maps: task.open("maps", false).ok()?,
            place: (task.tid(), after),
            traps: Traps::Never,
        })
    }

    /// Whether an instruction that gives `number` stands before the system call.
    pub(super) fn is_of(&self, number: u32) -> bool {
        patch::is_numbered(self.memory, self.place.1, number)
    }

    /// Where a thread goes on that has met the site while it was being patched.
    pub(super) fn rewind(&self, number: u32, gate: GateAt) -> Option<u64> {
        let (_, after) = self.place;
        patch::rewind(self.memory, &self.maps, after, number, |number| {
            gate.of(number)
        })
    }
}

fn index((tid, after): (i32, u64)) -> usize {
    let mixed = after ^ u64::from(tid.cast_unsigned()).wrapping_mul(0x9e37_79b9);
    usize::try_from(mixed % PLACES as u64).unwrap_or(0)
}
