//! Putting the gate into a program that has an image.

use super::{Hint, Injector, Missing, Task, force, gone_or};
use crate::arch::nr;

/// How many bytes at the end of a gate tell that it is in place.
pub(super) const MARK: usize = 8;

/// Where a program's gate lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateAt {
    /// For threads from patched sites.
    pub(crate) entry: u64,
    /// For threads that are told of their call.
    pub(crate) first: u64,
    /// For threads from patched sites that open files.
    pub(crate) open: Option<u64>,
}

impl GateAt {
    /// Where the patched sites of this system call lead.
    pub(crate) fn of(&self, number: u32) -> Option<u64> {
        match number {
            nr::OPEN | nr::OPENAT | nr::STAT | nr::NEWFSTATAT | nr::STATX => self.open,
            nr::READLINK | nr::READLINKAT => self.open,
            _ => Some(self.entry),
        }
    }
}

impl Injector {
    /// The gate of a program that has an image; writes it if it is not there yet.
    ///
    /// `None` if the image has no room for one.
    pub(crate) fn ensure_gate(&mut self, task: &Task<'_>) -> Result<Option<GateAt>, Missing> {
        let Some(gate) = self.image.gate() else {
            return Ok(None);
        };
        let hint = self.hint(task);
        let base = self.base(task)?;
        let at = |place: usize| base + place as u64;
        let (range, bytes) = (gate.range(), gate.bytes());
        let has_gate = match hint {
            Some(Hint { is_new: true, .. }) => false,
            _ => {
                let mut found = [0; MARK];
                task.peek(at(range.end - MARK), &mut found)
                    .map_err(|_| gone_or(task, Missing::Foreign))?;
                bytes.ends_with(&found)
            }
        };
        let gate_at = GateAt {
            entry: at(gate.entry()),
            first: at(gate.first()),
            open: gate.open().map(at),
        };
        let is_new = hint.is_some_and(|hint| hint.is_new);
        // What is open already is the thread's own.
        let is_there = has_gate || is_new && !task.has_mem() && self.put_in_held(task, base);
        if !is_there {
            let mem = task.mem().map_err(|_| gone_or(task, Missing::Denied))?;
            if !force::write(task.tid(), mem, bytes, at(range.start)) {
                return Err(gone_or(task, Missing::Denied));
            }
        }
        if hint.is_some() {
            self.remember(task.tid(), base, false);
        }
        Ok(Some(gate_at))
    }

    /// Writes the gate through the memory that is held of the task; whether the task has it then.
    fn put_in_held(&self, task: &Task<'_>, base: u64) -> bool {
        let (Some(gate), Some(mem)) = (self.image.gate(), self.memories.get(task.tid(), base))
        else {
            return false;
        };
        let (range, bytes) = (gate.range(), gate.bytes());
        let at = |place: usize| base + place as u64;
        let mut found = [0; MARK];
        // It may be the memory of the thread's last program, which another process shares, and which has an
        // image at the same place.
        force::write(task.tid(), mem, bytes, at(range.start))
            && task.glance(at(range.end - MARK), &mut found).is_some()
            && bytes.ends_with(&found)
    }
}
