//! Putting the gate into a program that has an image.

use super::{Injector, Missing, Task, force, gone_or};

/// Where a program's gate lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateAt {
    /// For threads from patched sites.
    pub(crate) entry: u64,
    /// For threads that are told of their call.
    pub(crate) told: u64,
}

impl Injector {
    /// The gate of a program that has an image; writes it if it is not there yet.
    ///
    /// `None` if the image has no room for one.
    pub(crate) fn ensure_gate(&mut self, task: &Task<'_>) -> Result<Option<GateAt>, Missing> {
        let Some(gate) = self.image.gate() else {
            return Ok(None);
        };
        let base = match self.remembered(task) {
            Some(base) => base,
            None => self.find_base(task)?,
        };
        let at = |place: usize| base + place as u64;
        let (range, bytes) = (gate.range(), gate.bytes());
        let mark = &bytes[bytes.len() - 8..];
        let mut found = [0; 8];
        task.peek(at(range.end - 8), &mut found)
            .map_err(|_| gone_or(task, Missing::Foreign))?;
        if found != mark {
            let mem = task.mem().map_err(|_| gone_or(task, Missing::Denied))?;
            if !force::write(task.tid(), mem, bytes, at(range.start)) {
                return Err(gone_or(task, Missing::Denied));
            }
        }
        Ok(Some(GateAt {
            entry: at(gate.entry()),
            told: at(gate.told()),
        }))
    }
}
