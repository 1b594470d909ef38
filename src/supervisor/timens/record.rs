//! The namespaces themselves, in the journal.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::mark::NONCE_MASK;
use super::owner::{DEPTH, Owner};
use crate::clock::ClockOffsets;
use crate::supervisor::journal::SLOTS;

/// As many as a tree can have at a time; unshare(2) says `ENOSPC` then.
const RECORDS: usize = 1024;

/// The number of the first: those before it are the tree's own and the inner trees'.
const FIRST: u64 = SLOTS as u64 + 1;

/// The bits of a record's state; 0 is a free one.
const USED: u32 = 1;
/// Somebody has entered: the offsets stay as they are.
const FROZEN: u32 = 2;
/// Which of the two sets of offsets holds.
const SECOND: u32 = 4;
/// Somebody fills it in.
const CLAIMED: u32 = 8;
/// The kernel has made it too (see `adopt`).
const ADOPTED: u32 = 16;

/// Page faults that tell nothing.
const UNKNOWN: u64 = u64::MAX;

/// A namespace.
#[repr(C)]
struct Record {
    state: AtomicU32,
    /// What marks of this namespace have in them.
    nonce: AtomicU32,
    /// Of the process that has made it: page faults of its children that have ended.
    faults: AtomicU64,
    /// Two sets, so that a change is one store to `state`.
    offsets: [[AtomicU64; 4]; 2],
    owner: [AtomicU64; DEPTH],
    /// The user that has made it.
    uid: AtomicU32,
    /// How often its file was looked up, less what was forgotten; and once as long as it is being made.
    files: AtomicU64,
    /// The inode number of the kernel's time namespace in which it was made.
    kernels: AtomicU64,
    /// When somebody was put into it first, or by `adopt`: by the count of `Records`.
    entered: AtomicU64,
}

/// A namespace that is to be made.
pub(in super::super) struct New<'a> {
    pub(in super::super) offsets: &'a ClockOffsets,
    pub(in super::super) owner: &'a Owner,
    /// The user that makes it.
    pub(in super::super) uid: u32,
    /// Of its children that have ended.
    pub(in super::super) faults: u64,
    /// The kernel's time namespace in which it is made, by inode number; 0: there are none.
    pub(in super::super) kernels: u64,
    /// Whether it stands for that one.
    pub(in super::super) is_adopted: bool,
}

/// All of a tree's.
#[repr(C)]
pub(in super::super) struct Records {
    /// How many were ever made, and made in full.
    made: AtomicU64,
    records: [Record; RECORDS],
}

/// The offsets cannot be set any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Frozen;

impl Records {
    /// Whether there is, or was, any.
    pub(in super::super) fn any(&self) -> bool {
        self.made.load(Ordering::Relaxed) != 0
    }

    /// Makes a namespace; its number and nonce. `None` if all records are in use.
    ///
    /// Both are taken from the bits of `random`: trees see each other's marks, and are not to take them
    /// for their own.
    ///
    /// It counts as in use until [`finish`](Self::finish) is called, by who has put a process into it.
    pub(in super::super) fn create(&self, new: &New<'_>, random: u32) -> Option<(u64, u32)> {
        let words = new.offsets.packed()?;
        let nonce = random & NONCE_MASK;
        let first = usize::try_from(random / (NONCE_MASK + 1)).unwrap_or(0);
        let claim = |state: &AtomicU32| {
            state.compare_exchange(0, CLAIMED, Ordering::AcqRel, Ordering::Relaxed)
        };
        let index = (first..first + RECORDS)
            .map(|i| i % RECORDS)
            .find(|i| claim(&self.records[*i].state).is_ok())?;
        let record = &self.records[index];
        for (to, word) in record.offsets[0].iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        for (to, user_namespace) in record.owner.iter().zip(new.owner.0) {
            to.store(user_namespace, Ordering::Relaxed);
        }
        record.uid.store(new.uid, Ordering::Relaxed);
        record.faults.store(new.faults, Ordering::Relaxed);
        record.kernels.store(new.kernels, Ordering::Relaxed);
        record.nonce.store(nonce, Ordering::Relaxed);
        record.entered.store(u64::MAX, Ordering::Relaxed);
        record.files.store(1, Ordering::Relaxed);
        let state = match new.is_adopted {
            true => USED | FROZEN | ADOPTED,
            false => USED,
        };
        record.state.store(state, Ordering::Release);
        self.made.fetch_add(1, Ordering::Relaxed);
        Some((FIRST + index as u64, nonce))
    }

    fn record(&self, id: u64) -> Option<&Record> {
        let index = usize::try_from(id.checked_sub(FIRST)?).ok()?;
        let record = self.records.get(index)?;
        (record.state.load(Ordering::Acquire) & USED != 0).then_some(record)
    }

