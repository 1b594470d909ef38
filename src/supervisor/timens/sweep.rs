//! Which namespaces somebody is in still.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;

use super::mark::Mark;
use crate::supervisor::journal::Journal;
use crate::supervisor::namespaces;

/// The numbers of all namespaces that a process is in, or its children are to be in.
///
/// `None` if the processes cannot be listed.
pub(in super::super) fn in_use(proc: BorrowedFd<'_>, journal: &Journal) -> Option<HashSet<u64>> {
    let records = &journal.timens;
    let mut in_use = HashSet::new();
    for pid in namespaces::processes(proc)? {
        // Those of other trees know no nonce of ours, but a stranger may copy one.
        let is_ours = |mark: &Mark| {
            namespaces::is_fixed(mark.children) || records.knows(mark.children, mark.nonce)
        };
        if let Some(mark) = Mark::of(pid).filter(is_ours)
            && namespaces::is_member(journal, proc, pid)
        {
            in_use.extend([mark.own, mark.children]);
        }
    }
    Some(in_use)
}
