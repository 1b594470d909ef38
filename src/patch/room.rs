//! The stubs in the room behind a text.

use std::fs::File;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::arch::{self, Bytes, STUB_LEN};
use super::text::Text;
use super::{Reason, Site, read, write};

/// A stub as it stands in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stub {
    pub(super) at: u64,
    /// The instruction that its site had.
    pub(super) original: Bytes,
    /// Behind its site.
    pub(super) after: u64,
    pub(super) gate: u64,
}

impl Stub {
    /// Makes the stub lead to `gate`, if it leads elsewhere.
    pub(super) fn set_gate(&self, memory: &File, gate: u64) -> Result<(), Reason> {
        if self.gate == gate {
            return Ok(());
        }
        let at = self.at + arch::STUB_GATE as u64;
        write(memory, &gate.to_le_bytes(), at)
    }
}

/// The places for stubs, and what they held when they were read.
pub(super) struct Room {
    start: u64,
    bytes: Vec<u8>,
}

impl Room {
    pub(super) fn read(memory: &File, text: &Text) -> Result<Self, Reason> {
        let Range { start, end } = text.room;
        let start = start.next_multiple_of(STUB_LEN as u64);
        let len = end.saturating_sub(start);
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| Reason::NoRoom)?];
        read(memory, &mut bytes, start)?;
        Ok(Self { start, bytes })
    }

    fn places(&self) -> impl Iterator<Item = (u64, &[u8; STUB_LEN])> {
        let addresses = (self.start..).step_by(STUB_LEN);
        addresses.zip(self.bytes.as_chunks().0)
    }

    /// The stub that this site leads to, or is about to.
    pub(super) fn stub_of(&self, site: &Site) -> Option<Stub> {
        self.places()
            .filter_map(|(at, bytes)| arch::read_stub(bytes, at))
            .find(|stub| site.is_of(stub))
    }

    /// Where this code stands; writes it, at the end of the room, if it is not there yet. The caller holds
    /// the [`claim`].
    pub(super) fn put_code(&mut self, memory: &File, code: &[u8]) -> Result<u64, Reason> {
        let len = code.len().next_multiple_of(STUB_LEN);
        // There must be a place for a stub before it.
        let end = self.bytes.len() / STUB_LEN * STUB_LEN;
        let last = end.checked_sub(len).ok_or(Reason::NoRoom)?;
        let starts = (STUB_LEN..last + 1).step_by(STUB_LEN).rev();
        let mut free = None;
        for start in starts {
            let place = &self.bytes[start..start + len];
            if place.starts_with(code) {
                return Ok(self.start + start as u64);
            }
            if free.is_none() && place.iter().all(|byte| *byte == 0) {
                free = Some(start);
            }
        }
        let start = free.ok_or(Reason::NoRoom)?;
        let at = self.start + start as u64;
        write(memory, code, at)?;
        let written = &mut self.bytes[start..start + code.len()];
        read(memory, written, at)?;
        match written == code {
            true => Ok(at),
            false => Err(Reason::Gone),
        }
    }

    /// Writes a stub for this site into a free place; the caller holds the [`claim`].
    pub(super) fn put_stub(&self, memory: &File, site: &Site, gate: u64) -> Result<Stub, Reason> {
        let mut failure = Reason::NoRoom;
        for (at, bytes) in self.places() {
            if *bytes != [0; STUB_LEN] {
                continue;
            }
            failure = Reason::TooFar;
            let stub = Stub {
                at,
                original: site.bytes,
                after: site.after,
                gate,
            };
            if !is_reachable(site, &stub) {
                continue;
            }
            let Some(bytes) = arch::stub(&stub) else {
                continue;
            };
            write(memory, &bytes, at)?;
            let mut written = [0; STUB_LEN];
            read(memory, &mut written, at)?;
            return if written == bytes {
                Ok(stub)
            } else {
                Err(Reason::Gone)
            };
        }
        Err(failure)
    }
}

/// Whether the jump there can be put in place under running threads.
fn is_reachable(site: &Site, stub: &Stub) -> bool {
    arch::jump(site.after, stub.at).is_some_and(|jump| {
        !arch::is_numbered(site.bytes) || arch::stores(site.bytes, jump).is_some()
    })
}

/// Places are taken under a lock: two patchers in one program must not take the same one. Nobody
/// waits for it, since who holds it may hang in some program's memory (FUSE).
pub(super) fn claim(text: &Text) -> Option<MutexGuard<'static, ()>> {
    static CLAIMS: [Mutex<()>; 64] = [const { Mutex::new(()) }; 64];
    let number = usize::try_from(text.start() >> 12 & 63).ok()?;
    match CLAIMS.get(number)?.try_lock() {
        Ok(claim) => Some(claim),
        Err(TryLockError::Poisoned(claim)) => Some(claim.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
