//! Who is in which namespace.

use std::os::fd::BorrowedFd;

use super::journal::Journal;
use super::namespaces;
use super::timens::{Mark, Owner, Standing, Who};
use crate::clock::ClockOffsets;
use crate::sys::namespace::{self, share_memory};

/// What can be asked about the members of a tree.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    pub(super) journal: &'a Journal,
    pub(super) proc: BorrowedFd<'a>,
    /// Of the tree's own namespace.
    pub(super) offsets: ClockOffsets,
    /// Whose the tree's own namespace is.
    pub(super) owner: &'a Owner,
    /// Whether time namespaces are the kernel's, and those of programs none of our business.
    pub(super) leaves_to_kernel: bool,
}

impl Members<'_> {
    /// Whether the tree's own namespace passes for the first one, as its clocks that a time namespace of
    /// Linux has are the host's.
    pub(super) fn is_first(&self) -> bool {
        let is_kernels_first = matches!(self.own_kernels(), 0 | namespace::INITIAL_TIME_NS);
        is_kernels_first && self.offsets.monotonic.is_zero() && self.offsets.boottime.is_zero()
    }

    /// The number (0 is the tree's own) and the offsets of a process's namespace. Who is not of this tree
    /// is in its own too, as what is outside of it is not to be seen; but not who is in another namespace of
    /// the kernel's, which is left to the kernel: `None`, as of a process that is gone.
    ///
    /// DIFFERENCE: in an adopted tree all that have a filter are taken for its own.
    pub(super) fn namespace(&self, pid: i32, who: Who<'_>) -> Option<(u64, ClockOffsets)> {
        if self.adopt(pid, who) == Standing::Stranger {
            return None;
        }
        if let Some(mark) = self.mark_of(pid) {
            let leader = namespaces::process_of(self.proc, pid)?;
            let id = match mark.pid == leader || share_memory(mark.pid, leader) {
                true => mark.own,
                false => mark.children,
            };
            return Some((id, self.offsets_of(id)?));
        }
        namespaces::of(self.journal, self.proc, pid, &self.offsets)
    }

    /// The mark of a process, if it is one of this tree's.
    pub(super) fn mark_of(&self, pid: i32) -> Option<Mark> {
        if !self.journal.timens.any() {
            return None;
        }
        Mark::of(pid).filter(|mark| {
            let id = mark.children;
            namespaces::is_fixed(id) || self.journal.timens.knows(id, mark.nonce)
        })
    }

    /// The offsets of a namespace by its number, as they are now.
    pub(super) fn offsets_of(&self, id: u64) -> Option<ClockOffsets> {
        match id {
            0 => Some(self.offsets),
            id => {
                namespaces::offsets_of(self.journal, id).or_else(|| self.journal.timens.offsets(id))
            }
        }
    }

    /// The same for one that is entered now, so that they stay as they are.
    pub(super) fn enter(&self, id: u64, nonce: u32) -> Option<ClockOffsets> {
        match namespaces::is_fixed(id) {
            true => self.offsets_of(id),
            false if self.journal.timens.knows(id, nonce) => self.journal.timens.enter(id),
            false => None,
        }
    }

    /// Who owns a namespace.
    pub(super) fn owner_of(&self, id: u64) -> Option<Owner> {
        match namespaces::is_fixed(id) {
            true => Some(*self.owner),
            false => self.journal.timens.owner(id),
        }
    }
}
