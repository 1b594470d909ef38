//! Which namespace a program belongs to.
//!
//! A tree has one namespace until something in it asks for another (see `door`). Then a program's
//! namespace is that of its nearest ancestor that is an anchor: anchors are subreapers, so neither
//! exec(2) nor a dying parent takes a process out from under its own.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use rustix::fs::{Dir, Mode, OFlags, openat};

use super::journal::{Journal, SLOTS};
use super::lines;
use crate::clock::ClockOffsets;

/// An inner namespace, in the journal.
#[repr(C)]
pub(super) struct Slot {
    /// The anchor, or 0 if the slot is free.
    anchor: AtomicI32,
    /// The anchor's start time, since pids are used again.
    started: AtomicU64,
    offsets: [AtomicU64; 4],
}

/// A process as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    started: u64,
}

/// The deepest chain of ancestors that is followed.
const DEEPEST: usize = 1 << 15;

/// Puts `offsets` in a free slot for the tree below `anchor`; `None` if no slot is free.
pub(super) fn add(
    journal: &Journal,
    proc: BorrowedFd<'_>,
    anchor: i32,
    offsets: &ClockOffsets,
) -> Option<()> {
    let words = offsets.packed()?;
    let stat = stat(proc, anchor)?;
    let slot = journal
        .slots
        .iter()
        .find(|slot| !slot.is_live(proc) || slot.is(stat))?;
    journal.note_inner();
    // The anchor's pid is the commit: without it the slot is free.
    slot.anchor.store(0, Ordering::Release);
    for (to, word) in slot.offsets.iter().zip(words) {
        to.store(word, Ordering::Relaxed);
    }
    slot.started.store(stat.started, Ordering::Relaxed);
    slot.anchor.store(anchor, Ordering::Release);
    Some(())
}

/// The namespace of process `pid`: its number (0 is the tree's own) and offsets.
///
/// `None` if the process is gone.
pub(super) fn of(
    journal: &Journal,
    proc: BorrowedFd<'_>,
    pid: i32,
    own: &ClockOffsets,
) -> Option<(u64, ClockOffsets)> {
    if !journal.has_inner() {
        return Some((0, *own));
    }
    for stat in true_chain(proc, pid)? {
        for (i, slot) in journal.slots.iter().enumerate().take(SLOTS) {
            if slot.is(stat) {
                return Some((i as u64 + 1, slot.offsets()?));
            }
        }
    }
    Some((0, *own))
}

/// Whether a namespace is the tree's own or that of an inner tree, whose offsets are given at its start.
pub(super) fn is_fixed(id: u64) -> bool {
    id <= SLOTS as u64
}

/// The offsets of an inner tree's namespace by its number.
pub(super) fn offsets_of(journal: &Journal, id: u64) -> Option<ClockOffsets> {
    let index = usize::try_from(id.checked_sub(1)?).ok()?;
    journal.slots.get(index)?.offsets()
}

impl Slot {
    fn is(&self, stat: Stat) -> bool {
        self.anchor.load(Ordering::Acquire) == stat.pid
            && self.started.load(Ordering::Relaxed) == stat.started
    }

    fn is_live(&self, proc: BorrowedFd<'_>) -> bool {
        let anchor = self.anchor.load(Ordering::Acquire);
        anchor != 0 && stat(proc, anchor).is_some_and(|stat| self.is(stat))
    }

    fn offsets(&self) -> Option<ClockOffsets> {
        let word = |i: usize| self.offsets[i].load(Ordering::Relaxed);
        ClockOffsets::from_packed(std::array::from_fn(word))
    }
}

/// A process and its ancestors, nearest first.
///
/// A parent may die between two reads, and its pid may be used again: only a chain that reads the same twice is
/// true.
fn true_chain(proc: BorrowedFd<'_>, pid: i32) -> Option<Vec<Stat>> {
    let mut last = chain(proc, pid)?;
    for _ in 0..100 {
        let again = chain(proc, pid)?;
        if again == last {
            break;
        }
        last = again;
    }
    Some(last)
}

fn chain(proc: BorrowedFd<'_>, pid: i32) -> Option<Vec<Stat>> {
    let mut chain = Vec::new();
    let mut pid = pid;
    while pid > 1 && chain.len() < DEEPEST {
        match stat(proc, pid) {
            Some(stat) => {
                pid = stat.parent;
                chain.push(stat);
            }
            None if chain.is_empty() => return None,
            None => break,
        }
    }
    Some(chain)
}

fn stat(proc: BorrowedFd<'_>, pid: i32) -> Option<Stat> {
    parse(&stat_text(proc, pid)?)
}

fn stat_text(proc: BorrowedFd<'_>, pid: i32) -> Option<String> {
    let path = format!("{pid}/stat");
    let fd = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; 1024];
    let len = rustix::io::read(fd, &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
}

/// Fields 1, 4 and 22 of proc_pid_stat(5); the name in field 2 may hold anything, `)` too.
fn parse(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(") ")?;
    let pid = head.split(' ').next()?.parse().ok()?;
    let mut fields = tail.split(' ');
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        pid,
        parent,
        started,
    })
}

/// All processes at about one time; `None` if they cannot be listed.
pub(super) fn processes(proc: BorrowedFd<'_>) -> Option<impl Iterator<Item = i32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entries = Dir::new(openat(proc, ".", flags, Mode::empty()).ok()?).ok()?;
    Some(entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok()))
}