    /// The namespace that stands for this one of the kernel's, with its nonce; counted as in use.
    pub(super) fn adopted(
        &self,
        kernels: u64,
        is_used: impl Fn(u64) -> bool,
    ) -> Option<(u64, u32)> {
        let is_it = |(index, record): (usize, &Record)| {
            is_used(FIRST + index as u64)
                && record.state.load(Ordering::Acquire) & ADOPTED != 0
                && record.kernels.load(Ordering::Relaxed) == kernels
        };
        let index = self.records.iter().enumerate().position(is_it)?;
        let id = FIRST + index as u64;
        self.open(id).then_some((id, self.nonce(id)?))
    }

    /// Whether a namespace stands for one that the kernel has made.
    pub(in super::super) fn is_adopted(&self, id: u64) -> bool {
        self.record(id)
            .is_some_and(|record| record.state.load(Ordering::Relaxed) & ADOPTED != 0)
    }

    /// The kernel's time namespace in which it was made, by inode number.
    pub(super) fn kernels(&self, id: u64) -> Option<u64> {
        Some(self.record(id)?.kernels.load(Ordering::Relaxed))
    }

    /// Whether `nonce` is that of namespace `id`.
    pub(in super::super) fn knows(&self, id: u64, nonce: u32) -> bool {
        self.record(id)
            .is_some_and(|record| record.nonce.load(Ordering::Relaxed) == nonce)
    }

    /// The nonce of a namespace's marks.
    pub(in super::super) fn nonce(&self, id: u64) -> Option<u32> {
        Some(self.record(id)?.nonce.load(Ordering::Relaxed))
    }

    /// The offsets of a namespace as they are now.
    pub(in super::super) fn offsets(&self, id: u64) -> Option<ClockOffsets> {
        let record = self.record(id)?;
        record.set_of(record.state.load(Ordering::Acquire))
    }

    /// The page faults that its maker's ended children had had when it was made; `None` if there were
    /// children since that do not enter.
    pub(super) fn faults(&self, id: u64) -> Option<u64> {
        let faults = self.record(id)?.faults.load(Ordering::Relaxed);
        (faults != UNKNOWN).then_some(faults)
    }

    /// Its maker has a child that shares its memory, as after vfork(2).
    pub(in super::super) fn expect_sharers(&self, id: u64) {
        if let Some(record) = self.record(id) {
            record.faults.store(UNKNOWN, Ordering::Relaxed);
        }
    }

    /// Who owns a namespace.
    pub(in super::super) fn owner(&self, id: u64) -> Option<Owner> {
        let record = self.record(id)?;
        Some(Owner(std::array::from_fn(|i| {
            record.owner[i].load(Ordering::Relaxed)
        })))
    }

    /// Its file is looked up; false if there is no such namespace.
    pub(in super::super) fn open(&self, id: u64) -> bool {
        self.record(id)
            .map(|record| record.files.fetch_add(1, Ordering::Relaxed))
            .is_some()
    }

    /// So many looks are forgotten.
    pub(in super::super) fn close(&self, id: u64, looks: u64) {
        if let Some(record) = self.record(id) {
            let less = |files: u64| Some(files.saturating_sub(looks));
            let _ = record
                .files
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
        }
    }

    /// A process has been put into a namespace that was made or adopted for it.
    pub(in super::super) fn finish(&self, id: u64) {
        if let Some(record) = self.record(id) {
            let now = self.made.fetch_add(1, Ordering::SeqCst);
            record.entered.store(now, Ordering::SeqCst);
        }
        self.close(id, 1);
    }

    /// Nobody could be put into a namespace that was just made: it is free again.
    pub(super) fn give_up(&self, id: u64) {
        if let Some(record) = self.record(id) {
            record.state.store(0, Ordering::Release);
        }
    }

