//! Which namespaces somebody is in still.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;

use rustix::fs::{Dir, Mode, OFlags, openat};

use super::mark::Mark;

/// The numbers of all namespaces that a process is in, or its children are to be in.
///
/// `None` if the processes cannot be listed.
pub(in super::super) fn in_use(proc: BorrowedFd<'_>) -> Option<HashSet<u64>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut in_use = HashSet::new();
    for entry in Dir::new(openat(proc, ".", flags, Mode::empty()).ok()?).ok()? {
        let name = entry.ok()?.file_name().to_string_lossy().parse();
        if let Some(mark) = name.ok().and_then(Mark::of) {
            in_use.extend([mark.own, mark.children]);
        }
    }
    Some(in_use)
}