/// How many page faults the children of process `pid` have had that have ended: field 11 of
/// proc_pid_stat(5).
pub(super) fn faults_of_children(proc: BorrowedFd<'_>, pid: i32) -> Option<u64> {
    let text = stat_text(proc, pid)?;
    let (_, tail) = text.rsplit_once(") ")?;
    tail.split(' ').nth(8)?.parse().ok()
}

/// Whether process `pid` runs or waits for a CPU only.
pub(super) fn is_runnable(proc: BorrowedFd<'_>, pid: i32) -> bool {
    let text = stat_text(proc, pid).unwrap_or_default();
    text.rsplit_once(") ")
        .is_some_and(|(_, tail)| tail.starts_with('R'))
}

/// Whether process `pid` is stopped.
pub(super) fn is_stopped(proc: BorrowedFd<'_>, pid: i32) -> bool {
    let text = stat_text(proc, pid).unwrap_or_default();
    text.rsplit_once(") ")
        .is_some_and(|(_, tail)| tail.starts_with('T'))
}

/// Whether process `pid` has ended, and is in no namespace any more.
pub(super) fn is_zombie(proc: BorrowedFd<'_>, pid: i32) -> bool {
    stat_text(proc, pid).is_some_and(|text| is_of_zombie(&text))
}

/// Whether process `pid` has ended, or is gone.
pub(crate) fn has_ended(proc: BorrowedFd<'_>, pid: i32) -> bool {
    stat_text(proc, pid).is_none_or(|text| is_of_zombie(&text))
}

fn is_of_zombie(text: &str) -> bool {
    text.rsplit_once(") ")
        .is_some_and(|(_, tail)| tail.starts_with(['Z', 'X']))
}

/// The parent of process `pid`; `None` if it is gone.
pub(super) fn parent_of(proc: BorrowedFd<'_>, pid: i32) -> Option<i32> {
    stat(proc, pid).map(|stat| stat.parent)
}

/// Whether process `pid` descends from `ancestor`.
pub(super) fn descends(proc: BorrowedFd<'_>, pid: i32, ancestor: i32) -> bool {
    true_chain(proc, pid).is_some_and(|chain| chain.iter().any(|stat| stat.parent == ancestor))
}

/// Whether process `pid` may belong to the tree that the calling process, a child of the keeper, serves: it
/// descends from the keeper, or, where the keeper has adopted the tree, has a filter.
pub(super) fn is_member(journal: &Journal, proc: BorrowedFd<'_>, pid: i32) -> bool {
    match journal.is_adopted() {
        true => super::status::has_filter(proc, pid),
        false => {
            let keeper = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
            descends(proc, pid, keeper)
        }
    }
}

/// Whether process `pid` is below the keeper, or, where the keeper has adopted the tree, below its first process.
///
/// Of those that [`is_member`] names it leaves out who was orphaned in an adopted tree: others may have a
/// filter too.
pub(super) fn is_below(journal: &Journal, proc: BorrowedFd<'_>, pid: i32) -> bool {
    if !journal.is_adopted() {
        return is_member(journal, proc, pid);
    }
    let Some((first, started)) = journal.first() else {
        return false;
    };
    let is_first = |stat: &Stat| (stat.pid, stat.started) == (first, started);
    true_chain(proc, pid).is_some_and(|chain| chain.iter().any(is_first))
}

/// When process `pid` was started, in the kernel's ticks; `None` if it is gone.
pub(super) fn start_of(proc: BorrowedFd<'_>, pid: i32) -> Option<u64> {
    stat(proc, pid).map(|stat| stat.started)
}

/// The leader of the process that thread `tid` belongs to.
pub(super) fn process_of(proc: BorrowedFd<'_>, tid: i32) -> Option<i32> {
    status(proc, tid).map(|status| status.leader)
}

/// The process that the descriptor `fd` of thread `tid`, a pidfd, means.
pub(super) fn of_pidfd(proc: BorrowedFd<'_>, tid: i32, fd: u64) -> Option<i32> {
    let mut pid = None;
    lines::read(proc, &format!("{tid}/fdinfo/{fd}"), |line| {
        pid = lines::value(line, "Pid:").and_then(|pid| pid.trim().parse().ok());
        pid.is_some()
    })
    .ok()?;
    pid.filter(|pid| *pid > 0)
}

/// A thread as `/proc/TID/status` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// Its process.
    pub(super) leader: i32,
    /// Who traces it, or 0.
    pub(super) tracer: i32,
}

/// The status of thread `tid`; `None` if it is gone.
pub(super) fn status(proc: BorrowedFd<'_>, tid: i32) -> Option<Status> {
    let path = format!("{tid}/status");
    let fd = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; 1024];
    let len = rustix::io::read(fd, &mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
    let number = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.parse().ok())
    };
    Some(Status {
        leader: number("Tgid:\t")?,
        tracer: number("TracerPid:\t")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let text = "42 (a) R 1 (b)) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 1000";
        let stat = parse(text).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.started), (42, 7, 9876));
    }

    #[test]
    fn this_process_descends_from_its_parent() {
        let proc = std::fs::File::open("/proc").unwrap();
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        use std::os::fd::AsFd;
        assert!(descends(proc.as_fd(), me, parent));
        assert!(!descends(proc.as_fd(), parent, me));
    }
}