    /// To be called before it is found out who is in which: those that somebody is put into later are
    /// not freed for it.
    pub(in super::super) fn now(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Who has served the files has died, and they with it.
    pub(in super::super) fn close_all(&self) {
        for record in &self.records {
            record.files.store(0, Ordering::Relaxed);
        }
    }

    /// The offsets of a namespace that is entered now, for good.
    pub(in super::super) fn enter(&self, id: u64) -> Option<ClockOffsets> {
        let record = self.record(id)?;
        record.set_of(record.state.fetch_or(FROZEN, Ordering::AcqRel))
    }

    /// Whether a namespace's offsets cannot be set any more.
    pub(in super::super) fn is_frozen(&self, id: u64) -> bool {
        self.record(id)
            .is_none_or(|record| record.state.load(Ordering::Acquire) & FROZEN != 0)
    }

    /// Sets a namespace's offsets, all at once; one thread at a time.
    pub(in super::super) fn set(&self, id: u64, offsets: &ClockOffsets) -> Result<(), Frozen> {
        let record = self.record(id).ok_or(Frozen)?;
        let words = offsets.packed().ok_or(Frozen)?;
        let old = record.state.load(Ordering::Acquire);
        let new = old ^ SECOND;
        for (to, word) in record.offsets[usize::from(new & SECOND != 0)]
            .iter()
            .zip(words)
        {
            to.store(word, Ordering::Relaxed);
        }
        if old & FROZEN != 0 {
            return Err(Frozen);
        }
        let changed = record
            .state
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
        changed.map(|_| ()).map_err(|_| Frozen)
    }

    /// How many there are that user namespaces at each level of `owner` count: those that user `uid` has
    /// made in the first, and all in the others and below.
    ///
    /// DIFFERENCE: those above the first count by user too (`kernel/ucount.c: inc_ucount`).
    pub(super) fn counts(&self, owner: &Owner, uid: u32) -> [usize; DEPTH] {
        let mut counts = [0; DEPTH];
        for record in &self.records {
            if record.state.load(Ordering::Acquire) & USED == 0 {
                continue;
            }
            let its: [u64; DEPTH] =
                std::array::from_fn(|i| record.owner[i].load(Ordering::Relaxed));
            for (level, count) in counts.iter_mut().enumerate() {
                let wanted = owner.0[level];
                let is_first = level == 0 && its[0] == wanted;
                let is_other_users = is_first && record.uid.load(Ordering::Relaxed) != uid;
                if wanted != 0 && its.contains(&wanted) && !is_other_users {
                    *count += 1;
                }
            }
        }
        counts
    }

    /// Frees all but those that `is_used` says were in use after `since`.
    pub(in super::super) fn retain(&self, since: u64, is_used: impl Fn(u64) -> bool) {
        for (index, record) in self.records.iter().enumerate() {
            let has_file = record.files.load(Ordering::Relaxed) != 0;
            let state = record.state.load(Ordering::Acquire);
            let is_new = record.entered.load(Ordering::SeqCst) >= since;
            if state & USED != 0 && !has_file && !is_new && !is_used(FIRST + index as u64) {
                record.state.store(0, Ordering::Release);
            }
        }
    }
}

impl Record {
    fn set_of(&self, state: u32) -> Option<ClockOffsets> {
        let set = &self.offsets[usize::from(state & SECOND != 0)];
        ClockOffsets::from_packed(std::array::from_fn(|i| set[i].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Offset;
    use crate::sys::shared;

    // SAFETY: zeroes are free records.
    #[expect(unsafe_code, reason = "as the journal does")]
    unsafe impl shared::Shared for Records {}

    fn seconds(monotonic: i64) -> ClockOffsets {
        ClockOffsets {
            monotonic: Offset::from_secs(monotonic),
            ..ClockOffsets::default()
        }
    }

    fn new(offsets: &ClockOffsets) -> New<'_> {
        New {
            offsets,
            owner: &Owner([0; DEPTH]),
            uid: 0,
            faults: 0,
            kernels: 0,
            is_adopted: false,
        }
    }

    fn records() -> &'static Records {
        shared::map().unwrap()
    }

    #[test]
    fn offsets_can_be_set_until_somebody_enters() {
        let records = records();
        assert!(!records.any());
        let (id, nonce) = records.create(&new(&seconds(5)), 77).unwrap();
        assert!(records.any() && records.knows(id, nonce) && !records.knows(id, nonce ^ 1));
        assert_eq!(records.set(id, &seconds(7)), Ok(()));
        assert_eq!(records.offsets(id), Some(seconds(7)));
        assert_eq!(records.set(id, &seconds(8)), Ok(()));
        assert!(!records.is_frozen(id));
        assert_eq!(records.enter(id), Some(seconds(8)));
        assert_eq!(records.set(id, &seconds(9)), Err(Frozen));
        assert_eq!(records.offsets(id), Some(seconds(8)));
        assert!(records.is_frozen(id));
    }

    #[test]
    fn one_that_nobody_could_be_put_into_takes_no_room() {
        let records = records();
        let offsets = seconds(1);
        for _ in 0..2 * RECORDS {
            let (id, _) = records.create(&new(&offsets), 5).unwrap();
            records.give_up(id);
            assert_eq!(records.offsets(id), None);
        }
    }

    #[test]
    fn there_is_room_again_when_unused_ones_are_freed() {
        let records = records();
        let offsets = seconds(0);
        let create = || {
            let made = records.create(&new(&offsets), 1);
            made.inspect(|(id, _)| records.finish(*id))
        };
        let ids: Vec<u64> = std::iter::from_fn(|| create().map(|(id, _)| id)).collect();
        assert_eq!(ids.len(), RECORDS);
        records.retain(records.now(), |id| id == ids[3]);
        assert!(records.offsets(ids[3]).is_some() && records.offsets(ids[4]).is_none());
        assert_eq!(std::iter::from_fn(create).count(), RECORDS - 1);
        assert_eq!(records.offsets(0), None);
        assert_eq!(records.offsets(FIRST + RECORDS as u64), None);
    }
}
